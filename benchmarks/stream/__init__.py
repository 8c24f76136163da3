"""What a detector misses and hears wrongly in hours of sound."""
