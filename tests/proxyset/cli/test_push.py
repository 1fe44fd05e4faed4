"""`proxyset push`, with a hub that only writes down what it is given."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.proxyset.cli.made import Cli, assert_refused


class Hub:
    """What huggingface_hub has, as far as it is used."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.files: set[str] = set()

    def create_repo(self, name: str, **options: Any) -> str:
        self.calls.append({"name": name, **options})
        return f"hub/{name}"

    def upload_folder(self, folder_path: str, **options: Any) -> None:
        self.calls.append(options)
        self.files = {str(file.relative_to(folder_path)) for file in Path(folder_path).rglob("*") if file.is_file()}


def test_a_set_goes_up_with_its_card_and_is_private(cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: hub))
    result = cli("push", built, "--to", "me/digits", "--json")
    assert result.code == 0, result.err
    assert result.out.strip() == '{"address": "hub/me/digits"}'
    assert hub.calls[0] == {"name": "me/digits", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert {"README.md", "data/train.parquet", "digits-dsa-ipc1.safetensors"} <= hub.files
    assert hub.calls[1]["ignore_patterns"] == [".proxyset.json"]
    assert cli("push", built, "--to", "me/digits", "--public").code == 0
    assert hub.calls[2]["private"] is False


def test_a_push_that_cannot_work_is_one_line(cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(cli("push", built), "--to OWNER/NAME")
    assert_refused(cli("push", built, "--to", "digits"), "--to", "OWNER/NAME")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert_refused(cli("push", built, "--to", "me/digits"), "proxyset[hub]")

    def refuse() -> None:
        raise OSError("no token\nwas found")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=refuse))
    assert_refused(cli("push", built, "--to", "me/digits"), "cannot upload", "no token was found")
