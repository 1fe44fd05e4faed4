"""What is kept of one task: the bytes that it takes, and how a run's state holds it.

Real images are kept as pixels, one byte a value. Learned ones, and soft targets, are kept as `keep_as` says
(`proxyset.artefact.storage`), and are decoded when they are used.
"""

from dataclasses import replace

import torch

from proxyset.artefact.storage import pack, rounded, stored_bytes, unpack
from proxyset.checkpoint import State
from proxyset.data.images import ImageSet
from proxyset.settings import KeepAs

WIDTHS: dict[KeepAs, int] = {"float32": 4, "float16": 2, "uint8": 1}
"""Bytes of a value of a learned image."""


def target_width(keep_as: KeepAs) -> int:
    """Bytes of a value of a soft target."""
    return 4 if keep_as == "float32" else 2


def is_pixels(data: ImageSet) -> bool:
    """Whether these are real images as a dataset has them."""
    return data.images.dtype == torch.uint8


def settled(data: ImageSet, keep_as: KeepAs) -> ImageSet:
    """A set as it reads back where it is kept so; pixels stay what they are."""
    if not is_pixels(data):
        return rounded(data, keep_as)
    if data.targets is None or keep_as == "float32":
        return data
    return replace(data, targets=data.targets.half().float())


def bytes_of(data: ImageSet, keep_as: KeepAs) -> int:
    """Bytes of images and soft targets; labels are left out."""
    if not is_pixels(data):
        return stored_bytes(data, keep_as)
    targets = 0 if data.targets is None else data.targets.numel() * target_width(keep_as)
    return data.images.nbytes + targets


def packed(data: ImageSet, keep_as: KeepAs) -> State:
    """A settled set as named tensors that take `bytes_of` it, and its labels."""
    if not is_pixels(data):
        tensors = pack(data, keep_as)
    else:
        tensors = {"images": data.images, "labels": data.labels}
        if data.targets is not None:
            tensors["targets"] = data.targets if keep_as == "float32" else data.targets.half()
    return tensors | ({"formation": torch.tensor(data.formation)} if data.formation > 1 else {})


def unpacked(tensors: State) -> ImageSet:
    """What `packed` packed.

    Raises:
        KeyError, InputError: these are not the tensors of a set.
    """
    formation = int(tensors.get("formation", torch.tensor(1)).item())
    if tensors["images"].dtype != torch.uint8 or "scale" in tensors:
        return unpack(tensors, formation)
    targets = tensors.get("targets")
    return ImageSet(tensors["images"], tensors["labels"], None if targets is None else targets.float(), formation)
