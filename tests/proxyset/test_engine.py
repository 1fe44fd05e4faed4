"""What is decided before the work: device, precision, compilation, micro-batches, memory."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from proxyset import engine
from proxyset.data import load
from proxyset.engine import CACHE, Engine, Estimate, Footprint, Work, footprint, plan
from proxyset.methods.gradient import DSA
from proxyset.nets import build_net, outline
from proxyset.seeds import sample
from proxyset.settings import Compute, InputError

TINY = Work(Footprint(10**6, 10**5, 10**6), images=1e3, minibatches=10)
HUGE = Work(Footprint(10**8, 10**5, 10**6), images=1e8, minibatches=1e5)


def cpu(**choices: Any) -> Compute:
    return Compute(device="cpu", **choices)


# The choice.


def test_auto_compiles_what_is_worth_it_and_says_the_same_every_time() -> None:
    assert not plan(cpu(), TINY).compiled
    assert plan(cpu(), HUGE).compiled
    assert plan(cpu(), HUGE) == plan(cpu(), HUGE)
    assert engine.saving(HUGE, torch.device("cpu"), "fp32") > engine.COMPILE_SECONDS


@pytest.mark.parametrize("work", [TINY, HUGE])
def test_on_and_off_are_obeyed(work: Work) -> None:
    assert plan(cpu(compile="on"), work).compiled
    assert not plan(cpu(compile="off"), work).compiled


def test_bf16_is_asked_for_and_said_to_be_slow_without_hardware(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself nothing is less exact than the published work."""
    engine._say_once.cache_clear()
    for native, said in ((True, 0), (False, 1)):
        monkeypatch.setattr(engine, "has_bf16", lambda device, native=native: native)
        assert plan(cpu(), HUGE).precision == "fp32"
        assert plan(cpu(precision="bf16"), HUGE).precision == "bf16"
        assert len(caplog.messages) == said


def test_work_that_is_never_compiled_stays_in_fp32() -> None:
    assert plan(cpu(compile="on", precision="bf16")) == Engine()


@pytest.mark.parametrize(("value", "read"), [(True, "on"), (False, "off"), ("on", "on"), ("auto", "auto")])
def test_yaml_takes_on_and_off_for_truth_values(value: Any, read: str) -> None:
    assert Compute(compile=value).compile == read


def test_the_paper_s_run_is_compiled_and_the_demo_s_is_not(make_dataset: Any) -> None:
    """10 per class at width 128 takes days on two cores; the demo a minute. The number of threads has no say."""
    digits = load("digits")
    cifar = make_dataset(classes=10, counts=260, channels=3, size=32)
    assert plan(cpu(), DSA().work(cifar.train, cifar.spec, 10)).compiled
    short = DSA(net="convnet-w32", iterations=10)
    assert not plan(cpu(), short.work(digits.train, digits.spec, 1)).compiled


def test_work_counts_the_passes_of_algorithm_1(make_dataset: Any) -> None:
    data = make_dataset(classes=3)
    method = DSA(net="convnet-w4-d1", iterations=5, inner_steps=2, net_epochs=7, batch_real=8)
    # 5·2 updates of 3 classes: 8 real images, 2 synthetic ones three times; 5·1 trainings of 7 epochs on 6 images
    assert method.work(data.train, data.spec, 2).images == 5 * 2 * 3 * (8 + 3 * 2) + 5 * 7 * 6
    small = make_dataset(classes=3, counts=(5, 12, 12))  # a class of 5 gives no more
    assert method.work(small.train, small.spec, 2).images == 5 * 2 * (5 + 8 + 8 + 3 * 3 * 2) + 5 * 7 * 6


def test_what_cannot_be_compiled_is_planned_eagerly(make_dataset: Any, caplog: pytest.LogCaptureFixture) -> None:
    """BatchNorm, or a machine without a compiler: said once, where compiling was asked for or would pay."""
    engine._say_once.cache_clear()
    data = make_dataset(channels=3, size=32)
    batch_norm = DSA(net="convnet-batch").work(data.train, data.spec, 10)
    assert plan(cpu(), batch_norm) == Engine()
    assert not caplog.messages
    assert plan(cpu(compile="on"), batch_norm) == plan(cpu(compile="on"), batch_norm) == Engine()
    assert caplog.messages == [
        "not compiled: the network has BatchNorm, whose statistics change outside of what is compiled"
    ]
    import torch._inductor.config as inductor

    engine.has_compiler.cache_clear()
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler")}):
        assert plan(cpu(), HUGE) == plan(cpu(), HUGE) == Engine()
    assert len(caplog.messages) == 2
    assert "No working C++ compiler" in caplog.messages[1]
    engine.has_compiler.cache_clear()


