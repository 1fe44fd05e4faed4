"""The command line: `proxyset`, and what `search` and `continual` compose theirs from."""
