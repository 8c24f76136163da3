"""Sound to features: what one frame sees, the MFCC, their normalisation and their quantisation."""
