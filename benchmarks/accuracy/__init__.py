"""What each form of a model gets right on the same clips, and where int8 loses."""
