"""`kwspot word`: from a typed phrase to a calibrated bundle."""
