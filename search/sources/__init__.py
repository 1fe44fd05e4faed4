"""Where a ranking comes from: one class per kind of source."""
