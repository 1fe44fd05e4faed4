"""1,000 damaged YAML files and 500 damaged tables of targets: refused in one line, or settings that can be."""

import functools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from proxyset.artefact.export import export
from proxyset.artefact.proxy_set import ProxySet
from proxyset.cli.build import Build
from proxyset.cli.method import asked_for, without_a_name
from proxyset.cli.options import Command, compose, flatten, read_yaml, with_group
from proxyset.cli.parse import parse
from proxyset.data.folder import TARGETS
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset, DatasetSpec
from proxyset.errors import InputError
from proxyset.methods.registry import get_method
from tests.robust.fuzz import PIECES, changed, mutants, survives

CONFIG = """\
# proxyset build --config this.yaml
dataset: digits
size: 16
method: dsa
ipc: 2
seed: 3
seeds: [1, 2, 3]
net: convnet-w4-d1
iterations: 10
lr_img: 0.1
lr-net: 1.0e-2
precision: fp32
compile: off
memory_limit: 2.5
out: "set.safetensors"
force: false
"""


def command_of(path: Path) -> Command:
    """The settings that `proxyset build --config PATH` works with, without the words of a command line."""
    values = read_yaml(str(path))
    return compose(model_of(str(values.get("method") or "dsa")), values)


@functools.cache
def model_of(method: str) -> type[Build]:
    return with_group(Build, get_method(method), "flags of the method", "method")


def can_be(command: Command) -> bool:
    """Whether settings are of their types, finite, and come out the same when they are given again."""
    values = flatten(command)
    numbers = [value for value in values.values() if isinstance(value, int | float)]
    return all(map(math.isfinite, numbers)) and compose(type(command), values) == command


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return path


def test_damaged_configs(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", CONFIG)
    assert can_be(command_of(path))
    damaged = mutants(CONFIG.encode(), 500, seed=1)
    counts = survives(lambda data: command_of(write(path, data)), damaged, can_be)
    assert counts.total() == 500
    assert counts["refused"] > 250


def test_configs_with_other_values(tmp_path: Path) -> None:
    values, draw = yaml.safe_load(CONFIG), random.Random(2)

    def texts() -> Iterator[str]:
        for _ in range(500):
            yield yaml.safe_dump(changed(values, draw), allow_unicode=draw.random() < 0.5)

    counts = survives(lambda text: command_of(write(tmp_path / "c.yaml", text)), texts(), can_be)
    assert counts.total() == 500
    assert counts["refused"] > 250


def test_what_the_parser_of_the_command_line_makes_of_them(tmp_path: Path) -> None:
    """The same through tyro, which takes longer."""
    path = tmp_path / "c.yaml"

    def read(data: bytes) -> Command:
        argv = ["--config", str(write(path, data))]
        named = asked_for(argv)
        return parse(model_of(without_a_name(argv) if named is None else named), argv, "proxyset build")

    assert survives(read, mutants(CONFIG.encode(), 40, seed=3), can_be).total() == 40


# Tables of soft targets.


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    spec = DatasetSpec("tiny", 1, 8, ("a", "b"), (0.5,), (0.25,))
    export(ProxySet(ImageSet(images, torch.tensor([0, 0, 1, 1]), targets), spec), tmp_path / "set", "folder")
    return tmp_path / "set"


def soft(data: Dataset) -> bool:
    """Whether the targets are probabilities, one row for each image."""
    targets, count = data.train.targets, len(data.train)
    return targets is not None and targets.shape == (count, 2) and bool(((targets.sum(1) - 1).abs() < 1e-2).all())


def test_damaged_tables_of_targets(exported: Path) -> None:
    table = exported / TARGETS
    whole = table.read_bytes()
    assert soft(load(exported))

    def read(data: bytes) -> Dataset:
        table.write_bytes(data)
        return load(exported)

    pieces = [whole.replace(b"0.25", piece) for piece in PIECES] + [whole.replace(b"train", piece) for piece in PIECES]
    damaged = [*mutants(whole, 500 - len(pieces), seed=4), *pieces]
    counts = survives(read, damaged, soft)
    assert counts.total() == 500
    assert counts["refused"] > 350


# Bombs.


def bomb(levels: int, width: int = 9) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(9),
        bomb(8, width=2),
        bomb(5, width=4),
        "a: &a [1]\nb: {<<: *a}\n",
        "a: &a {b: 1}\nc: {<<: [*a, *a]}\n",
        "a: &a [*a]\n",
        "&a {? *a : 1}\n",
        "[" * 100_000,
        "a: " + "[" * 500 + "]" * 500,
        "a: " + "{b: " * 500 + "}" * 500,
        "- " * 5000 + "x",
        "a: " + "9" * 100_000,
        "a: 0x" + "f" * 100_000,
        "a: 99999999999999999999",
        "seed: 1\nseed: 1\n",
        "lr-img: 1\nlr_img: 1\n",
        "lr_img: .inf\n",
        "seeds: [1, -.inf]\n",
        "lr_img: 1e999\n",
        "config: c.yaml\n",
        "ipc: true\n",
        "lr_img: yes\n",
        "seed: 2020-13-45\n",
        "seed: 1:60:99\n",
        "seed: !!timestamp x\n",
        "seed: !!int x\n",
        "seed: !!python/object/apply:os.getcwd []\n",
        "seed: !!binary x\n",
        "seed: !mine 1\n",
        "? [1, 2]\n: 3\n",
        "? {a: 1}\n: 3\n",
        "method: [dsa]\n",
        "method: null\n",
        "method: 1\n",
        "--- 1\n--- 2\n",
        "seed: 1\n---\nseed: 2\n",
        "\x00",
        "seed: \x1b[31m",
        "seed: '\\ud800'",
        'dataset: "\\ud800"\nsize: x',
        "x" * 300_000,
        "a: 1\n" * 60_000,
        "\n".join(f"a{n}: 1" for n in range(20_000)),
    ],
    ids=lambda text: text[:24].replace("\n", " "),
)
def test_bombs_and_slips_are_one_line(text: str, tmp_path: Path) -> None:
    def refused(text: str) -> None:
        with pytest.raises(InputError) as raised:
            command_of(write(tmp_path / "c.yaml", text))
        assert len(str(raised.value)) < 500
        raise raised.value

    assert survives(refused, [text]) == {"refused": 1}


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    text = "seeds: &these [1, 2]\nmethod: random\n"
    found: Any = command_of(write(tmp_path / "c.yaml", text))
    assert found.how.seeds == (1, 2)
