"""What a hop, an hour of sound and a start cost, and whether the engines agree."""
