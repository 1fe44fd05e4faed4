"""One trial: reproducible, faithful to its source, and never the end of a run."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from proxyset.augment import operations
from proxyset.data import ImageSet
from proxyset.seeds import make_generator
from proxyset.train import accuracy, fit
from search.space import CHOICES, Candidate
from search.trial import Context, Job, Workbench, jacobian_covariance, some_batches


def score(context: Context, job: Job) -> float:
    return Workbench(context).run(job)["score"]


@pytest.mark.parametrize("source", ["random", "early-stop", "jacobian", "whole"])
def test_a_trial_is_reproducible_and_depends_on_seed_and_repeat(context: Context, source: str) -> None:
    names = list(context.candidates)
    jobs = [Job(source, name, repeat) for name in names for repeat in range(2)]
    first, again = ([score(context, job) for job in jobs] for _ in range(2))
    assert first == again
    assert first[::2] != first[1::2]
    assert [score(replace(context, seed=1), job) for job in jobs] != first


def test_whole_again_is_whole_with_another_seed(context: Context) -> None:
    names = list(context.candidates)
    assert [score(context, Job("whole", n)) for n in names] != [score(context, Job("whole-again", n)) for n in names]


def test_a_proxy_trial_is_fit_on_the_proxy_and_accuracy_on_the_test_split(context: Context) -> None:
    name, schedule, spec = next(iter(context.candidates)), context.training, context.spec
    generator = make_generator(0, "trial", "random", name, 0)
    net = context.candidates[name].build(spec, generator)
    sets = {key: ImageSet(*map(torch.from_numpy, value)) for key, value in context.sets.items()}
    fit(
        net,
        sets["random"],
        spec,
        epochs=6,
        lr=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=8,
        milestones=(3,),
        operations=operations(schedule.augment, spec.flip),
        generator=generator,
    )
    assert score(context, Job("random", name)) == accuracy(net, sets["test"], spec)


def test_early_stop_makes_as_many_updates_as_a_proxy(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    monkeypatch.setattr("search.trial._check_logits", lambda index, logits: batches.append(len(index)))
    name = next(iter(context.candidates))
    for source in ("random", "early-stop"):
        batches.clear()
        Workbench(context).run(Job(source, name))
        assert batches == [6] * 6
        assert Workbench(context).images_seen(Job(source, name)) == 36


def test_some_batches_are_parts_of_a_fresh_shuffle() -> None:
    order, generator = some_batches(10, 3, 2), make_generator(0)
    first, second = (list(order(generator)) for _ in range(2))
    assert [len(index) for index in first] == [3, 3]
    assert len(set(torch.cat(first).tolist())) == 6
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_a_row_says_everything(context: Context) -> None:
    name, candidate = next(iter(context.candidates.items()))
    row = Workbench(context).run(Job("params", name))
    assert [row[choice] for choice in CHOICES] == [getattr(candidate.arch, choice) for choice in CHOICES]
    assert row["score"] == row["parameters"] == candidate.parameters(context.spec)
    assert row["accuracy"] is None
    assert row["error"] is None
    assert Workbench(context).run(Job("whole", name))["accuracy"] is not None


class Explodes(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.how == "raise":
            raise RuntimeError("CUDA out of memory. Tried\nto allocate")
        return self.head(images.flatten(1)) * (math.inf if self.how == "infinite" else 1e30)


@pytest.mark.parametrize(
    ("how", "message"),
    [("raise", "RuntimeError: CUDA out of memory. Tried to allocate"), ("infinite", "Diverged"), ("huge", "Diverged")],
)
def test_a_failing_architecture_is_a_row_with_its_error(context: Context, how: str, message: str) -> None:
    bad = Candidate("bad", builder=lambda channels, size, classes: Explodes(how))
    row = Workbench(replace(context, candidates={"bad": bad})).run(Job("whole", "bad"))
    assert message in row["error"]
    assert row["score"] is None
    assert row["accuracy"] is None
    assert all(row[choice] is None for choice in CHOICES)


def test_a_builder_that_fails_is_a_row_too(context: Context) -> None:
    def fail(channels: int, size: int, classes: int) -> nn.Module:
        raise MemoryError("too wide")

    row = Workbench(replace(context, candidates={"bad": Candidate("bad", builder=fail)})).run(Job("params", "bad"))
    assert row["error"] == "MemoryError: too wide"
    assert row["parameters"] is None


def test_read_only_arrays_are_used_as_they_are(context: Context) -> None:
    """As they come from an object store: no warning, no copy, the same result."""
    job = Job("random", next(iter(context.candidates)))
    before = score(context, job)
    for arrays in context.sets.values():
        for array in arrays:
            array.flags.writeable = False
    bench = Workbench(context)
    assert bench.run(job)["score"] == before
    assert bench.images("train").images.data_ptr() == context.sets["train"][0].ctypes.data


def plain_jacobian_covariance(net: nn.Module, images: torch.Tensor) -> float:
    """The formula, one image at a time and with numpy."""
    rows = []
    for image in images:
        image = image[None].clone().requires_grad_()
        net(image).sum().backward()
        assert image.grad is not None
        rows.append(image.grad.flatten().double().numpy())
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(np.stack(rows)))
    return float(-sum(np.log(value + 1e-5) + 1 / (value + 1e-5) for value in eigenvalues))


def test_jacobian_covariance_is_the_published_formula() -> None:
    generator = make_generator(0)
    conv, linear = nn.utils.skip_init(nn.Conv2d, 1, 4, 3), nn.utils.skip_init(nn.Linear, 4 * 36, 3)
    net = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), linear)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    images = torch.randn(6, 1, 8, 8, generator=generator)
    assert jacobian_covariance(net, images) == pytest.approx(plain_jacobian_covariance(net, images), rel=1e-4)


def test_jacobian_covariance_of_a_linear_network_is_the_worst_and_of_a_constant_one_nan() -> None:
    images = torch.randn(4, 1, 8, 8, generator=make_generator(0))
    linear = nn.Sequential(nn.Flatten(), nn.utils.skip_init(nn.Linear, 64, 3))
    with torch.no_grad():
        linear[1].weight.copy_(torch.randn(3, 64, generator=make_generator(1)))
    assert jacobian_covariance(linear, images) < -1e5  # every image has the same gradient: eigenvalues 4, 0, 0, 0
    with torch.no_grad():
        linear[1].weight.zero_()
    assert math.isnan(jacobian_covariance(linear, images))
