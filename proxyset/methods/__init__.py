"""Ways to make a proxy set."""
