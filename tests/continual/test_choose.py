"""What a memory is called, with settings of its own beside its name."""

import re
from pathlib import Path

import pytest

from continual.choose import folder_name, label, provider_for, short_names, split_memory
from continual.compare import Common, make_cells
from continual.method_provider import MethodProvider
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.compute.session import Session
from proxyset.errors import InputError


@pytest.mark.parametrize(
    ("name", "parts", "shown"),
    [
        ("dm", ("dm", ()), "dm"),
        ("dm formation=2 lr_img=5", ("dm", ("formation=2", "lr_img=5")), "dm-formation=2-lr_img=5"),
        ("my.module:Mean noise=1", ("my.module:Mean", ("noise=1",)), "Mean-noise=1"),
        ("a folder/b c.safetensors", ("a folder/b c.safetensors", ()), "b c"),
    ],
)
def test_a_name_and_its_settings(name: str, parts: tuple[str, tuple[str, ...]], shown: str) -> None:
    assert split_memory(name) == parts
    assert label(name) == shown


def test_own_settings_go_before_those_of_all(growing: Stream, tmp_path: Path) -> None:
    trainer = Trainer(growing, Learning(net="convnet-w4-d1"), session=Session(device="cpu"))
    budget = Budget(memory_settings=("iterations=3", "lr_img=2"), store=tmp_path)
    provider = provider_for("dm lr_img=7", budget, trainer, ranks_by_learner=False)
    assert isinstance(provider, MethodProvider)
    settings = provider.method.model_dump()
    assert (settings["iterations"], settings["lr_img"], settings["net"]) == (3, 7.0, trainer.net)


@pytest.mark.parametrize("name", ["", " ", "dm formatoin=2", "dm formation", "dmm formation=2", "none formation=2"])
def test_slips_are_refused(growing: Stream, tmp_path: Path, name: str) -> None:
    trainer = Trainer(growing, Learning(net="convnet-w4-d1"), session=Session(device="cpu"))
    with pytest.raises(InputError):
        provider_for(name, Budget(store=tmp_path), trainer, ranks_by_learner=False)


def test_variants_of_one_method_are_compared(tmp_path: Path) -> None:
    cells = make_cells(("dm", "dm formation=2"), (0,), "without", Common(tmp_path))
    assert [cell.path.name for cell in cells] == ["dm-seed0", "dm-formation=2-seed0"]


def test_long_memories_have_folders_of_their_own(tmp_path: Path) -> None:
    long = " ".join(
        ["dm", "iterations=150 batch_real=64 lr_img=5 networks=trained weight_classes=1", "net_epochs=10" * 3]
    )
    memories = (f"{long} formation=2", f"{long} formation=3")
    cells = make_cells(memories, (0, 1), "without", Common(tmp_path))
    assert all(re.fullmatch(r"dm-[0-9a-f]{8}-seed[01]", cell.path.name) for cell in cells)
    assert len({cell.path for cell in cells}) == 4
    assert folder_name(memories[0]) == folder_name(memories[0]) != folder_name(memories[1])
    long_file = folder_name("x" * 300 + ".safetensors", "continual-", "-seed3", longest=200)
    assert re.fullmatch(r"continual-x+-[0-9a-f]{8}-seed3", long_file)
    assert len(long_file) <= 200


@pytest.mark.parametrize(("letters", "cut"), [(100, False), (101, True)])
def test_names_that_fit_stay_as_they_are(letters: int, cut: bool) -> None:
    name = "a" * letters
    assert (folder_name(f"{name}.safetensors") != name) is cut
    assert folder_name("dm formation=2", "run-", "-seed0") == "run-dm-formation=2-seed0"


def test_names_in_a_legend_keep_what_tells_memories_apart() -> None:
    memories = [
        "none",
        "random",
        "random formation=2",
        "dm lr_img=5",
        "dm lr_img=5 formation=2",
        "dsa lr_img=1",
        "a b.safetensors",
    ]
    short = ["none", "random", "random formation=2", "dm …", "dm formation=2 …", "dsa …", "a b.safetensors"]
    assert list(short_names(memories).values()) == short
