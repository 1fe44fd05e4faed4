"""The words for a name that is not known."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import checkpoint_path
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, interruptible, nearest, one_line
from proxyset.methods.dm import DM


def test_the_nearest_name_is_offered_or_all_of_few() -> None:
    assert nearest("hearding", ["herding", "random"]) == "did you mean 'herding'?"
    assert nearest("HERDING", ["herding", "random"]) == "did you mean 'herding'?"
    assert nearest("zzz", ["herding", "random"]) == "known: herding, random"
    assert nearest("zzz", map(str, range(100))) == "none of the 100 known is near it"


def test_a_foreign_error_becomes_one_short_line() -> None:
    assert one_line(ValueError("first\n  second")) == "first second"
    assert len(one_line("x" * 1000)) == 160


@contextlib.contextmanager
def breaks() -> Iterator[None]:
    """As torch's modes do where a signal comes while one is off their stack."""
    try:
        yield
    finally:
        raise RuntimeError("trying to pop from empty mode stack")


def test_what_fails_on_the_way_out_of_an_interruption_is_one() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible(), breaks():
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="stack"), interruptible(), breaks():
        pass
    ours = InputError("words of our own stay")
    ours.__context__ = KeyboardInterrupt()
    with pytest.raises(InputError), interruptible():
        raise ours


def test_an_earlier_interruption_is_over() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(RuntimeError, match="stack"), interruptible(), breaks():
            pass


def test_an_interruption_that_a_failure_hides_still_keeps_the_steps(tiny: Dataset, tmp_path: Path) -> None:
    wanted = ProxySpec(tiny, DM(net="convnet-w4-d1", iterations=4), 1)
    path = tmp_path / "set.safetensors"

    def progress(done: float, total: int, loss: float | None = None) -> None:
        if done >= 2:
            with breaks():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="2 steps are kept"):
        build_file(wanted, path, progress=progress)
    assert checkpoint_path(path).exists()
