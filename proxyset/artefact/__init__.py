"""The proxy set: built, stored, exported."""
