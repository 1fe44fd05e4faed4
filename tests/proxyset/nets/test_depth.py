"""A line where a ConvNet has too few blocks for the size of the images."""

import logging
from dataclasses import replace

import pytest

from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.nets.arch import Arch
from proxyset.nets.depth import depth_advice, say_if_shallow


@pytest.mark.parametrize(
    ("net", "size", "advised"),
    [
        ("convnet", 8, None),
        ("convnet", 32, None),
        ("convnet", 64, None),
        ("convnet", 96, "convnet-w128-d4"),
        ("convnet", 128, "convnet-w128-d5"),
        ("convnet-d5", 128, None),
        ("convnet", 256, "convnet-w128-d6"),
        ("convnet-d6", 256, None),
        ("convnet-d1", 32, None),
        ("convnet-d1", 48, "convnet-w128-d3"),
        ("convnet-d1-nopool", 256, None),
        ("resnet18", 256, None),
        ("package.module:net", 256, None),
        (Arch(width=32, depth=4), 256, "convnet-w32-d6"),
    ],
)
def test_a_deeper_one_is_named_where_it_would_be_better(net: str | Arch, size: int, advised: str | None) -> None:
    line = depth_advice(net, size)
    assert (line is None) == (advised is None)
    if line is not None:
        assert f"{advised} is meant for this size" in line


def test_it_is_said_once(tiny: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    session, spec = Session(device="cpu"), replace(tiny.spec, size=128)
    with caplog.at_level(logging.WARNING):
        say_if_shallow(session.say_once, "convnet", spec)
        say_if_shallow(session.say_once, "convnet", spec)
        say_if_shallow(session.say_once, "convnet", tiny.spec)
    assert len(caplog.messages) == 1
    assert "maps of 16×16 of 128 pixels, and its head gets 32,768 inputs" in caplog.messages[0]
