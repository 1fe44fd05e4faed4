"""Gradients eager and compiled, whole and in micro-batches, against the plain implementation and against each other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.condense import plain_epoch, plain_gradients, plain_match
from proxyset import augment
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset, ImageSet
from proxyset.engine import CACHE, Engine, Footprint
from proxyset.evaluation import Evaluation, evaluate
from proxyset.kernels import FAILED, Kernels, cross_entropy, kernels
from proxyset.methods.gradient import DSA, _Run
from proxyset.nets import build_net
from proxyset.settings import Compute
from proxyset.train import fit

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SMALL: dict[str, Any] = {"net": "convnet-w8-d2", "iterations": 2, "inner_steps": 2, "net_epochs": 2, "batch_real": 8}
SHAPE = {"channels": 3, "size": 8, "classes": 3}


def make_net(name: str, seed: int = 0) -> nn.Module:
    return build_net(name, **SHAPE, generator=torch.Generator().manual_seed(seed))


def make_batch(count: int = 20, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.randint(3, (count,), generator=generator)


def in_parts(net: nn.Module, size: int) -> Kernels:
    """Kernels whose micro-batches hold about `size` images: the largest activation of that many fills the cache."""
    return Kernels(Engine(), net, Footprint(1, CACHE // size, 1))


def close(found: list[Tensor | None], expected: list[Tensor | None], tolerance: float) -> None:
    for one, two in zip(found, expected, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert (one - two).norm() <= tolerance * two.norm() + 1e-6


@pytest.fixture
def colour(make_dataset: Callable[..., Dataset]) -> Dataset:
    """Three classes of 8×8 colour images, eight of each: a real batch is then the whole class, in order."""
    return make_dataset(classes=3, counts=8, channels=3)


# Eager.


@pytest.mark.parametrize("norm", ["nonorm", "layer", "instance", "group", "batch"])
@pytest.mark.parametrize("size", [1, 7, 20])
def test_a_gradient_in_parts_is_the_gradient(norm: str, size: int) -> None:
    net, (images, labels) = make_net(f"convnet-w4-d2-{norm}"), make_batch()
    expected = torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()))
    logits: list[Tensor] = []
    found = in_parts(net, size).gradients(net, images, labels, logits=logits)
    close(found, list(expected), 1e-4)
    assert len(logits) == (1 if norm == "batch" else -(-20 // size))  # with BatchNorm images see each other
    torch.testing.assert_close(torch.cat(logits), net(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_loss_of_one_s_own_is_a_mean_over_the_parts() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.square().mean(1) * images.flatten(1).mean(1) * (1 + labels)).mean()

    expected = torch.autograd.grad(loss(images, net(images), labels), list(net.parameters()))
    close(in_parts(net, 6).gradients(net, images, labels, loss=loss), list(expected), 1e-4)


def test_only_networks_of_known_layers_are_given_parts() -> None:
    """A user's module may do what it likes with its minibatch, unless it says otherwise."""

    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    head = nn.utils.skip_init(nn.Linear, 192, 3)  # without draws from the global generator
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    net, (images, labels) = nn.Sequential(Centred(), nn.Flatten(), head), make_batch()
    logits: list[Tensor] = []
    in_parts(net, 6).gradients(net, images, labels, logits=logits)
    assert len(logits) == 1
    Centred.per_image = True  # type: ignore[attr-defined]
    in_parts(net, 6).gradients(net, images, labels, logits=logits)
    assert len(logits) == 1 + 3


def test_what_is_not_matched_or_has_no_part_in_the_loss_is_none() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()
    net.register_parameter("unused", nn.Parameter(torch.zeros(2, 2)))
    found = in_parts(net, 6).gradients(net, images, labels, matched=True)
    for (name, parameter), gradient in zip(net.named_parameters(), found, strict=True):
        assert (gradient is None) == (parameter.ndim == 1 or name == "unused")


def test_a_network_of_unknown_footprint_gets_whole_minibatches() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()
    logits: list[Tensor] = []
    Kernels(Engine(), net, Footprint(0, 0, 0)).gradients(net, images, labels, logits=logits)
    assert len(logits) == 1


