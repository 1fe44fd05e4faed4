"""How a network is trained and scored."""
