"""Pictures of proxy sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.formation import fold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec, to_pixels
from proxyset.errors import InputError
from proxyset.report.figures import save_preview

pytestmark = pytest.mark.draws


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("classes", "ipc", "channels"), [(2, 1, 1), (10, 10, 3), (100, 1, 3), (3, 60, 1)])
def test_previews_open_as_pictures(classes: int, ipc: int, channels: int, soft: bool, tmp_path: Path) -> None:
    spec = DatasetSpec(
        "x", channels, 8, tuple(f"name {c}" for c in range(classes)), (0.5,) * channels, (0.5,) * channels
    )
    images = torch.randn(classes * ipc, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(classes).repeat_interleave(ipc)
    targets = one_hot(labels, classes) if soft else None
    proxy = ProxySet(ImageSet(images, labels, targets), spec, {"method": "mine"})
    path = tmp_path / "preview.png"
    save_preview(proxy, path)
    with Image.open(path) as picture:
        array = np.asarray(picture.convert("L"))
    assert min(array.shape) > 50
    assert max(array.shape) < 8000
    assert array.std() > 10


@pytest.mark.parametrize(("classes", "ipc", "formation"), [(10, 2, 2), (3, 12, 2), (100, 1, 3)])
def test_a_formation_is_drawn_as_it_is_stored_and_as_it_is_trained_on(
    classes: int, ipc: int, formation: int, tmp_path: Path
) -> None:
    """In one picture, under or beside each other: every tile shows in its own grey in both."""
    names = tuple(str(c) for c in range(classes))
    spec = DatasetSpec("x", 1, 12, names, (0.5,), (0.5,))
    labels = torch.arange(classes).repeat_interleave(ipc)
    values = torch.linspace(-1, 1, len(labels) * formation**2).view(-1, 1, 1, 1).expand(-1, 1, 12, 12)
    sizes = []
    for data in (
        ImageSet(fold(values, formation), labels, formation=formation),
        ImageSet(fold(values, formation), labels),
    ):
        save_preview(ProxySet(data, spec), tmp_path / "preview.png")
        with Image.open(tmp_path / "preview.png") as picture:
            sizes.append(picture.size)
            array = np.asarray(picture.convert("L"))
        greys = np.unique(array).astype(int)
        for grey in to_pixels(data.unfold().images, spec).unique().tolist():
            assert abs(greys - grey).min() <= 1  # matplotlib rounds
    assert sizes[0][0] > sizes[1][0] or sizes[0][1] > sizes[1][1]


def test_a_preview_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = DatasetSpec("x", 1, 8, ("a", "b"), (0.5,), (0.5,))
    proxy = ProxySet(ImageSet(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])), spec)
    with pytest.raises(InputError, match="cannot write"):
        save_preview(proxy, tmp_path / "file" / "preview.png")
