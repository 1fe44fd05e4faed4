"""Images that are kept while a set is learned: they are those of the set, and survive an interruption."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from proxyset.artefact.build import ProxySpec, build_claimed, build_file
from proxyset.artefact.film import read_film
from proxyset.artefact.outputs import film_path, is_picture
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset, to_pixels
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.report.film import save_animation, save_strip

FAST: dict[str, Any] = {"net": "convnet-w4-d1", "batch_real": 4}


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", compile="off")


def wanted(data: Dataset, iterations: int = 4, film: int = 3) -> ProxySpec:
    return ProxySpec(data, DM(**FAST, iterations=iterations), 2, film=film)


def test_frames_are_the_images_of_sets_that_were_stopped_there(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    proxy = build_file(wanted(tiny), path, session=session, progress=False)
    frames = read_film(film_path(path))
    assert list(frames.pixels) == [0, 1, 2, 4]
    assert torch.equal(frames.pixels[4], to_pixels(proxy.data.images, proxy.spec))
    shorter = build_file(wanted(tiny, 2, 0), tmp_path / "two.safetensors", session=session, progress=False)
    assert torch.equal(frames.pixels[2], to_pixels(shorter.data.images, proxy.spec))
    assert not film_path(tmp_path / "two.safetensors").exists()


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_film_is_that_of_one_run(stop: int, tiny: Dataset, session: Session, tmp_path: Path) -> None:
    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= stop:
            raise KeyboardInterrupt

    whole, path = tmp_path / "whole.safetensors", tmp_path / "set.safetensors"
    build_file(wanted(tiny), whole, session=session, progress=False)
    with pytest.raises(KeyboardInterrupt):
        build_claimed(wanted(tiny), path, session=session, progress=interrupt)
    build_file(wanted(tiny), path, session=session, progress=False)
    ours, theirs = (read_film(film_path(each)).pixels for each in (path, whole))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[step], theirs[step]) for step in ours)


def test_frames_of_another_set_do_not_become_the_beginning_of_this_one(
    tiny: Dataset, session: Session, tmp_path: Path
) -> None:
    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    path = tmp_path / "set.safetensors"
    build_file(wanted(tiny, 3), path, session=session, progress=False)
    with pytest.raises(KeyboardInterrupt):
        build_claimed(wanted(tiny, film=0), path, session=session, progress=interrupt, force=True)
    build_claimed(wanted(tiny), path, session=session, progress=False)
    assert list(read_film(film_path(path)).pixels) == [4]


@pytest.mark.draws
def test_pictures_of_a_film(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    build_file(wanted(tiny), path, session=session, progress=False)
    frames = read_film(film_path(path))
    strip = save_strip(frames, tiny.spec, "title", tmp_path / "strip.png")
    animation = save_animation(frames, tiny.spec, tmp_path / "film.png")
    assert is_picture(strip)
    assert is_picture(animation)
    with Image.open(animation) as image:
        assert image.n_frames == len(frames.pixels)  # type: ignore[attr-defined]
        assert image.width >= 480


def test_methods_without_steps_are_refused(tiny: Dataset, session: Session) -> None:
    with pytest.raises(InputError, match="film"):
        ProxySpec(tiny, Random(), 1, film=2).engine(session)


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.film").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.film"):
        read_film(tmp_path / "a.film")
