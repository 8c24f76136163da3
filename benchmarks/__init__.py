"""What a bundle gets right and what it costs."""
