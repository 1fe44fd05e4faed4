"""The images that a condensation has at the points of its trace: a few of each class, as pixels, in their own file.

They are written as they come, so a run that was killed finds them again, and writes those once more that it repeats.
"""

from pathlib import Path

import torch
from torch import Tensor

from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, to_pixels
from proxyset.errors import InputError
from proxyset.files import write_atomic
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes

KEY = "trace"  # of the header
MOST = 100  # images at each point
BEST = 5  # of a class


def trace_images_path(path: Path) -> Path:
    """Where the images of a set's trace are, by the file of the set or of its checkpoint."""
    return path.with_name(f"{path.stem}-trace.safetensors")


def keep_images(path: Path, step: int, data: ImageSet, spec: DatasetSpec) -> None:
    """Add the first images of each class after `step` steps; what the file has of later steps goes.

    Raises:
        InputError, RunError: it cannot be written.
    """
    ipc = len(data) // spec.classes
    each = max(1, min(BEST, ipc, MOST // spec.classes))
    place = torch.arange(len(data)).view(spec.classes, ipc)[:MOST, :each].flatten()
    kept = {before: pixels for before, pixels in read_images(path).items() if before < step}
    state = {str(number): pixels for number, pixels in (kept | {step: to_pixels(data.images[place], spec)}).items()}
    write_atomic(path, write_bytes(state, seal(state, {"steps": sorted(map(int, state))}, KEY)))


def read_images(path: Path) -> dict[int, Tensor]:
    """For each step uint8 pixels K×C×H×W, in the order of the steps; empty where the file is not there or torn."""
    try:
        state, metadata = read_tensors(path)
        check_seal(state, metadata, KEY, repr(str(path)))
    except InputError:
        return {}
    steps = sorted(int(name) for name in state if name.isdecimal())
    return {step: state[str(step)] for step in steps if state[str(step)].dtype == torch.uint8}


def is_trace_images(path: Path) -> bool:
    """Whether a file is one of these."""
    return bool(read_images(path))
