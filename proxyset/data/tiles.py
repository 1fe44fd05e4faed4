"""Exports of stored images with a formation: pictures of tiles, which are no images to train on."""

from typing import Any

from proxyset.errors import InputError

FORMATION = "formation"  # says f in the marker of such a folder, as an array of an .npz, in the metadata of a table


def refuse_tiles(formation: Any, place: str) -> None:
    """
    Args:
        formation: what the place says of itself; None where it says nothing.

    Raises:
        InputError: its images are made of tiles.
    """
    if formation is not None:
        raise InputError(
            f"{place!r} holds the stored images of a proxy set, each made of several tiles: networks train on the "
            "tiles, so export it without `stored`"
        )
