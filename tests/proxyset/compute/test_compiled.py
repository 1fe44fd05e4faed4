"""Compiled gradients against eager ones, and going on without a compiler.

Compiling takes seconds, so each test asks for much of what was compiled once.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.checkpoint import Checkpoint
from proxyset.compute.features import Features
from proxyset.compute.footprint import Footprint
from proxyset.compute.functions import Functions
from proxyset.compute.gradients import LOSSES, Gradients
from proxyset.compute.plan import CACHE, Engine
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.methods.base import Context, Problem
from proxyset.methods.distances import DISTANCES
from proxyset.methods.dsa import DSA
from proxyset.progress import Progress, silent
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation
from tests.proxyset.compute.made import SMALL, close, make_batch, make_net, make_run, start, weights
from tests.proxyset.spy import spied

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was given to torch's compiler."""
    given: list[Any] = []
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", spied(compile_, given, lambda work, **options: work))
    return given


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_steps_are_the_eager_ones_and_repeat_their_bits(
    precision: Any, colour: Dataset, tmp_path: Path, compilations: list[Any]
) -> None:
    """The same image gradients, weights and accuracies; same seed, same bits; resumed = uninterrupted."""
    engine = Engine(precision=precision, compiled=True)
    session, problem = Session(device="cpu"), Problem(colour.train, colour.spec, 2)
    exact, run = (make_run(colour, each, session=session) for each in (Engine(), engine))
    for one in (exact, run):
        one.update_images()
        one.update_network(2)
    assert not run.gradients.failed
    assert compilations
    cosine = F.cosine_similarity(exact.velocity.flatten(), run.velocity.flatten(), 0)
    assert cosine > 0.99
    close(weights(run), weights(exact), 1e-4 if precision == "fp32" else 2e-2)
    if precision == "fp32":
        close([run.velocity], [exact.velocity], 1e-4)

    method = DSA(**SMALL | {"net": "convnet-w8-d1-sigmoid"})

    def condense(checkpoint: Checkpoint | None = None, progress: Progress = silent) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return method.condense(problem, Context(generator, session, engine, progress, checkpoint)).images

    whole = condense()
    assert torch.equal(condense(), whole)

    class Stop(Exception):
        pass

    def stop(done: float, total: int, loss: float | None = None) -> None:
        if done == 1.5:
            raise Stop

    path = tmp_path / "run.checkpoint"
    with pytest.raises(Stop):
        condense(Checkpoint(path, 1, {}), progress=stop)
    assert torch.equal(condense(Checkpoint(path, 1, {})), whole)


@pytest.mark.slow
def test_compiled_scores_are_the_eager_ones(make_dataset: Callable[..., Dataset], compilations: list[Any]) -> None:
    """With a last minibatch that is not full, and pooling that leaves a row out (9 → 4 pixels)."""
    data = make_dataset(classes=3, counts=10, size=9)
    protocol = Evaluation(nets=2, epochs=4, batch_size=16, lr=0.05)
    net, sessions = "convnet-w8-d1", [Session(device="cpu", compile=choice) for choice in ("on", "off")]
    scores = [evaluate(data.train, data.test, data.spec, protocol, net=net, session=each) for each in sessions]
    assert compilations
    assert not sessions[0].gradients(Engine(compiled=True), net, data.spec.shape).failed
    assert scores[0].accuracies == pytest.approx(scores[1].accuracies, abs=0.09)  # one of the twelve test images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "distance", "loss"),
    [("mlp", "cosine", "cross-entropy"), ("convnet-w4-d1-sigmoid", "mse", "squared-error")],
)
def test_compiled_gradients_pair_every_layer_and_take_soft_targets(
    net: str, distance: str, loss: str, compilations: list[Any]
) -> None:
    """Of every parameter, as the distances but the layerwise one have it; the last micro-batch is filled up."""
    model, (images, labels), (real, _) = make_net(net), make_batch(4), make_batch(7, seed=2)
    soft = torch.randn(7, 3, generator=torch.Generator().manual_seed(3)).softmax(1)
    eager, compiled = (Gradients(Engine(compiled=c), model, Footprint(1, CACHE // 4, 1)) for c in (False, True))
    logits: list[list[Tensor]] = [[], []]
    target = eager.of_weights(model, real, soft, loss=LOSSES[loss], logits=logits[0])
    assert all(gradient is not None for gradient in target)
    close(compiled.of_weights(model, real, soft, loss=LOSSES[loss], logits=logits[1]), target, 1e-4)
    torch.testing.assert_close(torch.cat(logits[1]), torch.cat(logits[0]), rtol=1e-4, atol=1e-5)
    answers = soft[:4] if distance == "mse" else labels
    (value, found), (expected, exact) = (
        each.match(model, target, images, answers, DISTANCES[distance]) for each in (compiled, eager)
    )
    assert value == pytest.approx(expected.item(), rel=1e-4)
    close([found], [exact], 1e-3)
    assert len(compilations) == 2
    assert not compiled.failed


# Falling back.


@pytest.fixture
def broken_compiler() -> Iterator[None]:
    """A machine without a C++ compiler."""
    import torch._inductor.config as inductor

    torch.compiler.reset()
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}):
        yield


def test_without_a_compiler_one_line_says_so_and_the_bits_are_the_eager_ones(
    broken_compiler: None, make_dataset: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    data = make_dataset(classes=2, channels=3)
    results = []
    for engine in (Engine(compiled=True), Engine()):
        run = start(DSA(**SMALL), data, engine, ipc=1)
        run.update_images()
        run.update_network(1)
        results.append(run.images)
        assert run.gradients.failed == engine.compiled
    assert torch.equal(*results)
    said = [record.getMessage() for record in caplog.records if record.name == "proxyset"]
    assert len(said) == 1
    assert "goes on eagerly" in said[0]
    assert "compiler" in said[0]
    assert "\n" not in said[0]


def test_batch_norm_is_never_compiled(colour: Dataset, compilations: list[Any]) -> None:
    """`plan` says so where it was asked for; the steps are the eager ones whatever the engine."""
    runs = [make_run(colour, Engine(compiled=choice), net="convnet-w8-d2-batch") for choice in (True, False)]
    for run in runs:
        run.update_images()
        run.update_network(1)
    assert not compilations
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
        evaluate(colour.train, colour.test, colour.spec, protocol, session=Session(device=device, compile="on"))
        for device in ("cuda", "cpu")
    ]
    assert scores[0].accuracies == pytest.approx(scores[1].accuracies, abs=0.2)


@pytest.mark.parametrize("kind", ["gradients", "features"])
def test_minibatches_of_many_sizes_are_compiled_for_the_largest(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of a user's own have their own counts, and every compilation takes many seconds."""
    keys = set()

    def eagerly(self: Functions, key: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        keys.add(key)
        return function(*arguments)

    monkeypatch.setattr(Functions, "call", eagerly)
    net, engine, cost = make_net("convnet-w8-d1-sigmoid"), Engine(compiled=True), Footprint(1, 1, 1)
    for count in (5, 7, 8):
        images, labels = make_batch(count)
        found: list[list[Tensor | None]] = []
        for each in (engine, Engine()):
            if kind == "gradients":
                found.append(Gradients(each, net, cost).of_weights(net, images, labels, most=8))
            else:
                found.append([Features(each, net, cost).of(net, images, 8)])
        compiled, exact = found
        close(compiled, exact, 1e-5)
    assert len(keys) == 1
