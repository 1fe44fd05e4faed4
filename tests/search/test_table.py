"""Truth from a table: what is read, what is refused, and how it takes the place of training."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.nets.arch import Arch
from proxyset.nets.cells import all_cells
from search.api import rank_architectures
from search.rank import on_top, share, spearman
from search.settings import RankingSettings, SpaceChoice, fill
from search.sources.table import read_columns
from search.space import choose

ARCHS = [Arch(4, 1), Arch(4, 2), Arch(8, 1, "none")]
CELLS = [str(cell) for cell in islice(all_cells(), 0, None, 4000)]
TABLE = "arch,short,long\n" + "".join(
    f"{name},{10 * place},{90 - place}\n" for place, name in enumerate([*map(str, ARCHS), *CELLS])
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(TABLE)
    return Path("table.csv")


def test_columns_are_shares_whether_in_percent_or_not(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text('name,percent,share\nmlp,50,0.5\n"convnet-w4-d1",1,\nlenet,25.5,1\n')
    names = ["mlp", str(Arch(4, 1)), "lenet"]
    read = read_columns(file, ["percent", "share"], names, 16)
    assert read == {
        "percent": {"mlp": 0.5, str(Arch(4, 1)): 0.01, "lenet": 0.255},
        "share": {"mlp": 0.5, "lenet": 1.0},
    }


def test_a_short_name_is_the_same_architecture_on_either_side(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("name,share\nconvnet-w4-d1,0.5\nmlp,1\n")
    assert read_columns(file, ["share"], ["convnet-w4-d1", "mlp"], 16) == {"share": {"convnet-w4-d1": 0.5, "mlp": 1.0}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch,lng\na,1\n", "has no column 'long': did you mean 'lng'"),
        ("", "has no column 'long'"),
        ("arch,long\nmlp,1\nmlp,2\n", "line 3: 'mlp' is there twice"),
        ("arch,long\nmlp,1,2\n", "line 2: 3 cells, and the header has 2"),
        ("arch,long\nmlp,good\n", "line 2, column 'long': an accuracy is"),
        ("arch,long\nmlp,101\n", "line 2, column 'long': an accuracy is"),
        ("arch,long\nmlp,nan\n", "line 2, column 'long': an accuracy is"),
        ("arch,long\nother,5\nmlp,3\n", "has 1 of the search's 2 architectures.*such names as 'mlp'"),
    ],
)
def test_a_bad_table_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_columns(file, ["long"], ["mlp", "lenet"], 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truth_file": "t.csv"}, "`truth_column`: goes with `truth_file`"),
        ({"truth_column": "long"}, "`truth_column`: goes with `truth_file`"),
        ({"rank_columns": ("long",)}, "which is not given"),
    ],
)
def test_half_a_truth_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RankingSettings(**settings)


def test_columns_of_a_table_are_no_free_rivals(
    table: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has trained them: a proxy set that ranks as well as it can must not lose to the truth itself."""
    by_name = {str(arch): 0.9 - place / 100 for place, arch in enumerate(ARCHS)}
    monkeypatch.setattr(
        "search.sources.trained.ProxySource.score", lambda source, bench, candidate, generator: by_name[candidate.name]
    )
    settings = RankingSettings(truth_file=table, truth_column="long", rank_columns=("short",), free=False)
    options = {"space": ARCHS, "settings": settings, "progress": False, "session": Session(device="cpu")}
    result = rank_architectures(make_dataset(counts=12), ["random"], folder="run", **options)  # type: ignore[arg-type]
    (verdict,) = result.summary["verdicts"]
    assert verdict["name"] == "random"
    assert "whole" not in verdict["why"]
    assert "short" not in verdict["why"]


def test_a_table_is_the_truth_of_all_also_where_networks_are_kept() -> None:
    """It costs nothing, so that it needs no asking."""
    table = RankingSettings(truth_file="t.csv", truth_column="long", promote=2)
    assert fill(table, "cifar10").truth == "all"
    assert fill(RankingSettings(promote=2), "cifar10").truth == "none"


def test_the_table_is_the_truth_and_nothing_trains_on_the_whole_set(
    table: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.trial.fit", None)  # whatever would train ends in an error
    settings = RankingSettings(truth_file=table, truth_column="long", rank_columns=("short",))
    space = [*ARCHS, "mlp"]
    options = {"space": space, "settings": settings, "progress": False, "session": Session(device="cpu")}
    result = rank_architectures(make_dataset(counts=12), ["params"], folder="run", **options)  # type: ignore[arg-type]
    assert result.trials["error"].isna().all()
    assert result.scores["whole"].to_list()[:3] == [0.9, 0.89, 0.88]
    assert np.isnan(result.scores["whole"]["mlp"])  # the table does not have it
    assert result.summary["sources"]["short"]["spearman"] == pytest.approx(-1)
    assert result.best == str(ARCHS[0])
    assert not Path("run/regret.png").exists()  # looking up takes no time
    sources = json.loads(Path("run/sources.json").read_text())
    assert (sources["whole"]["file"], sources["whole"]["column"]) == ("table.csv", "long")
    table.write_text(TABLE.replace(",90", ",91"))
    with pytest.raises(InputError, match="changed since 'run' began"):
        rank_architectures(make_dataset(counts=12), ["params"], folder="run", **options)  # type: ignore[arg-type]


def test_truth_of_a_sample_is_drawn_among_those_that_the_table_has(
    table: Path, make_dataset: Callable[..., Dataset]
) -> None:
    settings = RankingSettings(truth_file=table, truth_column="long", truth="sample:3", free=False)
    dataset = make_dataset(counts=12)
    result = rank_architectures(dataset, ["params"], space=[*ARCHS, "mlp"], settings=settings, progress=False)
    assert result.scores["whole"].notna().sum() == 3
    more = settings.model_copy(update={"truth": "sample:4"})
    with pytest.raises(InputError, match="`truth=sample:4` asks for more than the 3"):
        rank_architectures(dataset, ["params"], space=[*ARCHS, "mlp"], settings=more, progress=False)


def test_nasbench201_by_name_is_drawn_from_the_seed(
    make_dataset: Callable[..., Dataset],
) -> None:
    spec = make_dataset().spec
    drawn = choose(SpaceChoice(space="nasbench201", sample=5), spec, 0, pytest.fail)
    more = choose(SpaceChoice(space="nasbench201", sample=9), spec, 0, pytest.fail)
    assert [candidate.name for candidate in drawn] == [candidate.name for candidate in more[:5]]
    with pytest.raises(InputError, match="did you mean 'skip_connect'"):
        choose([CELLS[0], CELLS[1].replace("skip_connect", "skip_conect")], spec, 0, pytest.fail)


def test_the_published_agreement_of_short_training(shared_data: Path) -> None:
    """12 epochs against 200 on CIFAR-10: ρ 0.868 over all, 0.522 in the true best decile."""
    names = [str(cell) for cell in all_cells()]
    columns = read_columns(shared_data / "nasbench201.csv", ["cifar10_12", "cifar10_200"], names, 32)
    short, long = (np.array([columns[name][arch] for arch in names]) for name in ("cifar10_12", "cifar10_200"))
    assert len(long) == 15_625
    assert spearman(short, long) == pytest.approx(0.868, abs=5e-4)
    decile = on_top(spearman, short, long, share(len(long), 10), by_truth=True)
    assert decile == pytest.approx(0.522, abs=2e-3)  # of equal accuracies at the cut, either may count
