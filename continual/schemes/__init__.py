"""How the tasks of a stream are learned one after another."""
