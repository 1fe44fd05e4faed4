"""Methods by name."""

import pytest

from proxyset.artefact.build import build
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.coreset import Random
from proxyset.methods.dsa import DC, DSA
from proxyset.methods.registry import METHODS, get_method


def test_unknown_methods_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown method 'hearding': did you mean 'herding'"):
        get_method("hearding")
    with pytest.raises(InputError, match=r"unknown method 'zzz': known: .*dsa"):
        get_method("zzz")


def test_names_lead_to_their_classes() -> None:
    assert (get_method("dc"), get_method("dsa"), get_method("random")) == (DC, DSA, Random)
    assert {"random", "herding", "k-center", "forgetting", "dc", "dsa"} <= set(METHODS)
    assert all(METHODS[name].name == name for name in METHODS)


class Mine(Random):
    """A method of one's own."""

    name = "mine"


def mine_too() -> Method:
    return Mine()


def test_a_class_in_a_module_is_a_method_by_its_reference(tiny: Dataset) -> None:
    assert get_method(f"{__name__}:Mine") is Mine
    proxy = build(tiny, f"{__name__}:Mine", 2, session=Session(device="cpu"))
    assert proxy.provenance["method"] == "mine"


@pytest.mark.parametrize("attribute", ["mine_too", "Method", "tiny"])
def test_what_is_no_method_is_refused(attribute: str) -> None:
    if attribute == "Method":
        assert get_method(f"{__name__}:Method") is Method
        return
    words = "no method" if attribute == "mine_too" else "cannot load the method"
    with pytest.raises(InputError, match=words):
        get_method(f"{__name__}:{attribute}")


def test_a_registered_method_has_a_short_name(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    METHODS.register("mine", Mine)
    assert "mine" in METHODS
    assert build(tiny, "mine", 1, session=Session(device="cpu")).ipc == 1
    with pytest.raises(InputError, match="already a method 'mine'"):
        METHODS.register("mine", Mine)