def plain_update(run: _Run) -> Tensor:
    """The gradient of the images by the plain implementation."""
    assert run.net is not None
    found = []
    for label in range(run.spec.classes):
        transform = augment.draw(run.operations, run.generator)
        real = (run.real.images[run.classes[label]].float() / 255 - torch.tensor(run.spec.mean).view(3, 1, 1)) / (
            torch.tensor(run.spec.std).view(3, 1, 1)
        )
        target = plain_gradients(run.net, augment.apply(transform, real), label)
        found.append(plain_match(run.net, target, run.images[run.own[label]], label, transform))
    return torch.cat(found)


def make_run(data: Dataset, engine: Engine, net: str = "convnet-w8-d1-sigmoid") -> _Run:
    """Sigmoids: a ReLU whose input is a rounding error away from 0 would change the second derivative at once."""
    run = _Run(DSA(net=net), data.train, data.spec, 2, torch.Generator().manual_seed(0), engine)
    run.new_network()
    return run


def test_the_update_of_the_images_is_the_plain_one(colour: Dataset) -> None:
    expected = plain_update(make_run(colour, Engine()))
    run = make_run(colour, Engine())
    run.update_images()
    close([run.velocity], [expected], 1e-4)


def test_the_network_s_epoch_is_the_plain_one(colour: Dataset) -> None:
    run, plain = make_run(colour, Engine()), make_run(colour, Engine())
    run.update_network(2)
    assert run.net is not None
    assert plain.net is not None
    for _ in range(2):
        plain_epoch(plain.net, plain.images, plain.labels, plain.operations, plain.generator)
    close([p.data for p in run.net.parameters()], [p.data for p in plain.net.parameters()], 1e-5)


def test_eager_bf16_is_near_fp32(colour: Dataset) -> None:
    exact, rough = make_run(colour, Engine()), make_run(colour, Engine(precision="bf16"))
    for run in (exact, rough):
        run.update_images()
    assert not torch.equal(exact.velocity, rough.velocity)
    assert F.cosine_similarity(exact.velocity.flatten(), rough.velocity.flatten(), 0) > 0.99


# Compiled. Compiling takes seconds, so each test asks for much of what was compiled once.


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_steps_are_the_eager_ones_and_repeat_their_bits(
    precision: Any, colour: Dataset, tmp_path: Path
) -> None:
    """The same image gradients, weights and accuracies; same seed, same bits; resumed = uninterrupted."""
    engine = Engine(precision=precision, compiled=True)
    exact, run = make_run(colour, Engine()), make_run(colour, engine)
    for one in (exact, run):
        one.update_images()
        one.update_network(2)
    assert run.kernels.compiled, "fell back"
    cosine = F.cosine_similarity(exact.velocity.flatten(), run.velocity.flatten(), 0)
    assert cosine > 0.99
    assert exact.net is not None
    assert run.net is not None
    weights = [[p.data for p in one.net.parameters()] for one in (exact, run)]  # type: ignore[union-attr]
    close(list(weights[1]), list(weights[0]), 1e-4 if precision == "fp32" else 2e-2)
    if precision == "fp32":
        close([run.velocity], [exact.velocity], 1e-4)

    method = DSA(**SMALL | {"net": "convnet-w8-d1-sigmoid"})

    def condense(checkpoint: Checkpoint | None = None, **options: Any) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return method.condense(
            colour.train, colour.spec, 2, generator=generator, engine=engine, checkpoint=checkpoint, **options
        ).images

    whole = condense()
    assert torch.equal(condense(), whole)

    class Stop(Exception):
        pass

    def stop(done: int, total: int, loss: float | None = None) -> None:
        if done == 3:
            raise Stop

    path = tmp_path / "run.checkpoint"
    with pytest.raises(Stop):
        condense(Checkpoint(path, 1, {}), progress=stop)
    assert torch.equal(condense(Checkpoint(path, 1, {})), whole)


@pytest.mark.slow
def test_compiled_scores_are_the_eager_ones(make_dataset: Callable[..., Dataset]) -> None:
    """With a last minibatch that is not full, and pooling that leaves a row out (9 → 4 pixels)."""
    data = make_dataset(classes=3, counts=10, size=9)
    protocol = Evaluation(nets=2, epochs=4, batch_size=16, lr=0.05)
    scores = [
        evaluate(
            data.train,
            data.test,
            data.spec,
            protocol,
            net="convnet-w8-d1",
            compute=Compute(device="cpu", precision="fp32", compile=choice),
        )
        for choice in ("on", "off")
    ]
    assert kernels(Engine(compiled=True), "convnet-w8-d1", **data.spec.shape).compiled, "fell back"
    assert scores[0].accuracies == pytest.approx(scores[1].accuracies, abs=0.09)  # one of the twelve test images


