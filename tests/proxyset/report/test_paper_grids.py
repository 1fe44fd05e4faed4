"""The grids that the project ships are whole: they parse, every cell has settings that a method takes, and the numbers
that stand beside cells belong to some cell.
"""

from pathlib import Path

import pytest

from proxyset.cli.grid import Grid
from proxyset.cli.options import compose, read_yaml
from proxyset.report.grid_tables import table_of

ROOT = Path(__file__).resolve().parents[3]
GRIDS = [*sorted((ROOT / "configs/paper").glob("*.yaml")), *sorted((ROOT / "configs/grid").glob("*.yaml"))]


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_a_shipped_grid_is_whole(path: Path) -> None:
    grid = compose(Grid, read_yaml(str(path))).grid
    grid.check()
    cells = grid.cells()
    assert cells
    for cell in cells:
        if not grid.is_whole(cell.method):
            grid.method(cell.method, cell.settings)
    table = table_of(grid, cells, {})
    placed = sum(entry.published is not None for entry in table.entries.values())
    assert placed == sum(len(row) for row in grid.published.values())


def test_every_table_has_both_scales() -> None:
    names = {path.stem for path in GRIDS if path.parent.name == "paper"}
    shown = [*(f"table{number}" for number in range(1, 6)), "figure5"]
    assert names == {f"{name}-{scale}" for name in shown for scale in ("paper", "small")}
