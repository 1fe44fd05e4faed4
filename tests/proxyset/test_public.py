"""The public surface: what `import proxyset` gives."""

import inspect
import subprocess
import sys

import pytest

import proxyset
from proxyset.registry import Registry


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    code = "import proxyset; print(*dir(proxyset))"  # in an interpreter that has imported none of it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {*proxyset.__all__, "__version__"}
    wanted = {
        *("load", "Dataset", "DatasetSpec", "ImageSet", "build", "evaluate", "Evaluation", "Recipe", "Session"),
        *("Compute", "METHODS", "Method", "Problem", "Context", "Arch", "build_net", "NETS", "ProxySet"),
        *("ProxyDataset", "InputError", "RunError", "OPERATIONS", "Operation", "LearnedMethod", "Score"),
    }
    assert wanted <= set(proxyset.__all__)


def test_every_public_name_is_there_and_documented() -> None:
    for name in proxyset.__all__:
        thing = getattr(proxyset, name)
        assert isinstance(thing, Registry) or callable(thing), name
        if not isinstance(thing, Registry):
            assert inspect.getdoc(thing), name
    assert proxyset.evaluate.__name__ == "evaluate"
    assert proxyset.build.__name__ == "build"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = proxyset.nothing


def test_what_a_notebook_shows_is_short() -> None:
    data = proxyset.load("digits")
    proxy = proxyset.build(data, "random", 2, session=proxyset.Session(device="cpu"))
    for thing in (data, proxy):
        assert len(repr(thing)) < 120
        assert "\n" not in repr(thing)
        assert "<img" in thing._repr_html_()
