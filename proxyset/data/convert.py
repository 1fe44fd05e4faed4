"""Images that came as arrays, brought to the form that is asked for."""

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.data.form import Decoding, centre_square, fitted


def convert(images: Tensor, size: int, channels: int, form: Decoding) -> Tensor:
    """uint8 images N×C×H×W brought to a channel count (ITU-R 601 luma, or repeated grey) and a size.

    Resized by bilinear interpolation, antialiased; `form` says how images that are not square become it.
    """
    if images.shape[1] == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        images = torch.cat([(part * weights).sum(1, keepdim=True).round().byte() for part in images.split(4096)])
    elif images.shape[1] == 1 and channels == 3:
        images = images.expand(-1, 3, -1, -1).contiguous()
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    if form.resize == "crop":
        left, upper, right, lower = centre_square(width, height)
        images = images[:, :, upper:lower, left:right]
    if form.resize != "fit" or height == width:
        return _interpolate(images, size, size)
    across, down = fitted(width, height, size)
    left, upper = (size - across) // 2, (size - down) // 2
    padded = images.new_full((len(images), channels, size, size), 255 if form.background == "white" else 0)
    padded[:, :, upper : upper + down, left : left + across] = _interpolate(images, down, across)
    return padded


def _interpolate(images: Tensor, height: int, width: int) -> Tensor:
    parts = [
        F.interpolate(part.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
        for part in images.split(4096)
    ]
    return torch.cat([part.round().clamp(0, 255).byte() for part in parts])
