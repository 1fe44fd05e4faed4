"""The distillation loss: an oracle written plainly, its zero, its gradient, its errors."""

import math

import pytest
import torch

from continual.losses import distillation


def plain_soft_cross_entropy(student: torch.Tensor, teacher: torch.Tensor, groups: list[int], t: float) -> float:
    """EEIL's equations 3 and 4 with loops: −Σ_groups mean_n Σ_c p_c log q_c, minus the same with q = p."""
    total, start = 0.0, 0
    for size in groups:
        for n in range(len(student)):
            old = [math.exp(teacher[n, start + c].item() / t) for c in range(size)]
            new = [math.exp(student[n, start + c].item() / t) for c in range(size)]
            p, q = [v / sum(old) for v in old], [v / sum(new) for v in new]
            total += sum(-a * math.log(b) + a * math.log(a) for a, b in zip(p, q, strict=True)) / len(student)
        start += size
    return total


@pytest.mark.parametrize("groups", [[5], [2, 3], [1, 4], [2, 2, 1]])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_agrees_with_the_plain_formula(generator: torch.Generator, groups: list[int], temperature: float) -> None:
    student = 3 * torch.randn(4, 7, generator=generator, dtype=torch.float64)
    teacher = 3 * torch.randn(4, 5, generator=generator, dtype=torch.float64)
    expected = plain_soft_cross_entropy(student, teacher, groups, temperature)
    assert distillation(student, teacher, groups, temperature).item() == pytest.approx(expected, abs=1e-12)


def test_is_zero_where_student_and_teacher_agree(generator: torch.Generator) -> None:
    logits = 4 * torch.randn(8, 6, generator=generator)
    assert distillation(logits, logits, [2, 2, 2]).item() == pytest.approx(0, abs=1e-6)
    assert distillation(logits + 3, logits, [6]).item() == pytest.approx(0, abs=1e-6)  # softmax knows no offset
    assert distillation(logits.flip(1), logits, [6]).item() > 0.1


def test_gradient_is_that_of_the_soft_cross_entropy_and_reaches_every_old_class(generator: torch.Generator) -> None:
    student = torch.randn(4, 7, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(distillation(student, teacher, [2, 3], 2.0), student)
    parts = [
        (torch.softmax(t / 2, 1) * torch.log_softmax(s / 2, 1)).sum(1).mean()
        for s, t in zip(student[:, :5].split([2, 3], 1), teacher.detach().split([2, 3], 1), strict=True)
    ]
    soft = -torch.stack(parts).sum()
    (expected,) = torch.autograd.grad(soft, student)
    torch.testing.assert_close(gradient, expected)
    assert (gradient[:, :5].abs().amin(0) > 0).all()  # every class that the teacher knows
    assert (gradient[:, 5:] == 0).all()  # and none that it does not


def test_gradcheck(generator: torch.Generator) -> None:
    student = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: distillation(s, teacher, [2, 2]), student)


@pytest.mark.parametrize(
    ("student", "teacher", "groups"), [((2, 4), (2, 5), [5]), ((2, 6), (2, 5), [2, 2]), ((3, 5), (2, 5), [5])]
)
def test_refuses_shapes_that_do_not_fit(student: tuple[int, int], teacher: tuple[int, int], groups: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        distillation(torch.zeros(student), torch.zeros(teacher), groups)
