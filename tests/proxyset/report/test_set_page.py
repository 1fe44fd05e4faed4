"""The page of proxy sets: every image at its place, scores, what differs, how a set came to be."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.artefact import trace
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.film import read_film
from proxyset.artefact.outputs import film_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, DatasetSpec, to_pixels
from proxyset.methods.dm import DM
from proxyset.report.page import MOST_BYTES, render
from proxyset.report.parts import Gallery, Picture, Slider, Table
from proxyset.report.set_images import gallery
from proxyset.report.set_page import describe, differing, set_page
from tests.proxyset.report.reading import Seen


def make(classes: int = 3, ipc: int = 2, channels: int = 1, size: int = 8, **provenance: Any) -> ProxySet:
    names = tuple(f"<b>name {c}</b>" for c in range(classes))
    spec = DatasetSpec("x", channels, size, names, (0.5,) * channels, (0.5,) * channels)
    images = torch.randn(classes * ipc, channels, size, size, generator=torch.Generator().manual_seed(ipc))
    return ProxySet(ImageSet(images, torch.arange(classes).repeat_interleave(ipc)), spec, provenance)


def score(net: str = "mlp", accuracies: tuple[float, ...] = (0.5, 0.75)) -> dict[str, Any]:
    return {"net": net, "seed": 0, "protocol": {"epochs": 1}, "accuracies": list(accuracies), "seconds": 1.0}


def pixels_of(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.data.split(",")[1]))))


def test_a_class_has_its_own_images_side_by_side_for_every_set() -> None:
    one, two = make(ipc=2), make(ipc=3)
    shown = gallery({"one": one, "two": two})
    assert [entry.name for entry in shown.classes] == list(one.spec.class_names)
    assert shown.open
    for number, entry in enumerate(shown.classes):
        for proxy, picture in zip((one, two), entry.sheets, strict=True):
            pixels, wanted = pixels_of(picture), to_pixels(proxy.data.images, proxy.spec)
            for place in range(proxy.ipc):
                assert np.array_equal(pixels[:, 9 * place : 9 * place + 8], wanted[number * proxy.ipc + place, 0])


def test_the_page_of_a_large_set_stays_small() -> None:
    """Noise, which no format makes smaller: 5,000 images of 100 classes."""
    proxy = make(classes=100, ipc=50, channels=3, size=32)
    text = render(set_page({"large": Path("large")}, {"large": proxy}))
    assert 10**6 < len(text) < MOST_BYTES
    assert "are shown" in text


def test_names_are_escaped_and_scores_are_read_from_the_file() -> None:
    proxy = make(method="<i>mine</i>", scores=[score(), score("other", (0.25,))], seconds=61.0, dataset={"images": 900})
    page = set_page({"x": Path("x")}, {"x": proxy})
    assert page.sentence.startswith("900 images of x became 6, 2 of each of 3 classes, by <i>mine</i> in 1 min 01 s;")
    assert "2 fresh mlp networks, trained on these alone, reach 62.5 ± 12.5 %" in page.sentence
    seen = Seen(render(page))
    assert not seen.all("b") + seen.all("i")
    assert "<b>name 2</b>" in seen.text
    assert "62.5 ± 12.5 (2)" in seen.text
    assert len(seen.all("circle")) == 3  # every network


def test_the_headline_is_of_the_most_networks_and_not_the_best() -> None:
    one = make(method="dsa", scores=[score("lucky", (0.9,)), score("usual", (0.5, 0.6, 0.7))])
    assert "3 fresh usual networks, trained on these alone, reach 60.0 ± 8.2 %" in describe(one)
    assert "protocol paper" in describe(one)
    alone = describe(make(method="dsa", scores=[score("lucky", (0.9,))]))
    assert "a fresh lucky network, trained on these alone, reaches 90.0 % on" in alone


def test_only_settings_that_differ_are_compared() -> None:
    one = make(method="dsa", seed=0, settings={"lr_img": 0.1, "same": 3}, created="today")
    two = make(method="dsa", seed=1, settings={"lr_img": 0.2, "same": 3, "more": True}, created="tomorrow")
    (table,) = differing({"one": one, "two": two})
    assert isinstance(table, Table)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["seed", "0", "1"],
        ["lr_img", "0.1", "0.2"],
        ["more", "–", "True"],
    ]


def test_sets_of_other_classes_stand_in_galleries_of_their_own() -> None:
    page = set_page({"one": Path("a"), "two": Path("b")}, {"one": make(classes=2), "two": make(classes=3)})
    assert sum(isinstance(part, Gallery) for part in page.sections[0].parts) == 2


def test_a_trace_keeps_the_images_of_each_point_and_a_slider_shows_them(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "EPOCHS", 1)
    path = tmp_path / "set.safetensors"
    wanted = ProxySpec(tiny, DM(net="convnet-w4-d1", batch_real=4, iterations=4), 1, trace=2)
    proxy = build_file(wanted, path, session=Session(device="cpu", compile="off"), progress=False)
    kept = read_film(film_path(path)).pixels
    assert list(kept) == [0, 2, 4]
    assert torch.equal(kept[4], to_pixels(proxy.data.images, proxy.spec))
    assert not torch.equal(kept[0], kept[4])
    page = set_page({"set": path}, {"set": proxy})
    (slider,) = [part for section in page.sections for part in section.parts if isinstance(part, Slider)]
    assert len(slider.frames) == 3
    untested = replace(proxy, provenance={key: value for key, value in proxy.provenance.items() if key != "trace"})
    film_alone = set_page({"set": path}, {"set": untested})  # as `--film` leaves it
    assert sum(isinstance(part, Slider) for section in film_alone.sections for part in section.parts) == 1
    film_path(path).write_bytes(b"torn")
    assert not [p for s in set_page({"set": path}, {"set": proxy}).sections for p in s.parts if isinstance(p, Slider)]
