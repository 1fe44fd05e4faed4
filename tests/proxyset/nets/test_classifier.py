"""What can be told of any network by its layers."""

import pytest
import torch
from torch import Tensor, nn

from proxyset.nets.build import NETS, outline
from proxyset.nets.classifier import Classifier, batch_norms, has_batch_norm, is_per_image
from tests.proxyset.nets.made import make


def test_logits_are_the_head_s_of_the_features() -> None:
    net = make("convnet-w4")
    assert isinstance(net, Classifier)
    batch = torch.zeros(2, 3, 32, 32)
    torch.testing.assert_close(net.classifier(net.embed(batch)), net(batch))


@pytest.mark.parametrize("name", [*NETS, "convnet", "convnet-batch"])
def test_images_see_each_other_only_through_batch_norm(name: str) -> None:
    net = outline(name, channels=3, size=32, classes=10)
    assert has_batch_norm(net) == ("batch" in name) == bool(batch_norms(net))
    assert is_per_image(net) != has_batch_norm(net)


def test_a_user_s_layers_count_as_seeing_the_minibatch_unless_they_say_otherwise() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    net = nn.Sequential(Centred(), nn.Flatten())
    assert not is_per_image(net)
    Centred.per_image = True  # type: ignore[attr-defined]
    assert is_per_image(net)
