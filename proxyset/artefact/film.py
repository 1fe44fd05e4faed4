"""The images of a set while it is learned: kept after some steps, to be looked at."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from proxyset.checkpoint import placeless
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, to_pixels
from proxyset.errors import InputError
from proxyset.files import write_atomic
from proxyset.parsing import Schema, check
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes

KEY = "film"  # of the header


@dataclass(frozen=True)
class Frames:
    """What was kept.

    Attributes:
        pixels: after each of some steps the images as they are stored, N×C×H×W uint8, the earliest first.
        per_iteration: steps in an iteration.
        of: the work that they were kept of, by a digest of its identity.
    """

    pixels: Mapping[int, Tensor]
    per_iteration: int
    of: str = ""


class Film:
    """Called before the first step and after every step; keeps the images of some in a file beside the set.

    Images of the same step have the same bits in every process that works on a set, so that a run which was stopped
    ends with the frames of one that was not.

    Args:
        steps: after which steps.
        per_iteration: steps in an iteration.
        path: of the film.
        identity: of the work. Frames of other work, which lie there from before, are dropped.
    """

    def __init__(
        self, steps: list[int], per_iteration: int, spec: DatasetSpec, path: Path, identity: Mapping[str, Any]
    ) -> None:
        self.steps, self.per_iteration, self.spec, self.path = set(steps), per_iteration, spec, path
        self.of = hashlib.sha256(json.dumps(placeless(identity), sort_keys=True).encode()).hexdigest()

    def __call__(self, step: int, result: Callable[[], ImageSet]) -> None:
        """Called after `step` steps."""
        if step not in self.steps:
            return
        earlier = read_film(self.path) if step and self.path.exists() else Frames({}, 1)
        kept = earlier.pixels if earlier.of == self.of else {}
        frames = {number: pixels for number, pixels in kept.items() if number < step}
        frames[step] = to_pixels(result().images, self.spec)
        _write(Frames(frames, self.per_iteration, self.of), self.path)


def _write(frames: Frames, path: Path) -> None:
    tensors = {str(step): pixels for step, pixels in frames.pixels.items()}
    write_atomic(
        path, write_bytes(tensors, seal(tensors, {"per_iteration": frames.per_iteration, "of": frames.of}, KEY))
    )


class _Header(Schema):
    """What a film says of itself."""

    per_iteration: int = Field(ge=1)
    of: str = ""


def read_film(path: Path) -> Frames:
    """
    Raises:
        InputError: no film is there, or it was changed.
    """
    tensors, metadata = read_tensors(path)
    where = repr(str(path))
    header = check(check_seal(tensors, metadata, KEY, where), _Header, where)
    shapes = {tuple(pixels.shape) for pixels in tensors.values()}
    whole = all(name.isdecimal() and pixels.dtype == torch.uint8 for name, pixels in tensors.items())
    if not whole or len(shapes) != 1 or len(next(iter(shapes))) != 4:
        raise InputError(f"{where} is no film: its frames are not images of one shape")
    return Frames({step: tensors[str(step)] for step in sorted(map(int, tensors))}, header.per_iteration, header.of)
