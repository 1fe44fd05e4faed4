"""`proxyset build --film` and `proxyset gradients` from outside."""

import csv
import json
from pathlib import Path

from proxyset.artefact.film import read_film
from proxyset.artefact.outputs import film_path, film_pictures
from tests.proxyset.cli.made import FAST, Cli, assert_refused, snapshot


def test_a_film_and_its_pictures_lie_beside_the_set(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    assert cli("build", *FAST, "--out", out, "--film", 3).code == 0
    assert list(read_film(film_path(out)).pixels) == [0, 1, 2]
    assert all(picture.stat().st_size for picture in film_pictures(out))


def test_what_lies_where_a_film_goes_is_kept(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "set.film").write_text("my own")
    before = snapshot(tmp_path)
    for more in ([], ["--force"]):
        assert_refused(cli("build", *FAST, "--out", "set.safetensors", "--film", 3, *more), "set.film")
    assert snapshot(tmp_path) == before
    assert_refused(cli("build", "--method", "random", "--out", "other.safetensors", "--film", 3), "--film", "random")


def test_gradients_of_two_sets_are_drawn_and_listed(cli: Cli, built: Path, tmp_path: Path) -> None:
    assert cli("build", *FAST, "--method", "dc", "--out", "dc.safetensors").code == 0
    result = cli("gradients", built, "dc.safetensors", "--out", "both.png", "--json")
    assert result.code == 0, result.err
    assert [row["file"] for row in json.loads(result.out)] == [str(built), "dc.safetensors"]
    rows = list(csv.DictReader((tmp_path / "both.csv").open()))
    assert {row["file"] for row in rows} == {str(built), "dc.safetensors"}
    before = snapshot(tmp_path)
    assert_refused(cli("gradients", built, "--out", "both.png"), "both.png", "--force")
    assert snapshot(tmp_path) == before
    assert cli("gradients", built, "--out", "both.png", "--force", "--device", "cpu,cpu").code == 0


def test_gradients_of_what_has_none_are_refused(cli: Cli, built: Path, tmp_path: Path) -> None:
    assert cli("build", "--method", "random", "--out", "random.safetensors").code == 0
    before = snapshot(tmp_path)
    assert_refused(cli("gradients"), "no proxy set")
    assert_refused(cli("gradients", "absent.safetensors"), "absent.safetensors")
    assert_refused(cli("gradients", "random.safetensors"), "random")
    assert_refused(cli("gradients", built, built), "twice")
    assert snapshot(tmp_path) == before
