"""A grid: which cells it has, what they are made of, and how its table is laid out."""

import math
from typing import Any

import numpy as np
import pytest

from proxyset.errors import InputError
from proxyset.methods.coreset import Herding
from proxyset.methods.dsa import DSA
from proxyset.report.grid_cell import GridCell
from proxyset.report.grid_file import GridFile
from proxyset.report.grid_tables import results, table_of

FILE: dict[str, Any] = {
    "datasets": {"a": {"dataset": "digits"}, "b": {"dataset": "digits", "size": 16}},
    "methods": {
        "dsa": {"iterations": 3},
        "few": {"method": "herding", "epochs": 2},
        "whole": {"epochs": 7},
    },
    "ipc": [1, 10],
    "seeds": [0, 1],
    "tests": {"one": {"net": ["mlp", "lenet"], "nets": 2}, "two": {"epochs": 3, "nets": 1}},
}


def made(**changes: Any) -> GridFile:
    return GridFile(**FILE | changes)


def rows_of(cells: list[GridCell], accuracy: Any) -> dict[str, dict[str, Any]]:
    return {
        cell.key: {"key": cell.key, "score": True, "error": None, "accuracies": accuracy(cell), "seconds": 1.0}
        for cell in cells
    }


def test_cells_are_every_combination_and_the_whole_set_is_there_once() -> None:
    cells = made().cells()
    assert len({cell.key for cell in cells}) == len(cells) == 2 * (2 * 2 * 2 + 1) * 3
    whole = [cell for cell in cells if cell.method == "whole" and cell.dataset == "a"]
    assert [(cell.ipc, cell.seed, cell.test, cell.net) for cell in whole] == [
        (None, None, "one", "mlp"),
        (None, None, "one", "lenet"),
        (None, None, "two", "convnet"),
    ]


def test_methods_have_names_of_their_own_and_exceptions_change_their_settings() -> None:
    exceptions = [
        {"where": {"method": "dsa", "ipc": [10]}, "set": {"iterations": 9}},
        {"where": {"method": "dsa", "dataset": "b", "ipc": 10}, "set": {"lr-img": 0.5}},
        {"where": {"net": "lenet"}, "skip": "too small"},
    ]
    grid = made(exceptions=exceptions)
    grid.check()
    assert isinstance(grid.method("few"), Herding)
    found = {cell.key: cell for cell in grid.cells()}
    plain, changed, both = (found[f"{start}/0/one/mlp"] for start in ("a/dsa/1", "a/dsa/10", "b/dsa/10"))
    assert grid.method("dsa", plain.settings) == DSA(iterations=3)
    assert grid.method("dsa", changed.settings) == DSA(iterations=9)
    assert grid.method("dsa", both.settings) == DSA(iterations=9, lr_img=0.5)
    assert {cell.skip for cell in grid.cells() if cell.net == "lenet"} == {"too small"}
    assert {cell.skip for cell in grid.cells() if cell.net != "lenet"} == {None}


def test_settings_for_all_reach_the_methods_that_have_them_and_give_no_other_value() -> None:
    settings = {"method": "dsa", "iterations": 5, "lr-img": 0.5, "epochs": 2}
    methods = {"plain": {}, "longer": {"iterations": 9}, "herding": {"method": "herding"}, "whole": {"method": "whole"}}
    grid = made(settings=settings, methods=methods)
    grid.check()
    assert grid.method("plain") == DSA(iterations=5, lr_img=0.5)
    assert grid.method("longer") == DSA(iterations=9, lr_img=0.5)
    assert grid.method("herding") == Herding(epochs=2)
    assert grid.whole_epochs("whole") == 2
    said = [{"method": "dsa", "iterations": number, "lr_img": 0.5} for number in (5, 9)]
    alike = made(methods=dict(zip(("plain", "longer"), said, strict=True))).deciding()
    assert {**grid.deciding()["methods"], **alike["methods"]} == grid.deciding()["methods"]  # however it is written


