"""Pictures of proxy sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.report.figures import save_preview


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


def test_a_preview_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = DatasetSpec("x", 1, 8, ("a", "b"), (0.5,), (0.5,))
    proxy = ProxySet(ImageSet(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])), spec)
    with pytest.raises(InputError, match="cannot write"):
        save_preview(proxy, tmp_path / "file" / "preview.png")
