"""Library messages name settings; a person at the terminal reads flags."""

import pytest
from pydantic import Field

from proxyset.cli.messages import in_flags, plain, remember
from proxyset.cli.options import Command, Output, with_group
from proxyset.settings import Compute, Settings


class Sizes(Settings):
    size: int | None = Field(None, description="pixels")
    net: tuple[str, ...] = Field((), description="networks")
    free: bool = Field(True, description="a switch")


class Example(Command):
    sizes: Sizes = Sizes()
    compute: Compute = Compute()
    output: Output = Output()


class Plugin(Settings):
    size: int = 3
    lr_img: float = 0.1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`size=32` brings all to 32×32", "--size 32 brings all to 32×32"),
        ("`size=N` brings them to N×N", "--size N brings them to N×N"),
        ("`force=True` starts over", "--force starts over"),
        ("`free=False` leaves that out", "--no-free leaves that out"),
        ("lower `memory_limit`", "lower --memory-limit"),
        ("`memory_limit=0.5` is too small", "--memory-limit 0.5 is too small"),
        ("`net=('mlp', 'le net')`", "--net mlp 'le net'"),
        ("`device='cpu'`, `out`", "--device cpu, --out"),
        ("`as_json=True`", "--json"),
        ("`lr_img`: too low; `method.size`: too high", "--lr-img: too low; --method.size: too high"),
        ("`epochs=3` is no flag here", "epochs=3 is no flag here"),
        ("`not a name` stays", "`not a name` stays"),
    ],
)
def test_settings_become_flags_of_the_command_that_runs(message: str, shown: str) -> None:
    remember(with_group(Example, Plugin, "plug-in", "method"))
    try:
        assert in_flags(message) == shown
    finally:
        remember(None)
    assert in_flags("`size=32` is too large") == plain("`size=32` is too large") == "size=32 is too large"
