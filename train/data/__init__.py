"""Recordings, noise and negatives, and the batches that are made of them."""
