"""The evaluation protocol."""

from typing import Any

import pytest

from proxyset.errors import InputError
from proxyset.train.protocols import Evaluation


def test_defaults_are_the_papers() -> None:
    protocol = Evaluation()
    assert (protocol.nets, protocol.lr, protocol.momentum) == (20, 0.01, 0.9)
    assert (protocol.weight_decay, protocol.batch_size) == (5e-4, 256)
    assert protocol.resolved().epochs == 1000
    assert Evaluation(augment="none").resolved().epochs == 300
    assert Evaluation(epochs=7).resolved().epochs == 7


@pytest.mark.parametrize("setting", [{"nets": 0}, {"epochs": 0}, {"lr": 0}, {"momentum": 1}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(setting))}`"):
        Evaluation(**setting)
