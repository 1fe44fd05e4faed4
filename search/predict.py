"""Pictures classified by a kept network."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from proxyset.compute.footprint import measure_footprint
from proxyset.compute.plan import Engine
from proxyset.data.decode import decode
from proxyset.data.folder import IMAGE_SUFFIXES
from proxyset.data.form import Decoding
from proxyset.data.layout import files_in
from proxyset.data.spec import normalise
from proxyset.errors import InputError
from proxyset.files import begins_with, write_atomic
from search.network import Network

AT_ONCE = 256  # pictures, at most
COLUMNS = ("path", "class", "probability")


def pictures_in(places: Sequence[Path]) -> list[Path]:
    """Pictures, in place of each folder the image files in it by their names; those in its folders are left out.

    Raises:
        InputError: a folder without images, or one that cannot be listed.
    """
    pictures: list[Path] = []
    for place in places:
        if not place.is_dir():
            pictures.append(place)
            continue
        inside = [file for file in files_in(place) if file.suffix.lower() in IMAGE_SUFFIXES]
        if not inside:
            raise InputError(f"no images in {str(place)!r} ({' '.join(sorted(IMAGE_SUFFIXES))})")
        pictures += inside
    return pictures


def classify(
    network: Network, pictures: Sequence[Path], top: int = 1, unreadable: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """The classes of pictures, which are brought to the form that the network was trained on.

    Args:
        top: how many classes of each picture, the most probable first.
        unreadable: is given a line about each picture that cannot be read, which is left out (None: it is refused).

    Returns:
        For each picture its `file` and its `classes`: pairs of a name and a probability (0..1).

    Raises:
        InputError: a picture that cannot be read; see also `Network.build`.
    """
    spec, data = network.spec, network.facts.get("dataset", {})
    how = {name: data[name] for name in ("resize", "background") if name in data}
    form = Decoding(spec.size, spec.channels, on_error=None if unreadable is None else "skip", **how)
    net = network.build()
    decoded = decode(((str(path), path) for path in pictures), len(pictures), form)
    for line in decoded.left_out:
        assert unreadable is not None
        unreadable(line)
    if not decoded.kept:
        return []
    at_once = Engine().microbatch(measure_footprint(net, spec.channels, spec.size), AT_ONCE)
    with torch.no_grad():
        shares = torch.cat([net(normalise(part, spec)).softmax(1) for part in decoded.images.split(at_once)])
    values, labels = shares.topk(min(top, spec.classes))
    return [
        {
            "file": str(pictures[position]),
            "classes": [(spec.class_names[label], value) for label, value in zip(*one, strict=True)],
        }
        for position, one in zip(decoded.kept, zip(labels.tolist(), values.tolist(), strict=True), strict=True)
    ]


def is_answers(path: Path) -> bool:
    """Whether a file begins as the tables do that are written here."""
    return begins_with(path, ",".join(COLUMNS) + "\n")


def write_answers(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write what `classify` gives as a table with a line for each picture and class.

    Raises:
        InputError, RunError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row["file"], name, f"{share:.6g}") for row in rows for name, share in row["classes"])
    write_atomic(path, text.getvalue().encode(errors="replace"))
