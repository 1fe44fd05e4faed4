"""What training minimises: means over the images of a minibatch."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images as the network saw them, its logits, answers (labels N or probabilities N×classes) → a scalar, the mean."""


def cross_entropy(images: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
    """−mean_n Σ_c y_nc log softmax(logits)_nc, with y the probabilities, or 1 at the label."""
    return F.cross_entropy(logits.float(), answers)


def squared_error(images: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
    """mean_n Σ_c (logits_nc − y_nc)², with y the probabilities, or 1 at the label."""
    return _squared_errors(logits.float(), answers).mean()


def _cross_entropies(logits: Tensor, answers: Tensor) -> Tensor:
    return F.cross_entropy(logits, answers, reduction="none")


def _squared_errors(logits: Tensor, answers: Tensor) -> Tensor:
    targets = answers if answers.is_floating_point() else F.one_hot(answers, logits.shape[1])
    return (logits - targets).square().sum(1)


EACH: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {cross_entropy: _cross_entropies, squared_error: _squared_errors}
"""What such a loss is the mean of: float32 logits N×classes and answers → N. Others are not compiled."""


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "squared-error": squared_error}
