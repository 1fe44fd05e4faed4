"""search: rank network architectures on a proxy set, in parallel, and say how far to trust the ranking."""
