"""A run goes on from any folder: where its data and its proxy sets lie is kept with it."""

from pathlib import Path

import pytest

from proxyset.artefact.proxy_set import ProxySet
from search.api import rank_architectures
from search.folder import CONFIG, ROWS, SOURCES, RunFolder
from search.records import PLACES
from search.settings import RankingSettings, SpaceChoice
from tests.search.test_cli import RUN, run, scores, search


def stop_after(trials: int, path: Path = RUN) -> None:
    """As if the run had been stopped then."""
    lines = (path / ROWS).read_text().splitlines(keepends=True)
    (path / ROWS).write_text("".join(lines[:trials]))


def set_file() -> Path:
    (file,) = Path("proxysets").glob("*.safetensors")
    return file


@pytest.fixture
def begun(images: Path) -> Path:
    """A run on a set that was built for it, stopped after three trials; its folder from the root."""
    assert run(images, "--proxy", "random", "--no-free", "--truth", "none") == 0
    stop_after(3)
    return RUN.absolute()


def resume(path: Path, *flags: str) -> int:
    return search("run", "--resume", str(path), "--workers", "0", *flags)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_it_goes_on_from_another_folder_and_builds_nothing_there(
    begun: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(elsewhere)
    assert resume(begun) == 0
    assert "to build first" not in capsys.readouterr().err
    assert len(scores(begun)) == 4
    assert list(elsewhere.iterdir()) == []
    for name in ("summary.json", "report.html"):
        text = (begun / name).read_text()
        assert not any(str(begun.parents[1] / place) in text for place in ("tiny.npz", "proxysets"))


def test_a_run_that_was_stopped_while_it_built_goes_on_in_its_store(
    begun: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (begun / SOURCES, begun / ROWS, set_file()):
        file.unlink()
    store = Path("proxysets").absolute()
    monkeypatch.chdir(elsewhere)
    assert resume(begun) == 0
    assert list(store.glob("*.safetensors"))
    assert list(elsewhere.iterdir()) == []


def test_everything_may_move_together(begun: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiny.npz", "proxysets", "runs"):
        Path(name).rename(elsewhere / name)
    monkeypatch.chdir(elsewhere)
    assert resume(RUN) == 0
    assert len(scores()) == 4
    assert not begun.exists()


def test_a_set_that_is_gone_is_named_before_anything_is_built(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the line says works: the set that is built again is the same, though it took another time."""
    file = set_file()
    provenance = ProxySet.load(file).provenance
    file.unlink()
    capsys.readouterr()
    assert resume(begun) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{str(file.absolute())!r} does not exist" in line
    assert "put it back, or to build it again: proxyset build --method random" in line
    assert not file.exists()
    from proxyset.cli.app import main

    with pytest.raises(SystemExit, match="0"):
        main(line.split("to build it again: proxyset ")[1].split())
    again = ProxySet.load(file)
    ProxySet(again.data, again.spec, provenance | {"seconds": 1e3}).save(file)
    assert resume(begun) == 0
    assert len(scores()) == 4


def test_another_set_in_its_place_is_refused(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = set_file()
    proxy = ProxySet.load(file)
    proxy.data.images.neg_()
    file.unlink()
    proxy.save(file)
    assert resume(begun) == 2
    assert "a proxy set changed" in capsys.readouterr().err


def test_a_set_of_ones_own_is_found_again(
    begun: Path, elsewhere: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_file().rename("mine.safetensors")
    flags = ("--proxy", "mine.safetensors", "--no-free", "--truth", "none", "--out", "runs/mine")
    assert run(images, *flags) == 0
    stop_after(1, Path("runs/mine"))
    path = Path("runs/mine").absolute()
    monkeypatch.chdir(elsewhere)
    assert resume(path) == 0
    assert len(scores(path)) == 4
    for name in (SOURCES, ROWS):  # as if it had been stopped before it read the set
        (path / name).unlink()
    assert resume(path) == 0


def test_of_a_run_that_keeps_no_places_a_missing_set_is_named_too(
    begun: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file, data = RunFolder(begun), str(set_file()), Path("tiny.npz").absolute()
    folder.write(CONFIG, {name: value for name, value in (folder.read(CONFIG) or {}).items() if name != PLACES})
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert resume(begun) == 2
    assert "no dataset at 'tiny.npz'" in (line := capsys.readouterr().err)
    assert "--dataset PATH names the place" in line
    assert resume(begun, "--dataset", str(data)) == 2
    assert f"{file!r} does not exist, the proxy set 'random' that this run began with" in capsys.readouterr().err
    monkeypatch.chdir(begun.parents[1])
    assert resume(begun) == 0


def test_in_python_a_folder_is_gone_on_with_from_elsewhere(
    images: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RankingSettings(ipc=2, epochs=1, truth="none", free=False)
    data, folder, space = images.absolute(), RUN.absolute(), SpaceChoice(where="width<=32,depth<=1", sample=2)
    for _ in range(2):
        rank_architectures(data, ["random"], space=space, settings=settings, folder=folder, progress=False)
        monkeypatch.chdir(elsewhere)
    assert list(elsewhere.iterdir()) == []


def test_data_that_are_gone_are_asked_for(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.npz").rename("moved.npz")
    capsys.readouterr()
    assert resume(begun) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no dataset at {str(Path('tiny.npz').absolute())!r}" in line
    assert line.endswith("--dataset PATH names the place where it lies now")
    assert resume(begun, "--dataset", "moved.npz") == 0
