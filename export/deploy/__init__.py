"""A bundle for a board: one archive with all that a Raspberry Pi needs, and an installer in it."""
