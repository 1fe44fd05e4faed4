"""Kernel ridge regression, its loss and targets (KIP, Nguyen et al., ICLR 2021; FRePo, Zhou et al., NeurIPS 2022)."""

import math

import torch
from torch import Tensor

from proxyset.data.images import one_hot
from proxyset.methods.base import Problem

SMALLEST = 1e-8  # probability, so that no row of targets is all zero


def predict(support: Tensor, targets: Tensor, features: Tensor, ridge: float) -> Tensor:
    """`predict_by_kernel` for the kernel of features, K_ss = φ(S) φ(S)ᵀ (equation 3).

    Args:
        support: φ(S), n×F.
        targets: Y_s, n×classes.
        features: φ of what is predicted, N×F.

    Returns:
        N×classes float64.
    """
    support, targets, features = (double(tensor) for tensor in (support, targets, features))
    solution, whole = solve(support @ support.T, targets, ridge)
    return torch.where(whole, features @ (support.T @ solution), math.nan)


def predict_by_kernel(kernel: Tensor, targets: Tensor, across: Tensor, ridge: float) -> Tensor:
    """K_ts (K_ss + λI)⁻¹ Y_s with λ = ridge·tr(K_ss) / n, in float64; NaN where K_ss is not finite.

    Args:
        kernel: K_ss, n×n.
        targets: Y_s, n×classes.
        across: K_ts, N×n.

    Returns:
        N×classes float64.
    """
    kernel, targets, across = (double(tensor) for tensor in (kernel, targets, across))
    solution, whole = solve(kernel, targets, ridge)
    return torch.where(whole, across @ solution, math.nan)


def solve(kernel: Tensor, targets: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """(K_ss + λI)⁻¹ Y_s with λ = ridge·tr(K_ss) / n, and whether it exists."""
    regularised = kernel + ridge * kernel.diagonal().mean() * torch.eye(len(kernel), device=kernel.device).double()
    factor, failed = torch.linalg.cholesky_ex(regularised)
    return torch.cholesky_solve(targets, factor), failed == 0


def double(tensor: Tensor) -> Tensor:
    """In float64; on the CPU where the device (mps) has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def half_squared_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """½ mean_n Σ_c (prediction_nc − truth_nc)², both N×classes."""
    return (prediction - truth.to(prediction)).square().sum(1).mean() / 2


def margin(targets: Tensor) -> Tensor:
    """mean_n min(largest − second largest, 1/C) of N×C targets: what the authors' code adds to keep them apart."""
    largest, second = double(targets).topk(2).values.unbind(1)
    return (largest - second).clamp(max=1 / targets.shape[1]).mean()


def centred(probabilities: Tensor) -> Tensor:
    """N×C probabilities minus 1/C."""
    return probabilities - 1 / probabilities.shape[1]


def scale(classes: int) -> float:
    """√(C/10), by which the authors' code divides the centred labels that learned targets start from."""
    return math.sqrt(classes / 10)


def first_targets(problem: Problem, tiles: int, learned: bool, factor: float) -> Tensor:
    """Centred targets for every training image, divided by `factor`: of the labels, or where targets are learned those
    of the set that learning starts from.
    """
    classes, start = problem.spec.classes, problem.start
    if learned and start is not None and start.targets is not None:
        targets = start.targets.reshape(-1, classes)
    else:
        targets = one_hot(problem.labels, classes).repeat_interleave(tiles, 0)
    return centred(targets) / factor


def stored_targets(targets: Tensor, formation: int, factor: float) -> Tensor:
    """Learned targets as a set keeps them: probabilities on the CPU, with a row for every tile of a formation."""
    found = probabilities(targets, factor).cpu()
    return found if formation == 1 else found.unflatten(0, (-1, formation**2))


def probabilities(targets: Tensor, factor: float) -> Tensor:
    """Learned targets, N×C, as probabilities: what `first_targets` did undone, clamped at 0 and normalised.

    Targets that have not moved give their labels. The softmax that FRePo's code offers for training by cross-entropy
    teaches students worse: on CIFAR-10 (10 per class, 100 steps, 2 × convnet-w32, 200 epochs, CPU) they reached 36.6 %
    with this, and 25.9, 34.8, 35.4 and 32.9 % with softmax(k·targets), k = 1, 3, 5 and 10.
    """
    positive = (targets * factor + 1 / targets.shape[1]).clamp(min=SMALLEST)
    return positive / positive.sum(1, keepdim=True)
