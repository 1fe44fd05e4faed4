"""The networks that a search keeps: how they are chosen and trained, what their files hold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.data.validation import with_validation
from proxyset.errors import InputError
from proxyset.train.evaluate import accuracy
from search.final import Finisher
from search.finals import append_final, clear_finals, network_path, read_finals
from search.jobs import promoted
from search.network import Network, OnPixels
from search.report import found
from search.sources.trained import SCORED, VALIDATION
from search.trial import Row, TrialContext, pack
from tests.search.conftest import ARCHS, make_context

NAME = str(ARCHS[0])


@pytest.fixture
def held(make_dataset: Callable[..., Dataset]) -> tuple[Dataset, TrialContext]:
    dataset = with_validation(make_dataset(counts=12), 0.25)
    assert dataset.validation is not None
    context = make_context(dataset, final_epochs=4)
    return dataset, replace(context, sets={**context.sets, VALIDATION: pack(dataset.validation)})


def test_the_best_epoch_by_validation_is_kept_and_tested(held: tuple[Dataset, TrialContext]) -> None:
    """Held against the same training, looked at after every epoch."""
    dataset, context = held
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []

    finisher = Finisher(context, Session())
    train: Any = finisher.bench.train

    def watch(candidate: Any, source: Any, generator: Any, on_epoch: Any) -> Any:
        def both(net: torch.nn.Module, done: int) -> None:
            assert dataset.validation is not None
            value = accuracy(net, dataset.validation, dataset.spec)
            seen.append((value, {name: tensor.clone() for name, tensor in net.state_dict().items()}))
            on_epoch(net, done)

        return train(candidate, source, generator, both)

    finisher.bench.train = watch  # type: ignore[method-assign, assignment]
    row, weights = finisher(NAME)
    values = [value for value, _ in seen]
    best = max(range(4), key=lambda epoch: (values[epoch], epoch))
    assert (len(seen), row["epoch"], row["validation"]) == (4, best + 1, values[best])
    assert all(torch.equal(weights[name], tensor) for name, tensor in seen[best][1].items())
    net = Network(NAME, dataset.spec, weights).build()
    assert row["test"] == accuracy(net, dataset.test, dataset.spec)


def test_the_same_seed_keeps_the_same_bits(held: tuple[Dataset, TrialContext]) -> None:
    (first, weights), (second, again) = (Finisher(held[1], Session())(NAME) for _ in range(2))
    assert first | {"seconds": 0} == second | {"seconds": 0}
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_without_a_validation_split_the_test_split_chooses_nothing(context: TrialContext) -> None:
    settings = context.settings.model_copy(update={"final_epochs": 3})
    row, _ = Finisher(replace(context, settings=settings), Session())(NAME)
    assert (row["validation"], row["epoch"]) == (None, 3)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_part_of_the_judging_images_ranks_and_chooses_no_epoch(
    held_out: bool, held: tuple[Dataset, TrialContext]
) -> None:
    """`score_images` shortens trials. The epoch that is kept is chosen by all held-out images, or by none."""
    dataset, context = held
    sets = {name: arrays for name, arrays in context.sets.items() if held_out or name != VALIDATION}
    part = replace(context, sets={**sets, SCORED: pack(dataset.test[torch.arange(2)])})
    assert part.judge == SCORED
    row, _ = Finisher(part, Session())(NAME)
    expected, _ = Finisher(replace(context, sets=sets), Session())(NAME)
    assert row | {"seconds": 0} == expected | {"seconds": 0}
    assert (row["validation"] is None) is not held_out


def test_one_that_diverges_is_a_row_with_its_error(held: tuple[Dataset, TrialContext]) -> None:
    settings = held[1].settings.model_copy(update={"lr": 1e30})
    row, weights = Finisher(replace(held[1], settings=settings), Session())(NAME)
    assert "not finite" in row["error"]
    assert weights == {}


def test_every_ranking_promotes_its_best_but_the_ceiling(context: TrialContext) -> None:
    names = [str(arch) for arch in ARCHS]
    orders = {"random": (0, 1, 2), "params": (1, 0, 2), "whole": (0, 2, 1), "whole-again": (2, 1, 0)}
    rows: list[Row] = [
        {"source": source, "name": names[arch], "repeat": 0, "score": 1.0 - place, "accuracy": None, "seconds": 0.0}
        for source, order in orders.items()
        for place, arch in enumerate(order)
    ]
    one, two = (context.settings.model_copy(update={"promote": count}) for count in (1, 2))
    assert promoted(replace(context, settings=one), rows) == [names[0], names[1]]
    assert promoted(replace(context, settings=two), rows) == [names[0], names[1], names[2]]


def row(name: str, validation: float | None, test: float, place: int = 0) -> Row:
    facts: Row = {"name": name, "place": place, "validation": validation, "test": test, "epoch": 2}
    return facts | {"seconds": 1.0, "threads": 1, "error": None}


def test_validation_finds_the_best_and_not_the_test() -> None:
    assert found([row("a", 0.8, 0.9), row("b", 0.9, 0.7)])["name"] == "b"
    assert found([row("b", None, 0.9, place=1), row("a", None, 0.7)])["name"] == "a"
    assert found([row("a", None, 0.7) | {"test": None, "error": "no"}]) == {}


def test_what_is_kept_of_a_run(tmp_path: Path) -> None:
    append_final(tmp_path, row("a", 0.8, 0.9))
    with open(tmp_path / "finals.jsonl", "ab") as file:
        file.write(b'{"name": "b", "val')  # as a kill leaves it
    append_final(tmp_path, row("c", 0.8, 0.9))
    assert [one["name"] for one in read_finals(tmp_path)] == ["a", "c"]
    append_final(tmp_path, row("a", 0.1, 0.1))
    with pytest.raises(InputError, match="'a' twice"):
        read_finals(tmp_path)
    clear_finals(tmp_path, ["a", "c"])
    assert list(tmp_path.iterdir()) == []
    append_final(tmp_path, row("a", None, 0.0) | {"test": None, "error": "out of memory"})
    append_final(tmp_path, row("a", 0.8, 0.9))  # tried again
    assert read_finals(tmp_path) == [row("a", 0.8, 0.9)]


def test_names_that_no_file_can_have_get_files_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a-b", "../../etc", "x" * 200, "x" * 201]
    paths = [network_path(tmp_path, name) for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.parent == tmp_path / "networks" for path in paths)
    assert network_path(tmp_path, NAME).name == f"{NAME}.safetensors"


def test_a_network_reads_back_and_a_changed_one_is_refused(held: tuple[Dataset, TrialContext], tmp_path: Path) -> None:
    dataset, context = held
    _, weights = Finisher(context, Session())(NAME)
    path = tmp_path / "net.safetensors"
    Network(NAME, dataset.spec, weights, facts={"test": 0.5}).save(path)
    read = Network.load(path)
    assert (read.name, read.spec, read.facts) == (NAME, dataset.spec, {"test": 0.5})
    assert all(torch.equal(read.weights[name], weights[name]) for name in weights)
    pixels = dataset.test.images
    on_pixels, net = OnPixels(read.build(), read.spec), read.build()
    normal = (pixels / 255 - 0.5) / 0.25
    assert torch.allclose(on_pixels(pixels / 255), net(normal), atol=1e-6)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="content hash"):
        Network.load(path)


def test_an_architecture_that_the_weights_are_not_of_is_refused(held: tuple[Dataset, TrialContext]) -> None:
    dataset, context = held
    _, weights = Finisher(context, Session())(NAME)
    with pytest.raises(InputError, match="is not what its weights are of"):
        Network(str(ARCHS[2]), dataset.spec, weights).build()
    with pytest.raises(InputError, match="given in Python"):
        Network("mine", dataset.spec, weights, facts={"given": True}).build()
