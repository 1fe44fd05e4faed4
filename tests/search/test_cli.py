"""The command from its flags to its files, in a plain loop."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from proxyset.artefact.proxy_set import ProxySet
from proxyset.cli.options import compose, flatten
from proxyset.compute.session import Session
from proxyset.settings import Compute
from search.cli import main
from search.commands import RunSettings, resolve
from search.finals import read_finals
from search.folder import ROWS
from search.settings import DIGITS, PAPER
from search.sources.registry import FREE
from search.trial import TrialContext, Workbench
from tests.search.conftest import SMALL
from tests.search.test_sources import MEAN

RUN = Path("runs/run")


def search(*argv: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    return int(stop.value.code or 0)


def run(images: Path, *flags: str) -> int:
    return search("run", "--dataset", str(images), *SMALL.split(), "--workers", "0", "--out", str(RUN), *flags)


def scores(run: Path = RUN) -> dict[tuple[str, str, int], float]:
    rows = [json.loads(line) for line in (run / ROWS).read_text().splitlines()]
    assert len({(row["source"], row["name"], row["repeat"]) for row in rows}) == len(rows)
    return {(row["source"], row["name"], row["repeat"]): row["score"] for row in rows}


def test_help_is_quick_and_imports_neither_torch_nor_ray() -> None:
    code = "import sys, search.cli\ntry: search.cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "try: search.cli.main(['run', '--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'ray', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_run_makes_a_whole_report(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(images, "--proxy", "dc", "random", "early-stop", "whole", "--json") == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert list(summary["sources"]) == ["dc", "random", "early-stop", *FREE, "whole-again", "whole"]
    assert all(facts["n"] == 4 for name, facts in summary["sources"].items() if name != "whole")
    assert "to build first: dc" in err
    assert f"{4 * (5 + len(FREE))} trials" in err
    table = pd.read_parquet(RUN / "results.parquet")
    assert len(table) == 4 * (5 + len(FREE))
    for name in ("results.csv", "summary.json", "scatter.png", "choices.png", "config.json"):
        assert (RUN / name).exists()
    (RUN / "scatter.png").unlink()
    assert search("report", str(RUN)) == 0
    assert (RUN / "scatter.png").exists()


def test_work_beyond_ten_minutes_names_what_would_shorten_it(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.driver.estimate", lambda *arguments: 3600.0)
    assert run(images, "--proxy", "random", "--repeats", "2") == 0
    assert "less time: --repeats 1 (no mean over repeats)" in capsys.readouterr().err


def test_a_report_elsewhere_replaces_only_a_report(images: Path) -> None:
    assert run(images, "--proxy", "random") == 0
    assert search("report", str(RUN), "--out", "tables") == 0
    assert search("report", str(RUN), "--out", "tables") == 2
    assert search("report", str(RUN), "--out", "tables", "--force") == 0
    assert {"results.csv", "scatter.png", "summary.json"} <= {path.name for path in Path("tables").iterdir()}
    assert search("report", str(RUN), "--out", "runs", "--force") == 2


def test_truth_and_promote(images: Path) -> None:
    assert run(images, "--proxy", "random", "--promote", "2", "--no-free", "--final-epochs", "2") == 0
    done = scores()
    assert {key[0] for key in done} == {"random"}
    ranked = sorted((key for key in done if key[0] == "random"), key=lambda key: -done[key])
    promoted = {row["name"] for row in read_finals(RUN)}
    assert len(promoted) == 2
    assert done[ranked[0]] == max(done["random", name, 0] for name in promoted)
    summary = json.loads((RUN / "summary.json").read_text())
    assert summary["sources"]["random"]["promoted"]["best"] in promoted
    assert run(images, "--proxy", "random", "--truth", "sample:3", "--force") == 0
    assert sum(key[0] == "whole" for key in scores()) == 3
    assert run(images, "--proxy", "random", "--truth", "none", "--force") == 0
    assert not any(key[0] == "whole" for key in scores())


def test_a_space_of_ones_own_with_one_that_fails(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_space.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Bad(nn.Module):\n"
        "    def __init__(self): super().__init__(); self.head = nn.Linear(64, 3)\n"
        "    def forward(self, x):\n"
        "        if self.training and x.std() > 0: raise RuntimeError('out of memory')\n"
        "        return self.head(x.flatten(1))\n"
        "def space():\n"
        "    for n in (2, 4, 8):\n"
        "        yield f'mlp-{n}', lambda c, s, k, n=n: nn.Sequential(\n"
        "            nn.Flatten(), nn.Linear(c * s * s, n), nn.Linear(n, k))\n"
        "    yield 'bad', lambda c, s, k: Bad()\n"
        "    yield 'misfit', lambda c, s, k: nn.Flatten()\n"
    )
    monkeypatch.syspath_prepend(".")
    flags = (
        "--dataset",
        str(images),
        "--space",
        "my_space:space",
        "--ipc",
        "2",
        "--epochs",
        "2",
        "--whole-epochs",
        "1",
    )
    assert search("run", *flags, "--proxy", "random", "--workers", "0", "--out", str(RUN)) == 0
    summary = json.loads((RUN / "summary.json").read_text())
    assert summary["architectures"] == 4
    assert {error["name"] for error in summary["errors"]} == {"bad"}
    assert "out of memory" in summary["errors"][0]["error"]
    assert not (RUN / "choices.png").exists()


def test_a_method_of_ones_own_with_soft_targets_ranks(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_proxy.py").write_text(MEAN)
    monkeypatch.syspath_prepend(".")
    assert run(images, "--proxy", "my_proxy:Mean", "random") == 0
    assert sum(key[0] == "mean" for key in scores()) == 4
    proxy = ProxySet.load(next(Path("proxysets").glob("tiny-mean-*.safetensors")))
    assert proxy.data.targets is not None
    assert run(images, "--proxy", "my_proxy:Mean", "random", "--no-build", "--force") == 0


def test_how_it_is_computed_and_trained_reaches_the_trials(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benches: list[Workbench] = []

    def note(context: TrialContext, session: Session) -> Workbench:
        benches.append(Workbench(context, session))
        return benches[-1]

    monkeypatch.setattr("search.workers.Workbench", note)
    flags = "--proxy random --device cpu --precision bf16 --memory-limit 3 --compile off --optimiser adam --lr 0.002"
    assert run(images, *flags.split(), "--schedule", "cosine", "--loss", "squared-error") == 0
    bench = benches[-1]
    assert bench.session.compute == Compute(device="cpu", precision="bf16", memory_limit=3, compile="off")
    recipe = bench.context.sources["random"].recipe(bench.context.settings)  # type: ignore[attr-defined]
    assert (recipe.optimiser, recipe.lr, recipe.schedule, recipe.loss) == ("adam", 0.002, "cosine", "squared-error")
    assert search("run", "--resume", str(RUN), "--workers", "0", "--precision", "fp32") == 2  # other bits
    assert search("run", "--resume", str(RUN), "--workers", "0", "--memory-limit", "4") == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--proxy dsaa", "did you mean 'dsa'"),
        ("--where widht<=4", "did you mean 'width'"),
        ("--sample 1", "at least 2"),
        ("--truth some", "all, none or sample:N"),
        ("--space a:b --where width<=4", "cannot restrict a --space"),
        ("--space nowhere", "package.module:name"),
        ("--spcae x", "did you mean '--space'"),
        ("--address auto --workers 2", "use --max-concurrent"),
        ("--proxy random --no-build", "proxyset build --method random"),
        ("--augment crup", "did you mean 'crop'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    images: Path, capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    argv = f"--dataset {images} {SMALL}".split()
    if flags.startswith("--space nowhere"):
        argv = argv[: argv.index("--where")] + argv[argv.index("--where") + 2 :]
    assert search("run", *argv, "--out", str(RUN), *flags.split()) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not RUN.exists()


def test_a_report_of_nothing_is_a_mistake(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("report") == 2
    assert search("report", "nowhere") == 2
    assert "is not a search run" in capsys.readouterr().err


def resolved(**values: Any) -> dict[str, Any]:
    return flatten(resolve(compose(RunSettings, values)))


def test_left_open_means_the_papers_values_or_the_digits() -> None:
    paper, digits = resolved(dataset="mnist"), resolved()
    assert paper | PAPER == paper
    assert digits | DIGITS == digits
    assert resolved(whole_epochs=3)["whole_epochs"] == 3
    assert (paper["truth"], resolved(promote=3)["truth"]) == ("all", "none")
    assert resolved(space="a:b")["where"] == ""
