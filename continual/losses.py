"""What keeps a network near its former self."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def distillation(student: Tensor, teacher: Tensor, groups: Sequence[int], temperature: float = 2.0) -> Tensor:
    """How far the student's answers on the teacher's classes are from the teacher's, at a temperature T.

    Σ_g mean_n Σ_c p·(log p − log q) with p = softmax(teacher_g / T) and q = softmax(student_g / T), where each group
    g of logits (EEIL: the classes of one earlier step) has its own softmax. EEIL's soft cross-entropy −Σ p·log q is
    the same plus the teacher's entropy, which the student cannot change: the gradients are equal, and this one is 0
    where student and teacher agree. There is no factor T², as in EEIL.

    Args:
        student: N×C logits, C at least as many as the teacher's.
        teacher: N×sum(groups) logits; no gradient flows into them.
        groups: how many classes each softmax covers, in label order.

    Raises:
        ValueError: the shapes do not fit.

    Source: Castro et al., "End-to-end incremental learning", ECCV 2018, equations 1, 3 and 4; Hinton et al. 2015.
    """
    known = sum(groups)
    if teacher.shape[1] != known or student.shape[1] < known or len(student) != len(teacher):
        raise ValueError(
            f"teacher {tuple(teacher.shape)} and student {tuple(student.shape)} do not fit {known} classes"
        )
    pairs = zip(student[:, :known].split(list(groups), 1), teacher.detach().split(list(groups), 1), strict=True)
    losses = [
        F.kl_div(
            F.log_softmax(new / temperature, 1),
            F.log_softmax(old / temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        for new, old in pairs
    ]
    return sum(losses[1:], losses[0])


def replay_answers(labels: Tensor, new: int, kept: Tensor) -> Tensor:
    """What `replayed` gets for each image, N×(2 + C): its label, whether it is of the memory (1 or 0), and the answer.

    Args:
        labels: N int64, first those of the `new` images, then those of the memory.
        kept: (N − new)×C logits that were kept with the memory; NaN for classes that were not known then.
    """
    remembered = (torch.arange(len(labels)) >= new).float()
    answers = torch.cat([torch.full((new, kept.shape[1]), float("nan")), kept])
    return torch.cat([labels.float()[:, None], remembered[:, None], answers], 1)


def replayed(logits: Tensor, answers: Tensor, alpha: float, beta: float) -> Tensor:
    """CE(new) + α·‖z − z_kept‖² + β·CE(memory): means over the new and over the memory's images of a minibatch.

    The squared distance is a mean over the classes that were known when an answer was kept. DER has β = 0. Half of a
    minibatch is new and half of the memory, so that this is 2·(a mean over all images), which micro-batches may split.

    Args:
        logits: N×C.
        answers: as `replay_answers` has them.

    Source: Buzzega et al., "Dark experience for general continual learning", NeurIPS 2020, equations 6 and 7.
    """
    labels, remembered, kept = answers[:, 0].long(), answers[:, 1], answers[:, 2:]
    known = kept.isfinite()
    errors = (logits - kept.nan_to_num()).square().masked_fill(~known, 0.0).sum(1) / known.sum(1).clamp(min=1)
    entropies = F.cross_entropy(logits, labels, reduction="none")
    share = torch.where(remembered > 0, alpha * errors + beta * entropies, entropies)
    return 2 * share.mean()
