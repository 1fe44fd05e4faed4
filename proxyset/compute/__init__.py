"""Where and how work runs."""
