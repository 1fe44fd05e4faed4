"""The 720, restrictions, samples, and spaces of a user's own."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.nets.arch import SPACE_720, Arch
from proxyset.nets.build import build_net
from proxyset.seeds import make_generator
from search.settings import SpaceChoice
from search.space import CHOICES, Candidate, choose, fitting, load_space, make_candidates, space_720, stratified
from search.where import parse_where

MODULE = """
import torch
from torch import nn

def space():
    for hidden in (4, 8):
        yield f"mlp-{hidden}", lambda channels, size, classes, hidden=hidden: nn.Sequential(
            nn.Flatten(), nn.Linear(channels * size**2, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    yield "too-deep", lambda channels, size, classes: nn.Sequential(nn.MaxPool2d(64), nn.Flatten())
    yield "wrong-shape", lambda channels, size, classes: nn.Flatten()

def twice():
    yield "a", nn.Identity
    yield "a", nn.Identity

def no_pairs():
    yield "a"

def broken():
    raise ValueError("not today")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of the user's in the working folder, under another name in each test."""
    name = f"mine_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_there_are_720_different_ones() -> None:
    assert len({candidate.name for candidate in space_720()}) == 720


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("width<=64", 360),
        ("width<=64,depth<=3", 270),
        ("norm=batch|none", 288),
        ("norm != none", 576),
        ("depth > 1, depth < 3", 180),
        ("width==128,activation=relu,pooling=max", 20),
        ("depth>=4", 180),
    ],
)
def test_where_keeps_what_meets_every_condition(where: str, count: int) -> None:
    kept = space_720(where)
    assert len(kept) == count
    assert all(holds(getattr(c.arch, name)) for c in kept for name, holds in parse_where(where))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("widht<=64", "did you mean 'width'"),
        ("norm=bach", "did you mean 'batch'"),
        ("norm<batch", "asks for an order"),
        ("width<=64|128", "asks for an order"),
        ("width<=wide", "unknown width 'wide'"),
        ("depth", "cannot read the condition"),
        ("depth<1", "no architecture meets"),
    ],
)
def test_a_bad_where_says_what_is_wrong(where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        space_720(where)


def test_sample_is_even_over_every_choice() -> None:
    picked = stratified(space_720(), 60, make_generator(0))
    assert len({c.name for c in picked}) == 60
    for choice in CHOICES:
        counts = Counter(getattr(c.arch, choice) for c in picked)
        assert set(counts) == set(SPACE_720[choice])
        assert max(counts.values()) - min(counts.values()) <= 2


def test_sample_depends_on_the_seed_and_smaller_ones_are_its_beginning() -> None:
    names = [c.name for c in stratified(space_720(), 30, make_generator(0))]
    assert names == [c.name for c in stratified(space_720(), 30, make_generator(0))]
    assert names[:10] == [c.name for c in stratified(space_720(), 10, make_generator(0))]
    assert names != [c.name for c in stratified(space_720(), 30, make_generator(1))]
    with pytest.raises(InputError, match="cannot sample 721"):
        stratified(space_720(), 721, make_generator(0))


def test_a_sample_of_a_mixed_space_is_mixed_as_the_space_is() -> None:
    """A fifth of these are a user's own, which have no choices to be even over."""
    own = [Candidate(f"own{number}", builder=nn.Identity) for number in range(180)]
    picked = stratified([*space_720(), *own], 60, make_generator(0))
    assert sum(candidate.arch is None for candidate in picked) == 12
    assert len({candidate.name for candidate in picked}) == 60
    assert stratified([*space_720(), *own], 20, make_generator(0)) == picked[:20]
    everything = stratified([*space_720(), *own], 900, make_generator(0))
    assert len({candidate.name for candidate in everything}) == 900


def test_what_does_not_fit_the_images_is_left_out(make_dataset: Callable[..., Dataset]) -> None:
    kept, left_out = fitting(space_720(), make_dataset().spec)  # 8×8: no four poolings
    assert len(left_out) == 4 * 5 * 3 * 2
    assert all(c.arch and (c.arch.depth < 4 or c.arch.pooling == "none") for c in kept)
    assert "at least 16 pixels" in next(iter(left_out.values()))


def test_parameters_are_those_of_the_network(tiny: Dataset) -> None:
    for candidate in stratified(fitting(space_720("width<=32"), tiny.spec)[0], 10, make_generator(0)):
        assert candidate.arch is not None
        net = build_net(candidate.arch, channels=1, size=8, classes=3, generator=torch.Generator())
        assert candidate.parameters(tiny.spec) == sum(p.numel() for p in net.parameters())


def test_a_users_space(module: str, tiny: Dataset) -> None:
    kept, left_out = fitting(load_space(f"{module}:space", 8), tiny.spec)
    assert [c.name for c in kept] == ["mlp-4", "mlp-8"]
    assert set(left_out) == {"too-deep", "wrong-shape"}
    assert "expected (2, 3)" in left_out["wrong-shape"]
    assert kept[0].parameters(tiny.spec) == 64 * 4 + 4 + 4 * 3 + 3
    assert {c.name for c in stratified(kept, 2, make_generator(0))} == {"mlp-4", "mlp-8"}


def test_a_users_network_gets_its_weights_from_the_generator(module: str, tiny: Dataset) -> None:
    """The global generator stays put, although the user's builder draws from it."""
    candidate = load_space(f"{module}:space", 8)[0]
    first, same = (candidate.build(tiny.spec, make_generator(0)).state_dict() for _ in range(2))
    other = candidate.build(tiny.spec, make_generator(1)).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere_to_be_found:space", "No module named"),
        ("{module}:spaec", "has no attribute"),
        ("{module}", "package.module:name"),
        ("{module}:twice", "'a' twice"),
        ("{module}:no_pairs", "no_pairs': 'a' is not a ConvNet"),
        ("{module}:broken", "not today"),
    ],
)
def test_a_bad_space_says_what_is_wrong(module: str, target: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_space(target.format(module=module), 8)


def test_a_builder_that_fails_is_a_problem_not_an_error(tiny: Dataset) -> None:
    def fail(channels: int, size: int, classes: int) -> nn.Module:
        raise RuntimeError("no\nsuch layer")

    problem = Candidate("bad", builder=fail).problem(tiny.spec)
    assert problem is not None
    assert "RuntimeError: no such layer" in problem


def test_a_list_from_python_may_mix_architectures_names_and_builders(tiny: Dataset) -> None:
    def linear(channels: int, size: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

    candidates = make_candidates([Arch(4, 1), "convnet-w4", "mlp", ("linear", linear)], "the list", size=8)
    assert [c.name for c in candidates] == [str(Arch(4, 1)), "convnet-w4", "mlp", "linear"]
    assert candidates[1].arch == Arch(4, 2)  # the depth for 8×8
    for candidate in candidates:
        net = candidate.build(tiny.spec, make_generator(0))
        assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
        assert candidate.parameters(tiny.spec) == sum(p.numel() for p in net.parameters())
    with pytest.raises(InputError, match="the list has the name 'mlp' twice"):
        make_candidates(["mlp", "mlp"], "the list", 8)
    with pytest.raises(InputError, match="must hold"):
        make_candidates([nn.Identity()], "the list", 8)


def test_choose_samples_and_says_what_it_leaves_out(tiny: Dataset) -> None:
    lines: list[str] = []
    chosen = choose(SpaceChoice(sample=5), tiny.spec, 0, lines.append)
    assert len(chosen) == 5
    assert "left out 120 of 720" in lines[0]
    assert len(choose(["mlp", "convnet-w4"], tiny.spec, 0, lines.append)) == 2
    with pytest.raises(InputError, match="at least two"):
        choose(["mlp"], tiny.spec, 0, lines.append)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample": 1}, "`sample`: must be at least 2"),
        ({"space": "a:b", "where": "width<=4"}, "cannot restrict"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpaceChoice(**settings)