# What an image costs.


def test_footprint_of_a_convnet_by_hand() -> None:
    """One block of width 4 on 1×8×8 (conv 3×3, instance norm, ReLU, 2×2 pooling) and a head for 3 classes."""
    net = outline("convnet-w4-d1", channels=1, size=8, classes=3)
    multiplications = 4 * 9 * 64 + 4 * 16 * 3
    activations = [4 * 64, 4 * 64, 4 * 64, 4 * 16, 3]
    assert footprint(net, 1, 8) == Footprint(2 * multiplications, 4 * 4 * 64, 4 * sum(activations))


def test_footprint_leaves_the_network_alone_and_survives_odd_ones() -> None:
    net = build_net("convnet-w4-d1-batch", channels=1, size=8, classes=3, generator=torch.Generator())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    footprint(net, 1, 8)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())

    class Caching(nn.Module):
        position: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.position is None:
                self.position = torch.zeros(8, device=x.device)
            return x + self.position

    caching = Caching()
    assert footprint(caching, 1, 8).activations == 4 * 64
    caching(torch.zeros(1, 1, 8, 8))  # what was measured was a copy

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.mean().item() > 0 else -x  # needs real numbers

    assert footprint(Odd(), 1, 8) == Footprint(0, 0, 0)


# Micro-batches.


def test_microbatches_fit_the_cache_and_divide_evenly() -> None:
    cost = Footprint(1, CACHE // 32, CACHE // 16)
    assert Engine().microbatch(cost, 256) == 32
    assert Engine().microbatch(cost, 20) == 20
    assert Engine().microbatch(cost, 100) == 34  # three parts, two images of padding
    assert Engine(precision="bf16").microbatch(cost, 256) == 64  # half the bytes
    assert Engine().microbatch(Footprint(1, 1, 1), 5000) == 5000


def test_a_memory_limit_shrinks_them_to_what_fits_and_refuses_what_cannot() -> None:
    cost = Footprint(1, CACHE // 32, 2**20)
    room = 10 * engine.LIVE * 2**20  # for ten images
    size = Engine(memory_limit=engine.BASE + room).microbatch(cost, 256)
    assert 1 <= size <= 10
    for count in range(1, 300):
        assert Engine(memory_limit=engine.BASE + 2 * room).microbatch(cost, count) <= 20
    with pytest.raises(InputError, match=r"--memory-limit 0\.1 is too small"):
        Engine(memory_limit=int(0.1 * 2**30)).microbatch(cost, 256)


def test_more_memory_than_the_limit_is_refused_before_the_work() -> None:
    Engine(memory_limit=2**30).check_memory(Estimate(memory=2**30))
    with pytest.raises(InputError, match=r"1\.50 GiB are needed, more than --memory-limit 1"):
        Engine(memory_limit=2**30).check_memory(Estimate(memory=3 * 2**29))


FAULTS = """
import resource, sys, torch
from proxyset.engine import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return [torch.ones(16 * 2**20) for _ in range(2)]  # 64 MiB each
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_freed_memory_is_kept_so_that_steps_need_no_fresh_pages() -> None:
    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)

    assert faults("keep") < 0.05 * faults("usual")


LIMITED = """
import sys, torch
from proxyset.data import DatasetSpec, ImageSet
from proxyset.engine import peak_memory
from proxyset.evaluation import Evaluation, evaluate
from proxyset.settings import Compute
torch.set_num_threads(1)
images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
data = ImageSet(images, torch.arange(64) // 32)
spec = DatasetSpec("random", 3, 32, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
compute = Compute(device="cpu", memory_limit=float(sys.argv[1]) or None)
evaluate(data, data, spec, Evaluation(nets=1, epochs=1), net="convnet-w128-d2-nopool", compute=compute)
print(peak_memory(torch.device("cpu")))
"""


def test_memory_limit_is_kept() -> None:
    """Training and testing a network without pooling, whose 4 MiB of activations per image pass 0.5 GiB unless held."""

    def peak(limit: str) -> float:
        command = [sys.executable, "-c", LIMITED, limit]
        return int(subprocess.run(command, capture_output=True, check=True).stdout) / 2**30

    assert peak("0.5") < 0.5 < peak("0")


# Sampling.


def test_sample_is_without_replacement_and_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(2000):
        picked = sample(10, 4, generator)
        assert len(set(picked.tolist())) == 4
        counts[picked] += 1
    # each is picked with probability 0.4: 800 ± 22 (one standard deviation)
    assert (counts - 800).abs().max() < 5 * 22
    assert sorted(sample(7, 7, generator).tolist()) == list(range(7))
    assert sample(10**12, 2, generator).max() < 10**12
