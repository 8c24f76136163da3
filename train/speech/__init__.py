"""Programs that speak a phrase, their voices, and phrases that sound alike."""
