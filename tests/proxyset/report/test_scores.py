"""Proxy sets and baselines scored side by side."""

import threading
from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import is_artefact
from proxyset.artefact.proxy_set import ProxySet
from proxyset.claims import claim_file
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.report.scores import WHOLE, Contest, check_baselines, contenders, score_all
from proxyset.train.protocols import Evaluation

CPU = Session(device="cpu", compile="off")


@pytest.fixture
def contest(tiny: Dataset) -> Contest:
    return Contest(tiny, Evaluation(nets=2, epochs=2), ("mlp",), whole_epochs=3)


def built(tiny: Dataset, path: Path, ipc: int = 2) -> dict[str, ProxySet]:
    return {str(path): build_file(ProxySpec(tiny, Random(), ipc), path, session=CPU, progress=False)}


def test_sets_and_baselines_at_each_of_their_budgets(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    proxies = built(tiny, tmp_path / "a.safetensors") | built(tiny, tmp_path / "b.safetensors", ipc=3)
    entries = contenders(proxies, ["random", WHOLE], contest, CPU)
    assert [entry.name for entry in entries] == ["a", "b", "random ipc2", "random ipc3", "whole"]
    assert entries[-1].epochs == 3


def test_sets_of_one_name_are_told_apart_by_their_folders(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    proxies = built(tiny, tmp_path / "x" / "a.safetensors") | built(tiny, tmp_path / "y" / "a.safetensors")
    assert [entry.name for entry in contenders(proxies, [], contest, CPU)] == list(proxies)


def test_rows_hold_the_scores_and_files_keep_theirs(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    entries = contenders(built(tiny, path), ["random", WHOLE], contest, CPU)
    rows = score_all(entries, contest, CPU)
    assert [(row["name"], row["file"], row["net"], row["n"]) for row in rows] == [
        ("a", str(path), "mlp", 2),
        ("random ipc2", None, "mlp", 2),
        ("whole", None, "mlp", 2),
    ]
    assert [row["protocol"]["epochs"] for row in rows] == [2, 2, 3]
    (kept,) = ProxySet.load(path).provenance["scores"]
    assert tuple(kept["accuracies"]) == rows[0]["accuracies"]
    score_all(entries, contest, CPU)
    assert len(ProxySet.load(path).provenance["scores"]) == 1  # in place of the earlier one


def test_a_score_waits_for_another_that_is_being_kept(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    (entry,) = contenders(built(tiny, path), [], contest, CPU)
    claim = claim_file(path, kind="proxy set", made_by_us=is_artefact, force=True)
    release = threading.Timer(0.5, claim.release)
    release.start()
    score_all([entry], contest, CPU)
    release.join()
    assert len(ProxySet.load(path).provenance["scores"]) == 1


def test_random_is_drawn_anew_for_every_network(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    (entry,) = contenders(built(tiny, tmp_path / "a.safetensors"), ["random"], contest, CPU)[1:]
    draw: Any = entry.train
    assert draw(0).sha256() != draw(1).sha256()
    assert draw(0).sha256() == draw(0).sha256()
    (herding,) = contenders(built(tiny, tmp_path / "a.safetensors"), ["k-center"], contest, CPU)[1:]
    assert not callable(herding.train)


def test_baselines_are_methods_that_pick_real_images_or_the_whole_set(tiny: Dataset) -> None:
    check_baselines(["random", "herding", WHOLE], tiny, [2])
    for name, words in (("dsa", "unknown baseline 'dsa'"), ("randon", "did you mean 'random'")):
        with pytest.raises(InputError, match=words):
            check_baselines([name], tiny)
