"""What keeps a network near its former self."""

from collections.abc import Sequence

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
