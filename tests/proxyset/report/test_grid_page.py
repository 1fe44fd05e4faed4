"""A grid on its page: a row per cell, pooled over seeds, and a plot per dataset, test and network."""

from pathlib import Path

import numpy as np
import pytest

from proxyset.errors import InputError
from proxyset.folders import write_marker
from proxyset.report.grid_page import grid_sections
from proxyset.report.grid_tables import write_tables
from proxyset.report.page import Page, render
from proxyset.report.parts import Table
from proxyset.report.plots import Plot
from tests.proxyset.report.test_grid import made, rows_of


def test_a_row_has_the_networks_of_all_seeds(tmp_path: Path) -> None:
    grid = made(datasets={"a": {"dataset": "digits"}}, tests={"one": {"net": ["mlp"], "nets": 2}})
    cells = grid.cells()
    rows = rows_of(cells, lambda cell: [0.5, 0.7 if cell.seed else 0.6])
    for cell in cells:
        rows[cell.set_key] = {"key": cell.set_key, "bytes": 1024 * (cell.ipc or 0), "seconds": 1.0}
    write_tables(grid, cells, rows, tmp_path)
    assert not grid_sections(tmp_path)  # no grid without its marker
    write_marker(tmp_path, "grid")
    (section,) = grid_sections(tmp_path)
    table, *plots = section.parts
    assert isinstance(table, Table)
    texts = [[cell.text for cell in row] for row in table.rows]
    mean, spread = np.mean([0.5, 0.6, 0.5, 0.7]), np.std([0.5, 0.6, 0.5, 0.7])
    assert ["a", "dsa", "10", "one", "mlp", "10.0", f"{100 * mean:.1f} ± {100 * spread:.1f} (4)"] in texts
    assert texts[-1][:3] == ["a", "whole", "–"]
    (plot,) = plots
    assert isinstance(plot, Plot)
    assert [point.x for point in plot.series[0].points] == [1, 10]
    assert plot.series[0].points[0].y == pytest.approx(100 * mean)
    render(Page("", "", [section]))


def test_a_table_that_is_none_is_one_line(tmp_path: Path) -> None:
    write_marker(tmp_path, "grid")
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no table of a grid"):
        grid_sections(tmp_path)
