"""Things by name: built in, registered, of other packages, of a user's own modules."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from proxyset import registry as module
from proxyset.errors import InputError
from proxyset.registry import Registry, is_reference

THING = object()


@pytest.fixture
def things() -> Registry[Any]:
    return Registry("thing", "proxyset.things", {"here": THING, "Later": f"{__name__}:THING"})


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that offers two things in the group, one of which cannot be imported."""
    points = [
        EntryPoint("offered", f"{__name__}:THING", "proxyset.things"),
        EntryPoint("broken", "no_such_package_of_mine:THING", "proxyset.things"),
        EntryPoint("other", f"{__name__}:THING", "somebody.else"),
    ]
    monkeypatch.setattr(module, "entry_points", lambda group: [point for point in points if point.group == group])


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a module in it that nobody installed."""
    (tmp_path / "mine_of_this_test.py").write_text("class Thing:\n    class Inner:\n        pass\n")
    (tmp_path / "failing_of_this_test.py").write_text("raise ValueError('first line\\nsecond line')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_built_in_things_are_imported_when_they_are_asked_for(things: Registry[Any]) -> None:
    assert things["here"] is THING
    assert things["Later"] is THING
    assert list(things) == ["here", "Later"]
    assert len(things) == 2


def test_names_keep_their_case(things: Registry[Any]) -> None:
    assert "Later" in things
    assert "later" not in things
    with pytest.raises(InputError, match="unknown thing 'later'"):
        things["later"]


def test_unknown_names_give_the_nearest(things: Registry[Any]) -> None:
    with pytest.raises(InputError, match="unknown thing 'hree': did you mean 'here'"):
        things["hree"]
    with pytest.raises(InputError, match="unknown thing 'zzzz': known: Later, here"):
        things["zzzz"]
    assert not things.knows("zzzz")


def test_a_registered_thing_is_known_by_its_name_and_no_name_is_given_twice(things: Registry[Any]) -> None:
    mine = object()
    assert things.register("mine", mine) is mine
    assert things["mine"] is mine
    for taken in ("mine", "here", "Later"):
        with pytest.raises(InputError, match="already a thing"):
            things.register(taken, object())
    for name in ("", "a:b", "a b", "a\n"):
        with pytest.raises(InputError, match="cannot be called"):
            things.register(name, object())


@pytest.mark.usefixtures("offered")
def test_other_packages_offer_things_by_entry_points(things: Registry[Any]) -> None:
    assert set(things) == {"here", "Later", "offered", "broken"}
    assert things["offered"] is THING
    assert things.knows("offered")
    with pytest.raises(InputError, match=r"cannot load the thing 'broken' of no_such.*ModuleNotFoundError"):
        things["broken"]
    with pytest.raises(InputError, match="already a thing 'offered'"):
        things.register("offered", object())


@pytest.mark.usefixtures("working_folder")
def test_a_module_in_the_working_folder_is_found(things: Registry[Any]) -> None:
    thing = things["mine_of_this_test:Thing"]
    assert thing.__name__ == "Thing"
    assert things["mine_of_this_test:Thing"] is thing
    assert things.knows("mine_of_this_test:Thing")
    assert "mine_of_this_test:Thing" not in list(things)  # names are those known without a module


@pytest.mark.usefixtures("working_folder")
@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("mine_of_this_test:Nothing", "has no attribute 'Nothing'"),
        ("nowhere_at_all:Thing", "No module named 'nowhere_at_all'"),
        ("failing_of_this_test:Thing", "ValueError: first line second line"),
        ("mine-of-this:Thing", "named package.module:name"),
        (":Thing", "named package.module:name"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_in_a_line(reference: str, words: str, things: Registry[Any]) -> None:
    with pytest.raises(InputError, match=words) as raised:
        things[reference]
    assert "\n" not in str(raised.value)


def test_references_are_a_module_and_a_name() -> None:
    assert is_reference("package.module:Class")
    for text in ("dsa", "package.module", "module:", ":Class", "a b:Class", "module:Class.inner", "C:\\file"):
        assert not is_reference(text), text
