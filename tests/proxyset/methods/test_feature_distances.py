"""Distances of features, attention maps and centres against loops."""

import torch
from torch import nn

from proxyset.methods.centres import nearest_to_centres
from proxyset.methods.feature_distances import (
    characteristic_distance,
    characteristic_function,
    class_loss,
    mean_distance,
)
from proxyset.methods.views import AttentionMaps
from proxyset.nets.build import build_net
from tests import reference_features as reference


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_distance_is_the_sum_over_classes_of_squared_differences() -> None:
    features, means = random(6, 4), random(2, 4, seed=1)
    expected = sum(((features[3 * label : 3 * label + 3].mean(0) - means[label]) ** 2).sum() for label in range(2))
    torch.testing.assert_close(mean_distance(features, means), expected)
    assert mean_distance(means.repeat_interleave(3, 0), means) < 1e-30


def test_characteristic_distance_is_that_of_complex_numbers() -> None:
    features, real, frequencies = random(6, 4), random(2, 5, 4, seed=1), random(4, 7, seed=2)
    expected = sum(
        reference.characteristic_distance(real[label], features[3 * label : 3 * label + 3], frequencies)
        for label in range(2)
    )
    known = torch.stack([characteristic_function(part, frequencies) for part in real])
    torch.testing.assert_close(characteristic_distance(features, known, frequencies).item(), expected)


def test_distances_have_the_slopes_of_their_values() -> None:
    features = random(4, 3).requires_grad_()
    known = torch.stack([characteristic_function(part, random(3, 5, seed=2)) for part in random(2, 5, 3, seed=1)])
    assert torch.autograd.gradcheck(lambda x: mean_distance(x, random(2, 3, seed=1)), features)
    assert torch.autograd.gradcheck(lambda x: characteristic_distance(x, known, random(3, 5, seed=2)), features)
    labels, share = torch.tensor([0, 0, 1, 1]), torch.tensor(0.3, dtype=torch.float64)
    weight, bias = random(2, 3, seed=3), random(2, seed=4)
    assert torch.autograd.gradcheck(lambda x: class_loss(x, weight, bias, labels, share), features)


def test_class_loss_reads_the_last_features_and_weights_each_image() -> None:
    features, weight, bias, labels = random(4, 5), random(2, 3, seed=1), random(2, seed=2), torch.tensor([0, 0, 1, 1])
    logits = features[:, 2:] @ weight.T + bias
    expected = sum(-logits[row].log_softmax(0)[label] for row, label in enumerate(labels.tolist())) * 0.25
    torch.testing.assert_close(class_loss(features, weight, bias, labels, torch.tensor(0.25)), expected)


def test_attention_maps_are_those_of_a_loop() -> None:
    net = build_net("convnet-w3-d3", channels=1, size=8, classes=2, generator=torch.Generator().manual_seed(0))
    images = random(2, 1, 8, 8).float()
    body: nn.Sequential = net.body  # type: ignore[assignment]
    activations, x = [], images
    for layer in body:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            activations.append(x)
    found = AttentionMaps(net)(images)
    for row in range(2):
        maps = [
            10 * reference.attention(activation[row].detach()) for activation in activations[:-1]
        ]  # 10² = 100, the scale
        torch.testing.assert_close(found[row], torch.cat([*maps, x[row].flatten()]), rtol=1e-4, atol=1e-5)


def test_images_nearest_to_centres_cover_the_class() -> None:
    """Of four tight clusters of very different size one image each is picked."""
    centres = torch.tensor([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]])
    sizes = torch.tensor([30, 3, 5, 2])
    features = centres.repeat_interleave(sizes, 0) + 0.1 * random(40, 2).float()
    found = set()
    for seed in range(20):
        picked = nearest_to_centres(features, 4, torch.Generator().manual_seed(seed))
        assert len(set(picked.tolist())) == 4
        found.add(tuple(sorted((features[picked] / 10).round().abs().mul(torch.tensor([2, 1])).sum(1).int().tolist())))
    assert (0, 1, 2, 3) in found  # Lloyd's algorithm may stop at a worse place from some starts


def test_as_many_as_there_are_takes_all() -> None:
    picked = nearest_to_centres(random(5, 2).float(), 5, torch.Generator().manual_seed(0))
    assert sorted(picked.tolist()) == list(range(5))
