"""Settings that were given and that nothing uses."""

from typing import Any

import pytest

from continual.schemes.given import Variant, check_given
from continual.schemes.registry import SCHEMES
from continual.settings import Learning, TaskTraining
from proxyset.errors import InputError

PLAIN, DISTILLED, JOINT = ("random", False), ("random", True), ("joint", False)


@pytest.mark.parametrize(
    ("given", "variants", "message"),
    [
        (
            {"scheme": "gdumb", "epochs": 3},
            [PLAIN],
            "`epochs` is for `scheme=eeil`.*unused with `scheme=gdumb`: leave it",
        ),
        (
            {"scheme": "gdumb", "lr": 0.1, "loss": "cross-entropy"},
            [PLAIN],
            "(`lr` and `loss`|`loss` and `lr`) are for .*: leave them out",
        ),
        ({"scheme": "gdumb", "kd_weight": 2.0}, [PLAIN], "`kd_weight` is for `scheme=eeil`"),
        ({"kd_weight": 2.0}, [PLAIN], "`kd_weight` is for distillation, and there is none without `kd`"),
        ({"kd_softmax": "joint", "temperature": 3.0}, [PLAIN, JOINT], "are for distillation"),
        ({"der_weight": 1.0}, [PLAIN, DISTILLED], "`scheme=der` and `scheme=der[+][+]`, and unused with `scheme=eeil`"),
        ({"scheme": "der", "der_labels": 1.0}, [PLAIN], "`der_labels` is for `scheme=der[+][+]`"),
        ({"scheme": "der", "balance_epochs": 3}, [PLAIN], "`balance_epochs` is for `scheme=eeil`"),
        ({"gdumb_epochs": 3}, [PLAIN, JOINT], "`gdumb_epochs` is for `scheme=gdumb`"),
    ],
)
def test_what_nothing_uses_is_refused(given: dict[str, Any], variants: list[Variant], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_given(TaskTraining(**given), variants, set(given))


@pytest.mark.parametrize(
    ("given", "variants"),
    [
        ({"epochs": 3, "kd_weight": 2.0}, [PLAIN, DISTILLED]),  # of a comparison one variant is enough
        ({"scheme": "gdumb", "gdumb_epochs": 3, "epochs": 3}, [PLAIN, JOINT]),
        ({"balance_epochs": 3}, [JOINT]),  # a command that takes other memories takes this one
        ({"scheme": "der++", "der_labels": 1.0, "der_weight": 1.0, "lr": 0.1}, [PLAIN]),
        ({"scheme": "gdumb", "augment": "none", "net": "mlp", "trace": True}, [PLAIN]),
        ({"kd": False}, [PLAIN]),
    ],
)
def test_what_one_of_them_uses_is_taken(given: dict[str, Any], variants: list[Variant]) -> None:
    check_given(Learning(**given), variants, set(given))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_file_or_a_default_says_is_never_refused(scheme: Any) -> None:
    check_given(Learning(scheme=scheme, epochs=3), [PLAIN], {"scheme", "budget"})


def test_every_setting_is_of_some_scheme_and_every_scheme_names_settings() -> None:
    known = {name for kind in SCHEMES.values() for name in kind.uses(kd=True)}
    assert known == set(Learning.model_fields)
