"""Why one image cannot be used."""


class Unreadable(Exception):
    """What is wrong with an image; whoever knows its name says both."""
