"""Methods and networks from outside of the package, by the name of their module."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from tests.proxyset.cli.made import Cli, assert_refused, tensor_bytes

MODULE = '''
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from proxyset import Context, ImageSet, Method, Problem
from proxyset.data.spec import normalise


class Clashing(Method):
    """Its settings are called as some of the command's."""

    name: ClassVar[str] = "clashing"

    nets: int = Field(5, ge=1, description="of the method")
    size: float = Field(0.5, description="of the method")
    seed: str = Field("mine", description="of the method")
    strength: float = Field(1.0, description="of the method only")

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        means = [normalise(problem.real.images[index], problem.spec).mean(0) for index in problem.classes]
        images = torch.stack(means).repeat_interleave(problem.ipc, 0)
        images += torch.randn(images.shape, generator=context.generator)
        targets = torch.full((len(images), problem.spec.classes), 0.1 / (problem.spec.classes - 1))
        targets[torch.arange(len(images)), problem.labels] = 0.9
        return ImageSet(images, problem.labels, targets)


def linear(channels: int, size: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))


nothing = 3
'''


@pytest.fixture
def module(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the working folder, under a name of its own, because registries keep what they imported."""
    name = f"plug_in_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def test_settings_called_as_the_commands_get_their_own_values(cli: Cli, module: str) -> None:
    argv = ["build", "--method", f"{module}:Clashing", "--out", "set.safetensors", "--size", 12, "--seed", 3]
    result = cli(*argv, "--method.size", 0.75, "--method.nets", 7, "--strength", 2, "--json")
    assert result.code == 0, result.err
    (facts,) = json.loads(result.out)
    assert facts["settings"] == {"nets": 7, "size": 0.75, "seed": "mine", "strength": 2.0}
    assert (facts["seed"], facts["dataset"]["size"], facts["scores"]) == (3, 12, [])
    Path("c.yaml").write_text(f"method: {module}:Clashing\nsize: 12\nmethod.size: 0.75\nmethod.nets: 7\nstrength: 2\n")
    assert cli("build", "--config", "c.yaml", "--seed", 3, "--out", "again.safetensors").code == 0
    assert tensor_bytes(Path("again.safetensors")) == tensor_bytes(Path("set.safetensors"))
    assert_refused(cli(*argv, "--method.nets", 0, "--force"), "--method.nets: ", "got '0'")


def test_help_shows_which_flag_is_whose(cli: Cli, module: str) -> None:
    text = cli("build", "--method", f"{module}:Clashing", "--help").out
    common, _, own = text.partition("flags of method clashing")
    assert "--nets INT" in common
    assert "--size INT" in common
    assert "--method.nets INT" in own
    assert "--method.size FLOAT" in own
    assert "--strength FLOAT" in own


def test_soft_targets_are_kept_scored_shown_and_exported(cli: Cli, module: str, tmp_path: Path) -> None:
    assert cli("build", "--method", f"{module}:Clashing", "--ipc", 2, "--out", "soft.safetensors").code == 0
    proxy = ProxySet.load(tmp_path / "soft.safetensors")
    assert proxy.data.targets is not None
    torch.testing.assert_close(proxy.data.targets.sum(1), torch.ones(20))
    result = cli("eval", "soft.safetensors", "--net", f"{module}:linear", "--nets", 2, "--epochs", 20, "--json")
    assert result.code == 0, result.err
    (row,) = json.loads(result.out)
    assert row["net"] == f"{module}:linear"
    assert row["mean"] > 0.3  # chance: 0.1
    assert cli("show", "soft.safetensors").code == 0
    assert cli("export", "soft.safetensors", "--format", "npz").code == 0
    assert cli("export", "soft.safetensors").code == 0
    assert cli("export", "soft.safetensors", "--force").code == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:Method", ["no_such_module"]),
        ("{}:Absent", ["Absent"]),
        ("{}:nothing", ["is no method"]),
        ("{}:", ["package.module:name"]),
    ],
)
def test_a_method_that_cannot_be_had_is_one_line(name: str, words: list[str], cli: Cli, module: str) -> None:
    assert_refused(cli("build", "--method", name.format(module)), *words)


def test_a_network_that_cannot_be_had_is_one_line(cli: Cli, module: str, built: Path) -> None:
    assert_refused(cli("eval", built, "--net", f"{module}:absent"), "absent")
    assert_refused(cli("eval", built, "--net", "no_such_module:net"), "no_such_module")
