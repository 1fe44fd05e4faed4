"""The names of the ConvNets."""

import pytest

from proxyset.errors import InputError
from proxyset.nets.arch import Arch, all_archs
from proxyset.nets.build import check_net, full_name


def test_names_of_all_720_read_back() -> None:
    for arch in all_archs():
        assert Arch.parse(str(arch)) == arch
    assert str(Arch()) == "convnet-w128-d3-relu-instance-avg"


def test_partial_names_take_the_defaults() -> None:
    assert Arch.parse("convnet") == Arch()
    assert Arch.parse("ConvNet-W32") == Arch(width=32)
    assert Arch.parse("convnet-sigmoid-nonorm-nopool-d2") == Arch(128, 2, "none", "sigmoid", "none")
    assert Arch.parse("convnet", size=8).depth == 2  # a third block would normalise over 2×2
    assert Arch.parse("convnet-d3", size=8).depth == 3
    assert full_name("convnet-w8", 8) == "convnet-w8-d2-relu-instance-avg"
    assert full_name("resnet18", 32) == "resnet18"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("convnett", "did you mean 'convnet'"),
        ("resnet", "did you mean 'resnet18'"),
        ("convnet-w32-instanc", "did you mean 'instance'"),
        ("convnet-w0", "at least 1"),
        ("convnet-w6-group", "multiple of 4"),
        ("convnet-w8-w16", "width twice"),
        ("transformer", "unknown network 'transformer'"),
        ("", "unknown network ''"),
        ("ResNet18", "did you mean 'resnet18'"),  # names keep their case
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_net(name, channels=3, size=32, classes=10)


@pytest.mark.parametrize(
    "parts", [{"norm": "lyer"}, {"activation": "gelu"}, {"pooling": "mean"}, {"width": 0}, {"depth": 0}]
)
def test_parts_that_do_not_exist_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Arch(**parts)  # type: ignore[arg-type]
