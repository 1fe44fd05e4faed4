"""A time in place of iterations, on the command line."""

from pathlib import Path

import pytest

from proxyset.artefact import within
from proxyset.artefact.proxy_set import ProxySet
from tests.proxyset.cli.made import Cli, assert_refused, save_folder, snapshot

SHORT = ["build", "--within", "1min", "--net", "convnet-w4-d1"]


@pytest.fixture(autouse=True)
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps seem to take so long that three of them fit."""
    monkeypatch.setattr(within, "_timed", lambda *arguments: 15.0)
    monkeypatch.setattr(within, "_writing", lambda synthesis: 0.0)


def settings(path: Path) -> dict[str, object]:
    return ProxySet.load(path).provenance["settings"]


def test_a_time_and_no_method_takes_what_is_recommended_and_says_so(cli: Cli, tmp_path: Path) -> None:
    result = cli(*SHORT)
    assert result.code == 0, result.err
    assert "no method named: dm" in result.err
    path = tmp_path / "proxysets" / "digits-dm-ipc1-seed0.safetensors"
    first, before = settings(path), snapshot(tmp_path)
    assert (first["batch_real"], first["lr_img"]) == (64, 5.0)
    assert "already built" in cli(*SHORT, "--resume").err
    assert snapshot(tmp_path) == before
    many = cli(*SHORT, "--ipc", 10, "--out", "many.safetensors")
    assert "no method named: dm" in many.err


def test_what_the_user_says_goes_before_what_is_recommended(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("batch_real: 5\nwithin: 1min\n")
    argv = ["build", "--net", "convnet-w4-d1", "--lr-img", 3, "--config", "mine.yaml", "--out", "set.safetensors"]
    assert cli(*argv).code == 0
    made = settings(tmp_path / "set.safetensors")
    assert (made["batch_real"], made["lr_img"]) == (5, 3.0)


def test_a_method_that_is_named_keeps_its_defaults(cli: Cli, tmp_path: Path) -> None:
    result = cli(*SHORT, "--method", "dm", "--out", "set.safetensors")
    assert "no method named" not in result.err
    made = settings(tmp_path / "set.safetensors")
    assert (made["batch_real"], made["lr_img"]) == (256, 1.0)


def test_tiles_are_recommended_where_there_are_images_to_fill_them(cli: Cli, tmp_path: Path) -> None:
    save_folder(tmp_path / "few", count=5)
    save_folder(tmp_path / "more", count=10)
    for name, ipc, formation in (("few", 1, 2), ("few", 2, None), ("more", 2, 2)):
        out = tmp_path / f"{name}{ipc}.safetensors"
        result = cli(*SHORT, "--dataset", name, "--size", 16, "--ipc", ipc, "--out", out)
        assert result.code == 0, result.err
        assert "no method named: krr" in result.err
        assert settings(out).get("formation") == formation
        assert ("formation 2" in result.err) == (formation == 2)


def test_more_seeds_take_what_was_chosen_for_the_first(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(*SHORT, "--method", "dm", "--seeds", 0).code == 0
    monkeypatch.setattr(within, "_timed", lambda *arguments: 5.0)
    assert cli(*SHORT, "--method", "dm", "--seeds", 0, 1, "--resume").code == 0
    first, second = (settings(tmp_path / "proxysets" / f"digits-dm-ipc1-seed{seed}.safetensors") for seed in (0, 1))
    assert first["iterations"] == second["iterations"]


def test_what_is_recommended_fits_the_images_that_a_trace_leaves(cli: Cli, tmp_path: Path) -> None:
    save_folder(tmp_path / "pictures", count=10)  # of which 8 are trained on, and a trace takes one
    out = tmp_path / "set.safetensors"
    result = cli(*SHORT, "--dataset", "pictures", "--size", 16, "--ipc", 2, "--trace", 1, "--out", out)
    assert result.code == 0, result.err
    assert "formation" not in settings(out)


def test_methods_that_take_what_they_take_have_no_clock(cli: Cli, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert_refused(cli("build", "--method", "random", "--within", "1min"), "--within")
    assert snapshot(tmp_path) == before
