"""The growing head: old logits stay, new parts start as torch starts them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from continual.head import GrowingHead
from continual.settings import Learning
from continual.stream import Stream
from tests.continual.conftest import make_scheme


def test_a_growing_head_keeps_its_old_logits_bit_for_bit(generator: torch.Generator) -> None:
    first = nn.utils.skip_init(nn.Linear, 37, 3)
    assert isinstance(first, nn.Linear)
    nn.init.normal_(first.weight, generator=generator)
    nn.init.zeros_(first.bias)
    head = GrowingHead(first)
    features = torch.randn(19, 37, generator=generator)
    for classes in (2, 1, 7, 50):
        before = head(features)
        head.grow(classes, generator)
        after = head(features)
        assert after.shape[1] == before.shape[1] + classes
        assert torch.equal(after[:, : before.shape[1]], before)
    assert head.sizes() == [3, 2, 1, 7, 50]


def test_new_parts_start_as_torch_starts_them(generator: torch.Generator) -> None:
    head = GrowingHead(nn.Linear(400, 3, device="meta").to_empty(device="cpu"))
    head.grow(50, generator)
    bound = 400**-0.5
    part = head.parts[1]
    for parameter in part.parameters():
        assert parameter.requires_grad
        assert parameter.abs().max() <= bound
    assert isinstance(part, nn.Linear)
    assert part.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_the_whole_network_keeps_its_old_logits_when_it_grows(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    scheme = make_scheme(growing, quick, tmp_path)
    scheme.learn(0)
    images = growing.tasks[0].data.test.images.float()
    scheme.net.eval()
    before = scheme.net(images)
    scheme.trainer.grow(scheme.net, 1)
    after = scheme.net(images)
    assert after.shape[1] == 4
    assert torch.equal(after[:, :2], before)
