"""`kwspot calibrate`: a bundle's thresholds from hours of recordings."""
