"""What the tests of the command line share."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from PIL import Image

from proxyset.progress import ProgressLine

FAST = ["--net", "convnet-w4-d1", "--iterations", "2", "--batch-real", "8"]


@dataclass
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: names, and what the files hold."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(result: Result, *words: str) -> None:
    """Exit code 2 and one line on stderr that has the words; nothing on stdout."""
    assert result.code == 2, result
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("proxyset: ")
    for word in words:
        assert word in lines[0]
    assert result.out == ""


def tensor_bytes(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in safetensors.torch.load_file(path).items()}


def save_npz(path: Path, seed: int = 0, **arrays: Any) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    content: dict[str, Any] = {"images": images, "labels": np.arange(30) % 3} | arrays
    np.savez(path, **content)


def save_folder(root: Path, classes: int = 2, count: int = 3) -> None:
    for label, number in np.ndindex(classes, count):
        folder = root / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 40 * label + number, np.uint8)).save(folder / f"{number}.png")


STEPS = ["--net", "convnet-w4-d1", "--ipc", "2", "--inner-steps", "2", "--net-epochs", "1", "--batch-real", "8"]


SLOW = ["--dataset", "three.npz", *STEPS]


def reference_set(cli: Cli, folder: Path, iterations: int) -> dict[str, bytes]:
    """What an uninterrupted run gives; makes the data too."""
    save_npz(folder / "three.npz")
    result = cli("build", *SLOW, "--iterations", iterations, "--out", folder / "whole.safetensors")
    assert result.code == 0, result.err
    return tensor_bytes(folder / "whole.safetensors")


def interrupter(step: int, number: int = signal.SIGINT) -> Callable[..., None]:
    """In place of the progress line's `__call__`: a real signal to this process after a step."""

    calls = iter(range(1, 10_000))

    def progress(line: ProgressLine, done: float, total: int, loss: float | None = None) -> None:
        if next(calls) == step:
            signal.raise_signal(number)

    return progress
