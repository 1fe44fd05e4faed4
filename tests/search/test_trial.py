"""One trial: reproducible, faithful to its source, and never the end of a run."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.seeds import make_generator
from proxyset.train.evaluate import accuracy
from proxyset.train.fit import fit
from proxyset.train.recipe import Recipe
from search.sources.free import jacobian_covariance
from search.sources.trained import some_batches
from search.space import CHOICES, Candidate
from search.trial import Job, TrialContext, Workbench, check_memory


def score(context: TrialContext, job: Job, session: Session | None = None) -> float:
    row = Workbench(context, session or Session(device="cpu")).run(job)
    assert row["error"] is None, row["error"]
    return float(row["score"])


def change(context: TrialContext, **settings: Any) -> TrialContext:
    return replace(context, settings=context.settings.model_copy(update=settings))


@pytest.mark.parametrize("source", ["random", "early-stop", "jacobian", "whole"])
def test_a_trial_is_reproducible_and_depends_on_seed_and_repeat(context: TrialContext, source: str) -> None:
    names = list(context.candidates)
    jobs = [Job(source, name, repeat) for name in names for repeat in range(2)]
    first, again = ([score(context, job) for job in jobs] for _ in range(2))
    assert first == again
    assert first[::2] != first[1::2]
    assert [score(change(context, seed=1), job) for job in jobs] != first


def test_whole_again_is_whole_with_another_seed(context: TrialContext) -> None:
    names = list(context.candidates)
    assert [score(context, Job("whole", n)) for n in names] != [score(context, Job("whole-again", n)) for n in names]


def test_a_proxy_trial_is_fit_on_the_proxy_and_accuracy_on_the_test_split(context: TrialContext) -> None:
    name, spec = next(iter(context.candidates)), context.spec
    generator = make_generator(0, "trial", "random", name, 0)
    net = context.candidates[name].build(spec, generator)
    sets = {key: ImageSet(torch.from_numpy(v[0]), torch.from_numpy(v[1])) for key, v in context.sets.items()}
    recipe = Recipe(epochs=6, lr=0.01, momentum=0.9, weight_decay=5e-4, batch_size=8, milestones=(3,))
    fit(net, sets["random"], spec, recipe, generator=generator)
    assert score(context, Job("random", name)) == accuracy(net, sets["test"], spec)


def test_early_stop_makes_as_many_updates_as_a_proxy(context: TrialContext, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    monkeypatch.setattr("search.trial._check_logits", lambda index, logits: batches.append(len(index)))
    name = next(iter(context.candidates))
    for source in ("random", "early-stop"):
        batches.clear()
        Workbench(context).run(Job(source, name))
        assert batches == [6] * 6
        assert context.sources[source].images_trained(context.settings) == 36


def test_some_batches_are_parts_of_a_fresh_shuffle() -> None:
    order, generator = some_batches(10, 3, 2), make_generator(0)
    first, second = (list(order(generator)) for _ in range(2))
    assert [len(index) for index in first] == [3, 3]
    assert len(set(torch.cat(first).tolist())) == 6
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_a_row_says_everything(context: TrialContext) -> None:
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
def test_a_failing_architecture_is_a_row_with_its_error(context: TrialContext, how: str, message: str) -> None:
    bad = Candidate("bad", builder=lambda channels, size, classes: Explodes(how))
    row = Workbench(replace(context, candidates={"bad": bad})).run(Job("whole", "bad"))
    assert message in row["error"]
    assert row["score"] is None
    assert row["accuracy"] is None
    assert all(row[choice] is None for choice in CHOICES)


def test_a_builder_that_fails_is_a_row_too(context: TrialContext) -> None:
    def fail(channels: int, size: int, classes: int) -> nn.Module:
        raise MemoryError("too wide")

    row = Workbench(replace(context, candidates={"bad": Candidate("bad", builder=fail)})).run(Job("params", "bad"))
    assert "MemoryError: too wide" in row["error"]
    assert row["parameters"] is None


def test_read_only_arrays_are_used_as_they_are(context: TrialContext) -> None:
    """As they come from an object store: no warning, no copy, the same result."""
    job = Job("random", next(iter(context.candidates)))
    before = score(context, job)
    for arrays in context.sets.values():
        for array in arrays[:2]:
            array.flags.writeable = False
    bench = Workbench(context)
    assert bench.run(job)["score"] == before
    assert bench.images("train").images.data_ptr() == context.sets["train"][0].ctypes.data


def test_a_trial_is_trained_on_soft_targets_where_its_set_has_them(context: TrialContext) -> None:
    """The same images with other targets give another network; one-hot targets the same as labels."""
    job = Job("random", next(iter(context.candidates)))
    images, labels, _ = context.sets["random"]

    def trained(targets: np.ndarray | None) -> torch.Tensor:
        sets = {**context.sets, "random": (images, labels, targets)}
        bench = Workbench(replace(context, sets=sets), Session(device="cpu"))
        source, candidate = context.sources[job.source], context.candidates[job.candidate]
        net = bench.train(candidate, source, make_generator(0))  # type: ignore[arg-type]
        return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])

    one_hot = np.eye(3, dtype=np.float32)[labels]
    hard = trained(None)
    assert torch.allclose(trained(one_hot), hard, atol=1e-5)
    soft = trained(0.5 * one_hot + 0.5 * np.full_like(one_hot, 1 / 3))
    assert not torch.allclose(soft, hard, atol=1e-3)


@pytest.mark.parametrize(
    "training", [{"optimiser": "adam", "lr": 0.001}, {"optimiser": "adamw"}, {"schedule": "cosine"}, {"momentum": 0.0}]
)
def test_every_setting_of_the_training_reaches_a_trial(context: TrialContext, training: dict[str, Any]) -> None:
    candidate, source = next(iter(context.candidates.values())), context.sources["whole"]

    def weights(context: TrialContext) -> torch.Tensor:
        bench = Workbench(context, Session(device="cpu"))
        net = bench.train(candidate, source, make_generator(0))  # type: ignore[arg-type]
        return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])

    assert not torch.equal(weights(change(context, **training)), weights(context))
    assert 0 <= score(change(context, **training), Job("random", candidate.name)) <= 1


def linear(channels: int, size: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))


@pytest.mark.parametrize("foreign", [False, True], ids=["convnet", "builder"])
def test_the_precision_reaches_a_trial(context: TrialContext, foreign: bool) -> None:
    """bf16 gives logits that bf16 can hold."""
    name = next(iter(context.candidates))
    candidate = Candidate("linear", builder=linear) if foreign else context.candidates[name]

    def logits(session: Session, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        monkeypatch.setattr("search.trial._check_logits", lambda index, values: seen.append(values))
        bench = Workbench(context, session)
        bench.train(candidate, context.sources["random"], make_generator(0))  # type: ignore[arg-type]
        return torch.cat(seen).float()

    with pytest.MonkeyPatch.context() as patch:
        exact = logits(Session(device="cpu"), patch)
        rounded = logits(Session(device="cpu", precision="bf16"), patch)
    assert not torch.equal(exact, rounded)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert not torch.equal(exact, exact.bfloat16().float())


@pytest.mark.parametrize("foreign", [False, True], ids=["convnet", "builder"])
def test_the_memory_limit_reaches_a_trial(
    context: TrialContext, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a limit the network sees fewer images at a time."""
    sizes: list[int] = []

    def hear(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].device.type == "cpu":
            sizes.append(len(inputs[0]))

    name = next(iter(context.candidates))
    candidate = Candidate("linear", builder=linear) if foreign else context.candidates[name]

    def largest(session: Session) -> int:
        sizes.clear()
        bench = Workbench(context, session)
        hook = nn.modules.module.register_module_forward_pre_hook(hear)
        try:
            bench.train(candidate, context.sources["whole"], make_generator(0))  # type: ignore[arg-type]
        finally:
            hook.remove()
        return max(sizes)

    session = Session(device="cpu")
    assert largest(session) == 8
    cost = session.footprint(candidate.outline(context.spec), 1, 8)
    monkeypatch.setattr("proxyset.compute.plan.BASE", 0)
    few = (3 * cost.activations * 3 + 1) / 2**30  # room for three images
    assert largest(Session(device="cpu", memory_limit=few)) <= 3


