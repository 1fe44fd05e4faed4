"""Condensing with the network that has just learned the task."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from continual.api import learn_stream
from continual.learner import learner_state
from continual.loading import split_classes
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.nets.build import build_net
from tests.continual.conftest import stopped_and_resumed, untimed

NET = "convnet-w4-d1"
DM_FEW = DM(net=NET, iterations=2, batch_real=4, augment="none")
LABELLED = Random(targets="teacher", teacher_net=NET)


def budget(store: Path) -> Budget:
    return Budget(ipc=2, condense_with="learner", store=store)


def test_it_answers_on_the_tasks_own_classes(growing: Stream, generator: torch.Generator) -> None:
    trainer, task = Trainer(growing, Learning(net=NET), session=Session(device="cpu")), growing.tasks[1]
    net = trainer.grown(2)
    plain = build_net(NET, **task.data.spec.shape, generator=generator)
    plain.load_state_dict(learner_state(net, task))
    images = normalise(task.data.test.images, task.data.spec)
    torch.testing.assert_close(plain.eval()(images), net.eval()(images)[:, list(task.classes)])


def test_its_answers_are_the_soft_targets(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    result = learn_stream(growing, LABELLED, budget(tmp_path), quick)
    assert result["memory_kept"]["soft_targets"]
    assert result["condense_with"] == "learner"
    for path in tmp_path.glob("*.safetensors"):
        provenance = ProxySet.load(path).provenance
        assert provenance["teacher"]["learner"] is True
        assert len(provenance["learner"]) == 64
    assert not list(tmp_path.glob("**/*teacher*"))  # none was trained


def test_dm_learns_between_it_and_fresh_networks(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    own = learn_stream(growing, DM_FEW, Budget(ipc=2, store=tmp_path), quick)
    with_it = learn_stream(growing, DM_FEW, budget(tmp_path), quick)
    assert (own["memory_settings"]["networks"], with_it["memory_settings"]["networks"]) == ("random", "between")
    stored = [ProxySet.load(path) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert sum("learner" in proxy.provenance for proxy in stored) == 3
    assert len({proxy.data.sha256() for proxy in stored}) == 6


@pytest.mark.parametrize("method", [DM_FEW, LABELLED], ids=["dm", "labels"])
def test_a_run_with_it_goes_on(growing: Stream, quick: Learning, tmp_path: Path, method: Method) -> None:
    whole = learn_stream(growing, method, budget(tmp_path / "one"), quick)
    resumed = stopped_and_resumed(growing, method, budget(tmp_path / "two"), quick, tmp_path / "run")
    assert untimed(resumed) == untimed(whole)


@pytest.mark.parametrize(
    ("memory", "change", "message"),
    [
        ("random", {}, "no network that the learner could stand in for"),
        ("none", {}, "none condenses nothing"),
        (DM_FEW, {"scheme": "gdumb"}, "`current_data=full`"),
        (DM_FEW, {"current_data": "memory"}, "`current_data=full`"),
        (DM(net="convnet-w8-d1", iterations=1), {}, "leave it out"),
    ],
)
def test_where_there_is_no_use_for_it(
    make_dataset: Callable[..., Dataset],
    quick: Learning,
    tmp_path: Path,
    memory: str | Method,
    change: dict[str, object],
    message: str,
) -> None:
    stream = split_classes(make_dataset(classes=4, flip=False), 2)
    with pytest.raises(InputError, match=message):
        learn_stream(stream, memory, budget(tmp_path), quick.model_copy(update=change))


def test_a_network_that_condenses_as_a_variant_is_refused(
    make_dataset: Callable[..., Dataset], quick: Learning, tmp_path: Path
) -> None:
    """ResNets pool by an average there, so that their weights have other names."""
    stream = split_classes(make_dataset(classes=4, size=16, flip=False), 2)
    memory = DM(net="resnet18", iterations=1, batch_real=2)
    with pytest.raises(InputError, match="a variant of resnet18"):
        learn_stream(stream, memory, budget(tmp_path), quick.model_copy(update={"net": "resnet18"}))
