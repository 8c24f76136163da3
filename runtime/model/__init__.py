"""A bundle and what computes with it: engines, stream sessions, the classifier, the verifier."""
