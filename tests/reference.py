"""Plain oracles: the published formulas written as loops, from the papers and with nothing of the library.

Sources are DC (Zhao et al., ICLR 2021), DSA (Zhao & Bilen, ICML 2021) and its public code, iCaRL (Rebuffi et al. 2017),
Toneva et al. 2019. They are slow and obvious; the library's vectorised functions must agree with them.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

# Gradient distances (DC, equation 9 and its appendix).


def layerwise_distance(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Σ over layers with more than one axis, Σ over their output units, of 1 − a·b / (‖a‖‖b‖ + 1e-6)."""
    total = real[0].new_zeros(())
    for layer_real, layer_synthetic in zip(real, synthetic, strict=True):
        if layer_real.ndim == 1:
            continue  # biases and norm affines count 0
        for unit in range(layer_real.shape[0]):
            a, b = layer_real[unit].reshape(-1), layer_synthetic[unit].reshape(-1)
            total = total + 1 - (a @ b) / ((a @ a).sqrt() * (b @ b).sqrt() + 1e-6)
    return total


def cosine_distance(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """1 − a·b / (‖a‖‖b‖ + 1e-6) of everything in one vector."""
    product = sum((r * s).sum() for r, s in zip(real, synthetic, strict=True))
    squares = [sum((part * part).sum() for part in parts) for parts in (real, synthetic)]
    return 1 - product / (squares[0].sqrt() * squares[1].sqrt() + 1e-6)  # type: ignore[union-attr]


def squared_distance(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Σ (a − b)² over everything."""
    return sum(((r - s) ** 2).sum() for r, s in zip(real, synthetic, strict=True))  # type: ignore[return-value]


DISTANCES = {"layerwise": layerwise_distance, "cosine": cosine_distance, "mse": squared_distance}


# Augmentation of one image C×H×W with its parameters given (DSA, section 3.2 and its public code).


def color(image: Tensor, brightness: float, saturation: float, contrast: float) -> Tensor:
    """x + (r − 0.5)·1.0, then (x − mean_c)·(2r) + mean_c, then (x − mean)·(r + 0.5) + mean, three r in 0..1."""
    channels, height, width = image.shape
    image = image + (brightness - 0.5) * 1.0
    rows = []
    for y, x in itertools.product(range(height), range(width)):
        grey = sum(image[c, y, x] for c in range(channels)) / channels
        rows.append(torch.stack([(image[c, y, x] - grey) * (2 * saturation) + grey for c in range(channels)]))
    image = torch.stack(rows, 1).view(channels, height, width)
    mean = image.sum() / image.numel()
    return (image - mean) * (contrast + 0.5) + mean


def crop(image: Tensor, down: int, right: int) -> Tensor:
    """Pixel (y, x) shows what was at (y + down, x + right); zero outside."""
    return _resample(image, lambda y, x: (y + down, x + right))


def cutout(image: Tensor, row: int, column: int) -> Tensor:
    """Zero in the square of side int(0.5·size + 0.5) around (row, column), as far as it lies in the image."""
    size = image.shape[-1]
    side = int(0.5 * size + 0.5)
    keep = torch.ones_like(image)
    for y, x in itertools.product(range(size), range(size)):
        if 0 <= y - (row - side // 2) < side and 0 <= x - (column - side // 2) < side:
            keep[:, y, x] = 0
    return image * keep


def flip(image: Tensor, mirrored: bool) -> Tensor:
    width = image.shape[-1]
    return _resample(image, lambda y, x: (y, width - 1 - x)) if mirrored else image


def scale(image: Tensor, factor_x: float, factor_y: float) -> Tensor:
    """Position (x, y) in −1..1, centre 0, shows what was at (factor_x·x, factor_y·y)."""
    return _warp(image, lambda y, x: (factor_y * y, factor_x * x))


def rotate(image: Tensor, degrees: float) -> Tensor:
    """Position (x, y) shows what was at (x·cos − y·sin, x·sin + y·cos)."""
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return _warp(image, lambda y, x: (sin * x + cos * y, cos * x - sin * y))


def _warp(image: Tensor, source: Callable[[float, float], tuple[float, float]]) -> Tensor:
    """Corners aligned: −1 and 1 are the centres of the outermost pixels (torch 1.2)."""
    half = (image.shape[-1] - 1) / 2

    def pixel(y: float, x: float) -> tuple[float, float]:
        from_y, from_x = source(y / half - 1, x / half - 1)
        return (from_y + 1) * half, (from_x + 1) * half

    return _resample(image, pixel)


def _resample(image: Tensor, source: Callable[[float, float], tuple[float, float]]) -> Tensor:
    """Every pixel from its source position, bilinear between the four pixels around it, zero outside the image."""
    channels, height, width = image.shape
    pixels = []
    for y, x in itertools.product(range(height), range(width)):
        from_y, from_x = source(y, x)
        top, left = math.floor(from_y), math.floor(from_x)
        value = image.new_zeros(channels)
        for near_y, near_x in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= near_y < height and 0 <= near_x < width:
                weight = (1 - abs(from_y - near_y)) * (1 - abs(from_x - near_x))
                value = value + weight * image[:, near_y, near_x]
        pixels.append(value)
    return torch.stack(pixels, 1).view(channels, height, width)


def augment(image: Tensor, operation: str, r: Sequence[float]) -> Tensor:
    """An operation whose parameters are spread evenly over their published ranges by `r`, each in [0, 1)."""
    size = image.shape[-1]
    if operation == "color":
        return color(image, *r)
    if operation == "crop":
        reach = int(0.125 * size + 0.5)
        return crop(image, *(math.floor(part * (2 * reach + 1)) - reach for part in r))
    if operation == "cutout":
        places = size + 1 if int(0.5 * size + 0.5) % 2 == 0 else size
        return cutout(image, *(math.floor(part * places) for part in r))
    if operation == "flip":
        return flip(image, r[0] < 0.5)
    if operation == "scale":
        return scale(image, *(1 / 1.2 + part * (1.2 - 1 / 1.2) for part in r))
    if operation == "rotate":
        return rotate(image, -15 + 30 * r[0])
    raise ValueError(operation)


# One inner step of DSA (Algorithm 1) on all classes.


def inner_step(
    net: nn.Module,
    real: Sequence[Tensor],
    synthetic: Tensor,
    velocity: Tensor,
    *,
    operations: Sequence[tuple[str, Sequence[float]] | None],
    distance: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor],
    lr: float,
    momentum: float,
) -> tuple[Tensor, Tensor, float]:
    """S ← S − lr·v with v ← momentum·v + ∇_S Σ_c D(∇_θ L(A(T_c)), ∇_θ L(A(S_c))).

    Args:
        real: the real minibatch of each class.
        synthetic: all synthetic images, ordered by class.
        operations: for each class its Siamese operation and draws, or None.

    Returns:
        The new images, the new velocity, and the summed distance.
    """
    images = synthetic.clone().requires_grad_()
    ipc = len(images) // len(real)
    total = images.new_zeros(())
    for label, (batch, operation) in enumerate(zip(real, operations, strict=True)):
        own = images[label * ipc : (label + 1) * ipc]
        if operation is not None:
            batch = torch.stack([augment(image, *operation) for image in batch])
            own = torch.stack([augment(image, *operation) for image in own])
        gradients = []
        for part in (batch, own):
            logits = net(part)
            # Mean cross-entropy: log Σ exp(logit) − the label's logit.
            loss = (logits.exp().sum(1).log() - logits[:, label]).mean()
            gradients.append(torch.autograd.grad(loss, list(net.parameters()), create_graph=part is own))
        total = total + distance(*gradients)
    total.backward()
    assert images.grad is not None
    velocity = momentum * velocity + images.grad
    return synthetic - lr * velocity, velocity, total.item()


# Parameter counts, layer by layer.


def convolution(before: int, width: int, kernel: int, bias: bool = True) -> int:
    return before * width * kernel * kernel + (width if bias else 0)


def linear(before: int, after: int) -> int:
    return before * after + after


def convnet_parameters(
    width: int, depth: int, norm: str, pooling: str, *, channels: int, size: int, classes: int
) -> int:
    side = 32 if size == 28 else size
    count = 0
    for block in range(depth):
        count += convolution(channels if block == 0 else width, width, 3)
        count += {"none": 0, "batch": 2 * width, "instance": 2 * width, "group": 2 * width}.get(
            norm, 2 * width * side * side
        )
        side = side if pooling == "none" else side // 2
    return count + linear(width * side * side, classes)


def mlp_parameters(*, channels: int, size: int, classes: int) -> int:
    return linear(channels * size * size, 128) + linear(128, 128) + linear(128, classes)


def lenet_parameters(*, channels: int, size: int, classes: int) -> int:
    side = 32 if size == 28 else size
    for _ in range(2):
        side = (side - 4) // 2
    flat = 16 * side * side
    return (
        convolution(channels, 6, 5) + convolution(6, 16, 5) + linear(flat, 120) + linear(120, 84) + linear(84, classes)
    )


def alexnet_parameters(*, channels: int, size: int, classes: int) -> int:
    side = (32 if size == 28 else size) // 2 // 2 // 2
    convolutions = [(channels, 128, 5), (128, 192, 5), (192, 256, 3), (256, 192, 3), (192, 192, 3)]
    return sum(convolution(*layer) for layer in convolutions) + linear(192 * side * side, classes)


def vgg11_parameters(*, channels: int, size: int, classes: int) -> int:
    side = (32 if size == 28 else size) // 32
    widths = [64, 128, 256, 256, 512, 512, 512, 512]
    count = 0
    for before, width in zip([channels, *widths], widths, strict=False):
        count += convolution(before, width, 3) + 2 * width
    return count + linear(512 * side * side, classes)


def resnet18_parameters(*, channels: int, size: int, classes: int, condensing: bool = False) -> int:
    """With a head on the mean over the last map, or for condensing on all of it (1/8 of the image)."""
    count = convolution(channels, 64, 3, bias=False) + 2 * 64
    before = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            count += convolution(before if block == 0 else width, width, 3, bias=False) + 2 * width
            count += convolution(width, width, 3, bias=False) + 2 * width
            if block == 0 and before != width:
                count += convolution(before, width, 1, bias=False) + 2 * width
        before = width
    return count + linear(512 * (size // 8) ** 2 if condensing else 512, classes)


# Coresets.


def herding(features: np.ndarray, count: int) -> list[int]:
    """iCaRL, Algorithm 4: each pick brings the mean of the picks nearest to the mean of the class."""
    mean = features.mean(0)
    picks: list[int] = []
    for _ in range(count):
        best, least = -1, math.inf
        for candidate in range(len(features)):
            if candidate in picks:
                continue
            distance = float(np.linalg.norm(mean - features[[*picks, candidate]].mean(0)))
            if distance < least:
                best, least = candidate, distance
        picks.append(best)
    return picks


def covering_radius(features: np.ndarray, picks: Sequence[int]) -> float:
    """Largest distance of a row to its nearest pick."""
    return max(min(float(np.linalg.norm(row - features[pick])) for pick in picks) for row in features)


def best_covering_radius(features: np.ndarray, count: int) -> float:
    """The least covering radius that any `count` rows have."""
    return min(covering_radius(features, picks) for picks in itertools.combinations(range(len(features)), count))


def forgetting_events(correct: Sequence[bool]) -> float:
    """Toneva et al. 2019: transitions from correct to wrong; infinite for what was never classified correctly."""
    if not any(correct):
        return math.inf
    return sum(before and not after for before, after in itertools.pairwise(correct))


# Schedules.


def evaluation_learning_rates(epochs: int, lr: float = 0.01) -> list[float]:
    """The learning rate of every epoch: ×0.1 at half of the epochs."""
    return [lr if epoch < epochs // 2 else lr * 0.1 for epoch in range(epochs)]
