"""Recordings to a trained model: a run folder."""
