"""Precision, memory limit and compilation reach the training of every scheme."""

from pathlib import Path

import pytest
import torch

from continual.api import learn_stream
from continual.schemes.base import Scheme
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.compute.gradients import Gradients
from proxyset.compute.plan import BASE
from proxyset.compute.session import Session
from proxyset.errors import InputError
from tests.continual.conftest import make_scheme

CHANGES = [{}, {"kd": True}, {"scheme": "gdumb"}]


def weights(scheme: Scheme) -> torch.Tensor:
    scheme.learn(0)
    scheme.learn(1)
    return torch.cat([parameter.flatten() for parameter in scheme.net.parameters()])


@pytest.mark.parametrize("change", CHANGES)
def test_bf16_changes_the_result(growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, object]) -> None:
    learning = quick.model_copy(update=change)
    one, two = (weights(make_scheme(growing, learning, tmp_path, precision=name)) for name in ("fp32", "bf16"))
    assert two.isfinite().all()
    assert not torch.equal(one, two)
    torch.testing.assert_close(one, two, rtol=0.2, atol=0.2)


@pytest.mark.parametrize("memory", ["random", "joint"])
@pytest.mark.parametrize("change", [{}, {"scheme": "gdumb"}])
def test_a_small_memory_limit_gives_smaller_micro_batches(
    monkeypatch: pytest.MonkeyPatch,
    growing: Stream,
    quick: Learning,
    tmp_path: Path,
    memory: str,
    change: dict[str, object],
) -> None:
    sizes: list[int] = []
    microbatch = Gradients._microbatch

    def watched(self: Gradients, count: int) -> int:
        sizes.append(microbatch(self, count))
        return sizes[-1]

    monkeypatch.setattr(Gradients, "_microbatch", watched)
    learning = quick.model_copy(update=change)
    limit = (BASE + 2**15) / 2**30  # room for a few images
    for limits in ({}, {"memory_limit": limit}):
        sizes.clear()
        weights(make_scheme(growing, learning, tmp_path, memory, **limits))
        assert (max(sizes) <= 3) is bool(limits)


def test_a_limit_that_holds_no_image_is_refused_before_any_work(
    growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"memory_limit=0\.1` is too small"):
        make_scheme(growing, quick, tmp_path, memory_limit=0.1)


@pytest.mark.slow
def test_compiled_training_gives_what_eager_training_gives(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    learning = quick.model_copy(update={"scheme": "gdumb"})
    eager = make_scheme(growing, learning, tmp_path, compile="off")
    compiled = make_scheme(growing, learning, tmp_path, compile="on")
    for scheme in (eager, compiled):
        scheme.learn(0)
    assert [gradients.failed for gradients in compiled.trainer._gradients.values()] == [False]
    assert all(engine.compiled for engine, _ in compiled.trainer._gradients)
    for one, two in zip(eager.net.parameters(), compiled.net.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_networks_of_one_structure_share_their_gradients(domains: Stream, quick: Learning, tmp_path: Path) -> None:
    scheme = make_scheme(domains, quick.model_copy(update={"scheme": "gdumb"}), tmp_path)
    for stage in range(3):
        scheme.learn(stage)
    assert len(scheme.trainer._gradients) == 1


def test_results_say_how_they_were_computed(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget = Budget(ipc=2, store=tmp_path)
    session = Session(device="cpu", precision="bf16")
    result = learn_stream(growing, "random", budget, quick, session=session, folder=tmp_path / "run")
    assert result["compute"] == {"precision": "bf16", "compile": "auto", "memory_limit": None}
    with pytest.raises(InputError, match="different: compute"):
        learn_stream(growing, "random", budget, quick, session=Session(device="cpu"), folder=tmp_path / "run")
