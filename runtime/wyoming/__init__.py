"""A wake-word service in the Wyoming protocol: sound comes in from clients, detections go back to them."""
