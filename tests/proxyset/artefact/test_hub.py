"""A repository for a hub: the card reproduces the score, nothing tells where the images lay, `datasets` reads it."""

import contextlib
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import proxyset
from proxyset.artefact.export import export
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from tests.proxyset.artefact.test_export import make_proxy

PROTOCOL = proxyset.Evaluation(nets=2, epochs=3)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="module")
def scored(digits: Dataset) -> ProxySet:
    """A set of real digits, learned values and soft targets, with its score."""
    session = Session(device="cpu", compile="off")
    proxy = proxyset.build(digits, "random", 1, session=session, progress=False)
    noise = 2 * torch.randn(proxy.data.images.shape, generator=torch.Generator().manual_seed(0))
    targets = torch.full((10, 10), 0.02) + 0.8 * torch.eye(10)
    data = ImageSet(proxy.data.images + noise, proxy.data.labels, targets)  # beyond what 8 bits can hold
    score = proxyset.evaluate(data, digits.test, digits.spec, PROTOCOL, net="mlp", seed=3, session=session)
    protocol = PROTOCOL.model_copy(update={"epochs": 3}).model_dump()
    kept = score.to_dict() | {"protocol": protocol, "epochs": 3, "seed": 3, "device": "cpu"}
    return replace(proxy, data=data).with_scores([kept])


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    _, header, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), text


def test_the_lines_of_the_card_give_the_score_again(
    scored: ProxySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(scored, tmp_path / "hub", "hub")
    header, text = card_of(tmp_path / "hub")
    assert header["license"] == "cc-by-4.0"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]
    lines = re.findall(r"```python\n(import proxyset.*?)```", text, re.S)[0]
    monkeypatch.chdir(tmp_path / "hub")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(lines, {})
    accuracies = scored.provenance["scores"][0]["accuracies"]
    wanted = f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f}"
    assert printed.getvalue().startswith(wanted)
    assert wanted in text


def test_nothing_says_where_the_images_lay(tmp_path: Path) -> None:
    place = "/home/ada/secret/scans"
    proxy = replace(make_proxy(), provenance={"method": "mine", "dataset": {"source": place, "images": 7}})
    export(proxy, tmp_path / "hub", "hub")
    for file in (tmp_path / "hub").rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes()
    header, text = card_of(tmp_path / "hub")
    assert header["license"] == "unknown"
    assert "ask its owner" in text
    assert proxy.provenance["dataset"]["source"] == place


def test_names_of_classes_break_neither_the_card_nor_its_header(tmp_path: Path) -> None:
    names = ("a: b", "`|\n# head", "---\nlicense: mit")
    export(make_proxy(names=names), tmp_path / "hub", "hub")
    header, text = card_of(tmp_path / "hub")
    assert header["license"] == "unknown"
    row = next(line for line in text.splitlines() if line.startswith("| classes"))
    assert "`a: b`" in row
    assert "# head" in row
    assert not [line for line in text.splitlines() if line.startswith("# head")]


def test_stored_images_are_no_dataset_for_a_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`stored`"):
        export(make_proxy(), tmp_path / "hub", "hub", stored=True)


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"proxyset\[hub\]"):
        load("hf:someone/something")


class TestWithTheLibrary:
    @pytest.fixture(autouse=True)
    def global_generators_stay_put(self) -> None:
        """The library draws names of temporary files."""

    @pytest.fixture(autouse=True)
    def offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        datasets.disable_progress_bars()

    def test_training_on_what_datasets_loads_gives_the_score_again(
        self, scored: ProxySet, digits: Dataset, tmp_path: Path
    ) -> None:
        from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]

        export(scored, tmp_path / "hub", "hub")
        rows = load_dataset(str(tmp_path / "hub"), split="train", cache_dir=str(tmp_path / "cache"))
        assert rows.features["label"].names == list(digits.spec.class_names)
        assert np.asarray(rows[3]["image"]).shape == (8, 8)
        rows = rows.with_format("torch")
        data = ImageSet(rows["normalised"][:], rows["label"][:], rows["target"][:])
        assert torch.equal(data.images, scored.data.images)
        session = Session(device="cpu", compile="off")
        again = proxyset.evaluate(data, digits.test, digits.spec, PROTOCOL, net="mlp", seed=3, session=session)
        assert list(again.accuracies) == list(scored.provenance["scores"][0]["accuracies"])

    def test_a_dataset_of_a_hub_is_read_by_its_name(self, tmp_path: Path) -> None:
        proxy = make_proxy(channels=3, soft=True)
        export(proxy, tmp_path / "hub", "hub")
        found = load(f"hf:{tmp_path / 'hub'}")
        assert found.spec.name == "hub"
        assert found.source["source"] == f"hf:{tmp_path / 'hub'}"
        assert found.spec.class_names == proxy.spec.class_names
        assert torch.equal(found.train.labels, proxy.data.labels)
        assert found.train.targets is not None
        assert load(tmp_path / "hub").train.sha256() == found.train.sha256()

    def test_what_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot load 'hf:") as error:
            load(f"hf:{tmp_path / 'gone'}")
        assert "\n" not in str(error.value)
