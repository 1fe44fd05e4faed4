"""What the tests of the artefact share."""

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec


@pytest.fixture
def proxy() -> ProxySet:
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    spec = DatasetSpec("tiny", 1, 8, ("naïve", "b/c"), (0.1307,), (0.3081,), False)
    provenance = {"method": "dsa", "settings": {"lr": 0.1, "net": None}, "seed": 3, "scores": []}
    return ProxySet(ImageSet(images, torch.tensor([0, 0, 1, 1])), spec, provenance)


@pytest.fixture
def soft(proxy: ProxySet) -> ProxySet:
    """The same with soft targets."""
    targets = torch.tensor([[0.7, 0.3], [1.0, 0.0], [1 / 3, 2 / 3], [0.0, 1.0]])
    return ProxySet(ImageSet(proxy.data.images, proxy.data.labels, targets), proxy.spec, proxy.provenance)
