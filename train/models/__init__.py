"""The networks, their layers, and batch normalisation folded into them."""
