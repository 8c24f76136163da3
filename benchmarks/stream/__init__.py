"""Count what a detector misses and falsely accepts in hours of sound."""
