"""How a model is trained: the tables of a TOML file, their defaults and what they refuse."""
