"""In how many bytes a proxy set is kept: float32, float16, or one byte per value."""

from typing import Any, get_args

import torch
from torch import Tensor

from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.settings import KeepAs, short

KINDS: tuple[KeepAs, ...] = get_args(KeepAs)
TENSORS = ("images", "labels", "targets")
STEPS = 255  # between the smallest and the largest value of a byte


def check_keep_as(keep_as: str) -> None:
    """Raise `InputError` where it is no way to keep a set."""
    if keep_as not in KINDS:
        raise InputError(f"`keep_as` is one of {', '.join(KINDS)}, got {short(keep_as)}")


def pack(data: ImageSet, keep_as: KeepAs) -> dict[str, Tensor]:
    """The tensors of a set as they are written.

    float16 halves images and targets. uint8 also writes values as `lowest` + `scale` × byte with the two of each
    channel; learned images leave 0..255, so they cannot be kept as pixels. The scale is a power of two, so that
    packing what was unpacked changes nothing.
    """
    tensors = {name: getattr(data, name) for name in TENSORS}
    if keep_as != "float32" and data.targets is not None:
        tensors["targets"] = data.targets.half()
    if keep_as == "float16":
        tensors["images"] = data.images.clamp(-65504, 65504).half()
    if keep_as == "uint8":
        tensors |= _as_bytes(data.images)
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def unpack(tensors: dict[str, Tensor], formation: int) -> ImageSet:
    """What `pack` packed, in float32.

    Raises:
        InputError: these are not the tensors of a set.
    """
    images, targets = tensors["images"], tensors.get("targets")
    if images.dtype == torch.uint8:
        scale, lowest = (_per_channel(tensors, name, images) for name in ("scale", "lowest"))
        images = images.float() * scale + lowest
    elif "scale" in tensors or "lowest" in tensors:
        raise InputError("a scale is only for images kept as uint8")
    return ImageSet(
        images.float() if images.dtype == torch.float16 else images,
        tensors["labels"],
        targets.float() if targets is not None and targets.dtype == torch.float16 else targets,
        formation,
    )


def kept_as(tensors: dict[str, Tensor]) -> KeepAs:
    """How the images of a file are kept."""
    names: dict[Any, KeepAs] = {torch.uint8: "uint8", torch.float16: "float16"}
    return names.get(tensors["images"].dtype, "float32")


def rounded(data: ImageSet, keep_as: KeepAs) -> ImageSet:
    """A set as it reads back from a file that keeps it so."""
    return data if keep_as == "float32" else unpack(pack(data, keep_as), data.formation)


def stored_bytes(data: ImageSet, keep_as: KeepAs) -> int:
    """Bytes of images and soft targets in the file; labels and header are left out."""
    packed = pack(data[:1], keep_as)
    return len(data) * sum(packed[name].nbytes for name in ("images", "targets") if name in packed)


def _as_bytes(images: Tensor) -> dict[str, Tensor]:
    low, high = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    scale = torch.where(high > low, torch.exp2(((high - low) / STEPS).log2().ceil()), 1.0)
    lowest = torch.where(high > low, (low / scale).round() * scale, low)
    steps = ((images - lowest.view(1, -1, 1, 1)) / scale.view(1, -1, 1, 1)).round().clamp(0, STEPS)
    return {"images": steps.byte(), "scale": scale, "lowest": lowest}


def _per_channel(tensors: dict[str, Tensor], name: str, images: Tensor) -> Tensor:
    values = tensors.get(name)
    if values is None or values.dtype != torch.float32 or values.shape != images.shape[1:2]:
        raise InputError(f"images kept as uint8 need a `{name}` for each channel, float32")
    return values.view(1, -1, 1, 1)
