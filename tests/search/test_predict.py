"""Pictures from the command line: files and folders, the readable answered and the others named, a table of it."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from proxyset.data.spec import Dataset
from proxyset.nets.build import build_net
from proxyset.train.evaluate import predict
from search.network import Network
from tests.search.test_cli import search

NAME = "convnet-w4-d1-relu-instance-avg"


@pytest.fixture
def pictures(tiny: Dataset, generator: torch.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The classes of three pictures in a folder, with other things in it, by the network that the run keeps."""
    net = build_net(NAME, **tiny.spec.shape, generator=generator)
    network = Network(NAME, tiny.spec, net.state_dict())
    monkeypatch.setattr("search.use.pick", lambda *arguments: network)
    monkeypatch.chdir(tmp_path)
    Path("scans/inner").mkdir(parents=True)
    for name, image in zip(("b.png", "a.png", "c.PNG"), tiny.test.images[[1, 0, 2]], strict=True):
        Image.fromarray(image[0].numpy()).save(f"scans/{name}")
    Image.new("L", (8, 8)).save("scans/inner/d.png")
    Image.new("L", (8, 8)).save("scans/.hidden.png")
    Path("scans/notes.txt").write_text("mine")
    return [tiny.spec.class_names[label] for label in predict(network.build(), tiny.test[:3], tiny.spec)]


def test_a_folder_is_its_images_by_name_and_a_table_has_them(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert search("predict", "run", "scans", "--out", "answers.csv", "--top", "2") == 0
    out, err = capsys.readouterr()
    files = [f"scans/{name}" for name in ("a.png", "b.png", "c.PNG")]
    assert [line.split(": ")[0] for line in out.splitlines()] == files
    assert err == ""
    with open("answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [file for file in files for _ in range(2)]
    assert [row["class"] for row in rows[::2]] == pictures
    assert all(1 >= float(row["probability"]) > 0 for row in rows)
    assert not list(Path().glob(".*lock"))


def test_what_can_be_read_is_answered_and_the_rest_is_named(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scans/bad.png").write_bytes(b"no picture")
    assert search("predict", "run", "scans", "nothing.png", "--out", "answers.csv") == 1
    out, err = capsys.readouterr()
    assert [line.split(": ")[1].split()[0] for line in out.splitlines()] == pictures
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("cannot read image scans/bad.png: it is no image of the formats")
    assert lines[1].startswith("cannot read image nothing.png: ")
    assert lines[2] == "search: 2 of 5 pictures cannot be read and are left out"
    assert len(Path("answers.csv").read_text().splitlines()) == 1 + 3


def test_where_none_can_be_read_nothing_is_written(pictures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.png").write_bytes(b"no picture")
    assert search("predict", "run", "bad.png", "nothing.png", "--out", "answers.csv") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "search: none of the 2 pictures can be read"
    assert search("predict", "run", "nothing.png") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    Path("empty").mkdir()
    assert search("predict", "run", "empty") == 2
    assert "no images in 'empty'" in capsys.readouterr().err
    assert not Path("answers.csv").exists()


def test_a_table_replaces_only_a_table_of_ours(pictures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text("path,label\n")
    assert search("predict", "run", "scans", "--out", "mine.csv", "--force") == 2
    assert Path("mine.csv").read_text() == "path,label\n"
    assert search("predict", "run", "scans", "--out", "answers.txt") == 2
    assert search("predict", "run", "scans/a.png", "--out", "answers.csv") == 0
    capsys.readouterr()
    assert search("predict", "run", "scans", "--out", "answers.csv") == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert search("predict", "run", "scans", "--out", "answers.csv", "--force") == 0
    assert len(Path("answers.csv").read_text().splitlines()) == 1 + 3
