"""Names that other people chose: one line on a terminal, one folder on a disk, no formula in a picture."""

from pathlib import Path

import pytest

from proxyset.names import clean_name, figure_name, path_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("naïve 日本 b/c", "naïve 日本 b/c"),
        ("a\x00b", "a�b"),
        ("a\r\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\ud800", "�"),
        ("left\u202eright", "left�right"),
        ("n" * 1000, "n" * 79 + "…"),
        ("", ""),
    ],
)
def test_names_are_fit_for_a_terminal(name: str, shown: str) -> None:
    assert clean_name(name) == shown
    clean_name(name).encode()


@pytest.mark.parametrize("name", ["naïve", "a b", "cat.1", "日本"])
def test_a_harmless_name_is_a_folder_name_as_it_is(name: str) -> None:
    assert path_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../..", "/etc/passwd", "a/b", "a\\b", ".hidden", "\x00", "\ud800", "日" * 500, " ", "x. ", "\n"],
)
def test_every_name_can_be_made_a_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / path_name(name)
    folder.mkdir()
    assert folder.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == [path_name(name)]
    assert not path_name(name).startswith(".")


def test_a_dollar_sign_begins_no_formula() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.suptitle(figure_name("$x^$ \x1b _$"))
    figure.canvas.draw()