@pytest.mark.slow
def test_compiled_matching_pairs_the_gradients_of_every_layer() -> None:
    """Of a deep network, and of every parameter, as the distances but the layerwise one have it."""
    net, (images, labels) = make_net("convnet-w4-d2-sigmoid"), make_batch(4)
    real, _ = make_batch(6, seed=2)
    eager, compiled = (kernels(Engine(compiled=c), "convnet-w4-d2-sigmoid", **SHAPE) for c in (False, True))
    target = eager.gradients(net, real, torch.zeros(6, dtype=torch.int64))
    assert all(gradient is not None for gradient in target)
    for distance in ("cosine", "mse"):
        (value, found), (expected, exact) = (k.match(net, target, images, labels, distance) for k in (compiled, eager))
        assert value == pytest.approx(expected.item(), rel=1e-4)
        close([found], [exact], 1e-3)
    assert compiled.compiled, "fell back"


# Falling back.


@pytest.fixture
def broken_compiler() -> Iterator[None]:
    """A machine without a C++ compiler."""
    import torch._inductor.config as inductor

    kernels.cache_clear()
    torch.compiler.reset()
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}):
        yield
    kernels.cache_clear()
    FAILED.clear()


def test_without_a_compiler_one_line_says_so_and_the_bits_are_the_eager_ones(
    broken_compiler: None, make_dataset: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    data = make_dataset(classes=2, channels=3)
    results = []
    for engine in (Engine(compiled=True), Engine()):
        run = _Run(DSA(**SMALL), data.train, data.spec, 1, torch.Generator().manual_seed(0), engine)
        run.new_network()
        run.update_images()
        run.update_network(1)
        results.append(run.images)
    assert torch.equal(*results)
    said = [record.getMessage() for record in caplog.records if record.name == "proxyset"]
    assert len(said) == 1
    assert "goes on eagerly" in said[0]
    assert "compiler" in said[0]
    assert "\n" not in said[0]
    assert Engine(compiled=True) in FAILED  # the provenance of what is built so says it


def test_batch_norm_is_never_compiled(colour: Dataset) -> None:
    """`plan` says so where it was asked for; the steps are the eager ones whatever the engine."""
    runs = [make_run(colour, Engine(compiled=choice), net="convnet-w8-d2-batch") for choice in (True, False)]
    for run in runs:
        assert not run.kernels.compiled
        run.update_images()
        run.update_network(1)
    assert torch.equal(runs[0].images, runs[1].images)


# On a GPU. There is none where these tests usually run; they then skip, and nothing here is measured.


@needs_cuda
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_computes_what_the_cpu_does(compiled: bool, colour: Dataset) -> None:
    here, there = make_run(colour, Engine()), make_run(colour, Engine(torch.device("cuda"), compiled=compiled))
    for _ in range(3):  # a captured graph is replayed from the third call on
        for run in (here, there):
            run.update_images()
            run.update_network(1)
    close([there.images.cpu()], [here.images], 1e-3)


@needs_cuda
def test_a_gpu_scores_as_the_cpu_does(colour: Dataset) -> None:
    protocol = Evaluation(nets=2, epochs=5, batch_size=16)
    scores = [
        evaluate(colour.train, colour.test, colour.spec, protocol, compute=Compute(device=device, compile="on"))
        for device in ("cuda", "cpu")
    ]
    assert scores[0].accuracies == pytest.approx(scores[1].accuracies, abs=0.2)


def test_fit_takes_the_same_steps_in_parts(colour: Dataset) -> None:
    nets = [make_net("convnet-w4-d2"), make_net("convnet-w4-d2")]
    data = ImageSet(*make_batch(30))
    for net, size in zip(nets, (30, 7), strict=True):
        fit(
            net,
            data,
            colour.spec,
            epochs=3,
            lr=0.05,
            momentum=0.9,
            batch_size=12,
            generator=torch.Generator().manual_seed(0),
            loss=cross_entropy,
            kernels=in_parts(net, size),
        )
    close([p.data for p in nets[1].parameters()], [p.data for p in nets[0].parameters()], 1e-4)
