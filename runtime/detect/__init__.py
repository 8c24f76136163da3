"""Scores to events: the decision, the spotter, and replaying recordings through both."""
