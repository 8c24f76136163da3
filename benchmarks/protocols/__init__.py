"""Other people's published tests, on one's own folders."""
