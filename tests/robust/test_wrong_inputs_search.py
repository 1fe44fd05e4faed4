"""Wrong inputs of `search`: each is one line and exit code 2, and nothing is written, changed or removed."""

import json
import shutil
from pathlib import Path

import pytest

from search.cli import main
from tests.robust.search_world import OWN, QUICK, call, make_world
from tests.robust.table import Wrong, assert_refused

RUNS = [  # after `search run` with flags that make a short one
    ("--seed -1", "--seed"),
    ("--seed 4294967296", "--seed"),
    ("--seed 99999999999999999999", "--seed"),
    ("--seed one", "--seed"),
    ("--seed 1.5", "--seed"),
    ("--sample 0", "--sample"),
    ("--sample 1", "at least 2"),
    ("--sample 721", "--sample 721"),
    ("--sample few", "--sample"),
    ("--truth some", "all, none or sample:N"),
    ("--truth sample:1", "--truth"),
    ("--truth sample:5", "--truth sample:5"),
    ("--final-epochs 0", "--final-epochs"),
    ("--validation 1", "--validation"),
    ("--validation -0.1", "--validation"),
    ("--promote 5", "--promote 5"),
    ("--promote -1", "--promote"),
    ("--ipc 0", "--ipc"),
    ("--ipc 13", "--ipc 13"),
    ("--ipc 1e400", "--ipc"),
    ("--epochs 0", "--epochs"),
    ("--epochs 2.5", "--epochs"),
    ("--whole-epochs 0", "--whole-epochs"),
    ("--batch-size 0", "--batch-size"),
    ("--repeats 0", "--repeats"),
    ("--iterations 0", "--iterations"),
    ("--lr inf", "--lr"),
    ("--lr nan", "--lr"),
    ("--lr 0", "--lr"),
    ("--lr -0.1", "--lr"),
    ("--lr fast", "--lr"),
    ("--momentum 1", "--momentum"),
    ("--momentum nan", "--momentum"),
    ("--weight-decay -1", "--weight-decay"),
    ("--weight-decay inf", "--weight-decay"),
    ("--optimiser sgdd", "--optimiser"),
    ("--schedule never", "--schedule"),
    ("--loss mse", "--loss"),
    ("--augment crup", "did you mean 'crop'"),
    ("--augment ''",),
    ("--where widht=4", "did you mean 'width'"),
    ("--where width=7", "no architecture meets"),
    ("--where norm<=batch", "order"),
    ("--where depth", "condition"),
    ("--space spaces:fine --where width=32", "--space"),
    ("--space nowhere", "package.module:name"),
    ("--space nowhere:space", "cannot load the space"),
    ("--space spaces:nothing", "cannot load the space"),
    ("--space spaces:number", "cannot load the space"),
    ("--space spaces:fails", "cannot load the space"),
    ("--space broken:space", "cannot load the space"),
    ("--space spaces:single", "at least two"),
    ("--space spaces:twice", "twice"),
    ("--space spaces:odd", "(name, builder)"),
    ("--space spaces:named", "one line"),
    ("--space spaces:misfits", "at least two"),
    ("--space spaces:endless", "more than"),
    ("--proxy dsaa", "did you mean 'dsa'"),
    ("--proxy", "--proxy"),
    ("--proxy ''",),
    ("--proxy random random", "twice"),
    ("--proxy whole whole", "twice"),
    ("--proxy mine.safetensors ./mine.safetensors", "twice"),
    ("--proxy mine.safetensors same/mine.safetensors", "twice"),
    ("--proxy gone.safetensors", "no such file"),
    ("--proxy notes.safetensors", "notes.safetensors"),
    ("--proxy weights.safetensors", "weights.safetensors"),
    ("--proxy foreign.safetensors", "other data"),
    ("--proxy images", "unknown proxy"),
    ("--proxy nowhere:Method", "cannot load the method"),
    ("--proxy spaces:number",),
    ("--condense-net convnet-x9", "--condense-net"),
    ("--condense-net resnet999", "--condense-net"),
    ("--condense-net nowhere:net", "--condense-net"),
    ("--no-build --proxy dsa", "proxyset build"),
    ("--workers -1", "--workers"),
    ("--workers 100000", "--workers"),
    ("--workers two", "--workers"),
    ("--workers 2 --address auto", "--max-concurrent"),
    ("--workers None --address nowhere", "--address"),
    ("--workers None --address :6379", "--address"),
    ("--workers None --address host:99999999", "--address"),
    ("--max-concurrent 2", "--max-concurrent"),
    ("--max-concurrent 0", "--max-concurrent"),
    ("--cpus-per-trial 0", "--cpus-per-trial"),
    ("--workers 1 --cpus-per-trial 10000", "--cpus-per-trial 10000"),
    ("--gpus-per-trial 0.25", "--gpus-per-trial"),
    ("--gpus-per-trial -1", "--gpus-per-trial"),
    ("--gpus-per-trial 0.001", "--gpus-per-trial"),
    ("--gpus-per-trial 1.5", "--gpus-per-trial"),
    ("--gpus-per-trial inf", "--gpus-per-trial"),
    ("--device cpu --gpus-per-trial 0.5", "--device cpu"),
    ("--device tpu", "--device"),
    ("--device cuda:99", "cuda"),
    ("--precision fp8", "--precision"),
    ("--compile maybe", "--compile"),
    ("--memory-limit 0", "--memory-limit"),
    ("--memory-limit nan", "--memory-limit"),
    ("--memory-limit 0.0000001", "--memory-limit"),
    ("--retries -1", "--retries"),
    ("--dataset gone.npz", "gone.npz"),
    ("--dataset notes.txt", "notes.txt"),
    ("--dataset images", "images"),
    ("--dataset untested.npz", "test"),
    ("--dataset ''",),
    ("--size 7", "--size"),
    ("--channels 2", "--channels"),
    ("--config gone.yaml", "gone.yaml"),
    ("--config notes.txt", "notes.txt"),
    ("--config unknown.yaml", "epochz"),
    ("--config twice.yaml", "epochs"),
    ("--config list.yaml", "list.yaml"),
    ("--config true.yaml", "ipc"),
    ("--config infinite.yaml", "lr"),
    ("--config itself.yaml", "itself.yaml"),
    ("--config broken.yaml", "broken.yaml"),
    ("--out notes.txt", "notes.txt"),
    ("--out notes.txt --force", "notes.txt"),
    ("--out notes.txt/below", "notes.txt"),
    ("--out images", "images"),
    ("--out images --force", "images"),
    ("--out . --force", "."),
    ("--out dangling", "dangling"),
    ("--out run", "--resume run"),
    ("--out run --proxy foreign.safetensors --force", "other data"),
    ("--trust", "--resume"),
    ("--spcae x", "did you mean '--space'"),
    ("stray", "stray"),
]
OTHERS = [  # whole commands
    ("fit", "unknown command"),
    ("run --resume", "--resume"),
    ("run --resume gone", "is not a search run"),
    ("run --resume notes.txt", "is not a search run"),
    ("run --resume images", "is not a search run"),
    ("run --resume run --epochs 3", "--epochs 2"),
    ("run --resume run --seed 1", "--seed 0"),
    ("run --resume run --sample 3", "--sample 4"),
    ("run --resume run --config true.yaml", "--config"),
    ("run --resume run --out elsewhere", "--out"),
    ("run --resume run --force", "--force"),
    ("run --resume run --dataset other.npz", "the data or the space changed"),
    ("report", "search report RUN"),
    ("report gone", "is not a search run"),
    ("report notes.txt", "is not a search run"),
    ("report images", "is not a search run"),
    ("report run --out images", "images"),
    ("report run --out images --force", "images"),
    ("report run --out notes.txt --force", "notes.txt"),
    ("report run --out dangling", "dangling"),
    ("report run run",),
    ("report run --proxy dsa", "--proxy"),
]
ROWS = [Wrong(f"run {OWN if '--space' in line else QUICK} --out new {line}", *words) for line, *words in RUNS]
ROWS += [Wrong(line, *words) for line, *words in OTHERS]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("search") / "world")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_wrong_input_is_one_line(
    row: Wrong, world: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(world))
    assert_refused(row, "search", main, world, capfd)


def test_the_corrected_command_works_after_a_wrong_proxy_file(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    assert call(f"run {QUICK} --out again --proxy foreign.safetensors") == 2
    assert call(f"run {QUICK} --out again --proxy mine.safetensors") == 0
    shutil.rmtree("again")


def test_a_runs_code_is_run_only_if_trusted(
    world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    monkeypatch.syspath_prepend(str(world))
    assert call(f"run {OWN} --space spaces:fine --proxy random --out coded") == 0
    before = Path("coded/rows.jsonl").read_bytes()
    assert_refused(Wrong("run --resume coded", "spaces:fine", "--trust"), "search", main, world, capfd)
    assert call("run --resume coded --trust") == 0
    assert Path("coded/rows.jsonl").read_bytes() == before
    assert call("report coded") == 0
    shutil.rmtree("coded")


@pytest.mark.parametrize(("name", "change"), [("config.json", ("repeats", 2)), ("sources.json", ("whole", {}))])
def test_a_changed_file_of_a_run_is_refused(
    name: str, change: tuple[str, object], world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = world / "run" / name
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | dict([change])))
    try:
        for line in ("run --resume run", "report run"):
            assert_refused(Wrong(line, name), "search", main, world, capfd)
    finally:
        path.write_text(before)