def test_a_method_may_have_tests_of_its_own() -> None:
    grid = made(methods={"dsa": {"tests": ["two"]}, "whole": {"epochs": 7, "tests": ["one"]}})
    grid.check()
    assert {(cell.method, cell.test) for cell in grid.cells()} == {("dsa", "two"), ("whole", "one")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"dsa": {"iteration": 3}}}, "iteration"),
        ({"methods": {"dssa": {}}}, "dssa"),
        ({"settings": {"iteration": 3}}, "no method has 'iteration'"),
        ({"methods": {"whole": {"epochs": 0}}}, "epochs"),
        ({"methods": {"dsa": {"tests": ["three"]}}}, "no test 'three'"),
        ({"methods": {"dsa": {"tests": "one"}}}, "list"),
        ({"exceptions": [{"where": {"dataset": "c"}, "skip": "x"}]}, "no dataset 'c'"),
        ({"exceptions": [{"where": {"ipc": 3}, "skip": "x"}]}, "no ipc 3"),
        ({"exceptions": [{"where": {"size": 3}}]}, "exceptions"),
        ({"exceptions": [{"where": {"net": "mlp"}, "set": {"iterations": 3}}]}, "test or a net"),
        ({"exceptions": [{"where": {"method": "dsa"}, "set": {"iteration": 3}}]}, "iteration"),
        ({"exceptions": [{"where": {"method": "whole"}, "set": {"epoch": 3}}]}, "epoch"),
        ({"methods": {"dsa": {"tests": [["one"]]}}}, "no test"),
        ({"seeds": [0, 0]}, "twice"),
        ({"ipc": [1, 1]}, "twice"),
        ({"tests": {"one": {"net": ["mlp", "mlp"]}}}, "twice"),
        ({"published": {"c 1": {"dsa": 88}}}, "no line 'c 1'"),
        ({"published": {"a 1": {"dssa": 88}}}, "no column 'dssa'"),
        ({"rows": ["dataset"], "columns": ["dataset"]}, "rows"),
        ({"published": {"a 1": {"dsa": "many"}}}, "88.7"),
        ({"datasets": {}}, "datasets"),
        ({"datasets": {"a/b": {}}}, "datasets"),
        ({"tests": {"one": {"nets": 0}}}, "nets"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(**changes).check()


def test_a_table_pools_what_it_does_not_tell_apart_and_shows_the_difference_to_what_was_published() -> None:
    grid = made(published={"a 1": {"dsa mlp": "60.0 ± 0.5"}, "b 10": {"few mlp": 1}}, columns=("method", "net"))
    cells = [cell for cell in grid.cells() if cell.net == "mlp"]
    rows = rows_of(cells, lambda cell: [0.5 + 0.1 * (cell.seed or 0), 0.7])
    table = table_of(grid, cells, rows)
    assert table.rows == [("a", "1"), ("a", "10"), ("b", "1"), ("b", "10")]
    assert table.columns == ["dsa mlp", "few mlp", "whole mlp"]
    entry = table.entries[0, 0]
    assert entry.accuracies == pytest.approx([0.5, 0.7, 0.6, 0.7])
    assert entry.words() == f"62.5 ± {np.std([50, 70, 60, 70]):.1f} (4) [60.0, +2.5]"
    assert {len(table.entries[line, 2].accuracies) for line in range(4)} == {2}  # the whole set stands on every line
    assert table.entries[3, 1].words().endswith("[1.0, +61.5]")


def test_exceptions_change_the_whole_set_too() -> None:
    grid = made(exceptions=[{"where": {"method": "whole", "dataset": "b"}, "set": {"epochs": 2}}])
    grid.check()
    epochs = {c.dataset: grid.whole_epochs(c.method, c.settings) for c in grid.cells() if c.ipc is None}
    assert epochs == {"a": 7, "b": 2}


@pytest.mark.parametrize(
    ("rows", "columns", "line", "column"),
    [(["dataset"], ["method", "ipc"], ("a",), "whole"), (["method", "ipc"], ["dataset"], ("whole", ""), "a")],
)
def test_the_whole_set_has_a_place_of_its_own_where_methods_have_sizes(
    rows: Any, columns: Any, line: Any, column: str
) -> None:
    grid = made(rows=rows, columns=columns)
    cells = [cell for cell in grid.cells() if cell.test == "two"]
    table = table_of(grid, cells, rows_of(cells, lambda cell: [0.5 if cell.ipc is None else 0.25]))
    entry = table.entries[table.rows.index(line), table.columns.index(column)]
    assert entry.accuracies == [0.5]
    assert sum(0.5 in entry.accuracies for entry in table.entries.values()) == 2


def test_what_decides_the_scores_is_not_what_the_table_looks_like() -> None:
    plain = made().deciding()
    same = made(title="x", rows=("method",), columns=("ipc",), seeds=[5], ipc=[3], published={})
    assert same.deciding() == plain
    assert made(tests=FILE["tests"] | {"two": {"epochs": 4, "nets": 1}}).deciding() != plain


def test_failed_and_left_out_cells_say_so() -> None:
    grid = made(exceptions=[{"where": {"method": "few"}, "skip": "too slow"}])
    cells = [cell for cell in grid.cells() if cell.test == "two" and cell.seed in (0, None)]
    rows = rows_of(cells, lambda cell: [0.5])
    rows["a/dsa/1/0/two/convnet"] |= {"error": "no memory", "accuracies": None}
    table = table_of(grid, cells, rows)
    assert [table.entries[0, column].words() for column in range(3)] == ["failed", "–", "50.0 ± 0.0 (1)"]
    assert any("no memory" in note for note in table.notes())
    assert any("too slow" in note for note in table.notes())


def test_results_have_a_row_for_every_network() -> None:
    grid = made()
    cells = grid.cells()
    frame = results(cells, rows_of(cells, lambda cell: [0.25, 0.5]))
    assert len(frame) == 2 * len(cells)
    assert frame.accuracy.mean() == 0.375
    whole = frame[frame.method == "whole"]
    assert whole.ipc.isna().all()
    rows = rows_of(cells, lambda cell: [0.5])
    rows[cells[0].key] |= {"error": "broken", "accuracies": None}
    failed = results(cells, rows).iloc[0]
    assert failed.error == "broken"
    assert math.isnan(failed.accuracy)
