"""A training from a data folder to a run folder."""
