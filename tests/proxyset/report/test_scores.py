"""Proxy sets and baselines scored side by side."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import is_artefact
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.storage import rounded
from proxyset.claims import claim_file
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.report.scores import WHOLE, Contest, check_baselines, contenders, score_all, sizes, teachers_missing
from proxyset.report.tables import on_test_images
from proxyset.settings import KeepAs
from proxyset.train.protocols import Evaluation

CPU = Session(device="cpu", compile="off")


@pytest.fixture
def contest(tiny: Dataset) -> Contest:
    return Contest(tiny, Evaluation(nets=2, epochs=2), ("mlp",), whole_epochs=3)


def built(
    tiny: Dataset, path: Path, ipc: int = 2, formation: int = 1, keep_as: KeepAs = "float32"
) -> dict[str, ProxySet]:
    wanted = ProxySpec(tiny, Random(formation=formation), ipc, keep_as=keep_as)
    return {str(path): build_file(wanted, path, session=CPU, progress=False)}


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


def test_scores_on_other_test_images_are_kept_apart(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    entries = contenders(built(tiny, path), [], contest, CPU)
    fewer = replace(contest, dataset=replace(tiny, test=tiny.test[torch.arange(3)]))
    for one in (contest, fewer, contest):
        score_all(entries, one, CPU)
    kept = ProxySet.load(path).provenance["scores"]
    assert [score["test_images"] for score in kept] == [3, len(tiny.test)]
    words = [on_test_images(score, kept) for score in kept]
    assert len(set(words)) == 2
    assert all(word.startswith(", on test images ") for word in words)
    assert on_test_images(kept[0], kept[:1]) == ""


def test_a_score_is_not_kept_in_another_set(
    tiny: Dataset, contest: Contest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Built in its place while the networks trained."""
    path = tmp_path / "a.safetensors"
    entries = contenders(built(tiny, path), [], contest, CPU)
    build_file(ProxySpec(tiny, Random(), 2, seed=1), path, session=CPU, progress=False, force=True)
    score_all(entries, contest, Session(device="cpu"))
    assert not ProxySet.load(path).provenance.get("scores")
    assert "another set is there by now" in caplog.text


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


def test_baselines_have_the_bytes_and_the_tiles_of_the_sets(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    proxies = built(tiny, tmp_path / "a.safetensors") | built(tiny, tmp_path / "b.safetensors", 2, 2, "uint8")
    entries = contenders(proxies, ["random", "k-center", WHOLE], contest, CPU)
    names = ["random ipc2", "random ipc2 f2 uint8", "k-center ipc2", "k-center ipc2 f2 uint8", "whole"]
    assert [entry.name for entry in entries] == ["a", "b", *names]
    plain, tiles = ({"stored": 6, "images": 6, "bytes": 6 * 64 * 4}, {"stored": 6, "images": 24, "bytes": 6 * 64})
    whole = {"stored": 36, "images": 36, "bytes": 36 * 64}  # a byte per pixel
    assert [entry.size() for entry in entries] == [plain, tiles] * 3 + [whole]
    draw: Any = entries[3].train
    assert rounded(draw(1), "uint8").sha256() == draw(1).sha256()  # as a file would give it back
    planned = sizes(proxies, ["random", "k-center", WHOLE], contest)
    assert [(images, recipe.epochs) for images, recipe in planned] == [(6, 2), (24, 2)] * 3 + [(36, 3)]
    for row, entry in zip(score_all(entries, contest, CPU), entries, strict=True):
        assert {name: row[name] for name in entry.size()} == entry.size()


def test_equal_updates_train_a_formation_for_fewer_epochs(tiny: Dataset, tmp_path: Path) -> None:
    protocol = Evaluation(nets=1, epochs=8, protocol="equal-updates")
    contest = Contest(tiny, protocol, ("mlp",))
    proxies = built(tiny, tmp_path / "a.safetensors") | built(tiny, tmp_path / "b.safetensors", formation=2)
    assert [recipe.epochs for _, recipe in sizes(proxies, [], contest)] == [8, 2]
    rows = score_all(contenders(proxies, [], contest, CPU), contest, CPU)
    assert [(row["epochs"], row["protocol"]["epochs"]) for row in rows] == [(8, 8), (2, 8)]
    (kept,) = ProxySet.load(tmp_path / "b.safetensors").provenance["scores"]
    assert (kept["protocol"]["protocol"], kept["epochs"]) == ("equal-updates", 2)


def test_scores_of_other_protocols_are_kept_beside_each_other(tiny: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    proxies = built(tiny, path)
    for name in ("paper", "strong", "paper"):
        contest = Contest(tiny, Evaluation(nets=1, epochs=2, protocol=name), ("mlp",))
        score_all(contenders(proxies, [], contest, CPU), contest, CPU)
    kept = ProxySet.load(path).provenance["scores"]
    assert [score["protocol"]["protocol"] for score in kept] == ["strong", "paper"]
    older = kept[1] | {"protocol": {key: kept[1]["protocol"][key] for key in kept[1]["protocol"] if key != "cutmix"}}
    older["protocol"].pop("protocol")
    proxy = ProxySet.load(path)
    found = replace(proxy, provenance=proxy.provenance | {"scores": [older]}).with_scores([kept[1]])
    assert found.provenance["scores"] == [kept[1]]  # which an older version wrote without naming the protocol


def test_baselines_are_methods_that_pick_real_images_or_the_whole_set(tiny: Dataset) -> None:
    check_baselines(["random", "herding", WHOLE], tiny)
    tiles = ProxySet(ImageSet(torch.zeros(9, 1, 8, 8), torch.arange(3).repeat_interleave(3), formation=2), tiny.spec)
    with pytest.raises(InputError, match="`ipc=3` with 4 real images in each is more than the smallest class"):
        check_baselines(["random"], tiny, [tiles])
    for name, words in (("dsa", "unknown baseline 'dsa'"), ("randon", "did you mean 'random'")):
        with pytest.raises(InputError, match=words):
            check_baselines([name], tiny)


def test_a_teacher_that_is_not_kept_is_part_of_the_estimate(tiny: Dataset, contest: Contest, tmp_path: Path) -> None:
    path, session = tmp_path / "a.safetensors", Session(device="cpu", compile="off")
    method = Random(targets="teacher", teacher_net="mlp", teacher_epochs=1)
    here = {str(path): build_file(ProxySpec(tiny, method, 2), path, session=session, progress=False)}
    elsewhere = {str(tmp_path / "other/a.safetensors"): here[str(path)]}
    fresh = Session(device="cpu", compile="off")
    assert teachers_missing(elsewhere, ["random"], contest, fresh) > 0
    assert teachers_missing(elsewhere, [WHOLE], contest, fresh) == 0
    assert teachers_missing(here, ["random"], contest, fresh) == 0