def test_a_limit_that_not_even_one_image_fits_is_refused_before_the_trials(context: TrialContext) -> None:
    session = Session(device="cpu", memory_limit=0.01)
    with pytest.raises(InputError, match="memory_limit"):
        check_memory(list(context.candidates.values()), context.spec, context.settings, session)
    session = Session(device="cpu", memory_limit=4)
    check_memory(list(context.candidates.values()), context.spec, context.settings, session)


def test_compiling_reaches_a_trial(context: TrialContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is what the session compiles; no compiler is needed to see that it is asked."""
    asked: list[tuple[str, bool]] = []
    session = Session(device="cpu", compile="on")
    session._compiler = True
    plain = session.gradients

    def note(engine: Any, name: str, shape: Any, condensing: bool = False) -> Any:
        asked.append((name, engine.compiled))
        return plain(engine.eager(), name, shape, condensing)

    monkeypatch.setattr(session, "gradients", note)
    names = list(context.candidates)
    for name in names:
        score(context, Job("random", name), session)
    assert asked == [(names[0], True), (names[1], False), (names[2], True)]  # the second has BatchNorm


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
    head = nn.utils.skip_init(nn.Linear, 64, 3)
    net = nn.Sequential(nn.Flatten(), head)
    with torch.no_grad():
        head.weight.copy_(torch.randn(3, 64, generator=make_generator(1)))
    assert jacobian_covariance(net, images) < -1e5  # every image has the same gradient: eigenvalues 4, 0, 0, 0
    with torch.no_grad():
        head.weight.zero_()
    assert math.isnan(jacobian_covariance(net, images))
