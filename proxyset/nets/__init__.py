"""The networks of the paper, and yours, by name."""
