"""What is decided before the work: device, precision, compilation, micro-batches, memory."""

from typing import Any

import pytest
import torch

from proxyset.compute.footprint import Footprint
from proxyset.compute.plan import (
    BASE,
    CACHE,
    COMPILE_SECONDS,
    LIVE,
    Engine,
    Estimate,
    Work,
    resolve_device,
    resolve_devices,
    saving,
)
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.methods.coreset import Herding
from proxyset.methods.dsa import DSA

TINY = Work(Footprint(10**6, 10**5, 10**6), images=1e3, minibatches=10)

HUGE = Work(Footprint(10**8, 10**5, 10**6), images=1e8, minibatches=1e5)


def plan(work: Work | None, **choices: Any) -> Engine:
    return Session(device="cpu", **choices).plan(work)


# The choice.


def test_auto_compiles_what_is_worth_it_and_says_the_same_every_time() -> None:
    assert not plan(TINY).compiled
    assert plan(HUGE).compiled
    assert plan(HUGE) == plan(HUGE)
    assert saving(HUGE, torch.device("cpu"), "fp32") > COMPILE_SECONDS


@pytest.mark.parametrize("work", [TINY, HUGE])
def test_on_and_off_are_obeyed(work: Work) -> None:
    assert plan(work, compile="on").compiled
    assert not plan(work, compile="off").compiled


def test_bf16_is_asked_for_and_said_to_be_slow_without_hardware(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself nothing is less exact than the published work."""
    for native, said in ((True, 0), (False, 1)):
        monkeypatch.setattr("proxyset.compute.session.has_bf16", lambda device, native=native: native)
        assert plan(HUGE).precision == "fp32"
        assert plan(HUGE, precision="bf16").precision == "bf16"
        assert len(caplog.messages) == said


def test_work_that_is_never_compiled_stays_in_fp32() -> None:
    assert plan(None, compile="on", precision="bf16") == Engine()


def test_the_paper_s_run_is_compiled_and_the_demo_s_is_not(make_dataset: Any) -> None:
    """10 per class at width 128 takes days on two cores; the demo a minute. The number of threads has no say."""
    digits, session = load("digits"), Session(device="cpu")
    cifar = make_dataset(classes=10, counts=260, channels=3, size=32)
    assert session.plan(DSA().work(Problem(cifar.train, cifar.spec, 10), session)).compiled
    short = DSA(net="convnet-w32", iterations=10)
    assert not session.plan(short.work(Problem(digits.train, digits.spec, 1), session)).compiled


def test_a_coreset_s_training_obeys_the_choices_too(make_dataset: Any) -> None:
    data = make_dataset()
    session = Session(device="cpu", precision="bf16", compile="on", memory_limit=2)
    engine = session.plan(Herding(net="mlp").work(Problem(data.train, data.spec, 1), session))
    assert (engine.precision, engine.compiled, engine.memory_limit) == ("bf16", True, 2 * 2**30)
    assert Herding(features="pixels").work(Problem(data.train, data.spec, 1), session) is None


def test_microbatches_fit_the_cache_and_divide_evenly() -> None:
    cost = Footprint(1, CACHE // 32, CACHE // 16)
    assert Engine().microbatch(cost, 256) == 32
    assert Engine().microbatch(cost, 20) == 20
    assert Engine().microbatch(cost, 100) == 34  # three parts, two images of padding
    assert Engine(precision="bf16").microbatch(cost, 256) == 64  # half the bytes
    assert Engine().microbatch(Footprint(1, 1, 1), 5000) == 5000


def test_a_memory_limit_shrinks_them_to_what_fits_and_refuses_what_cannot() -> None:
    cost = Footprint(1, CACHE // 32, 2**20)
    room = 10 * LIVE * 2**20  # for ten images
    size = Engine(memory_limit=BASE + room).microbatch(cost, 256)
    assert 1 <= size <= 10
    for count in range(1, 300):
        assert Engine(memory_limit=BASE + 2 * room).microbatch(cost, count) <= 20
    with pytest.raises(InputError, match=r"`memory_limit=0\.1` is too small"):
        Engine(memory_limit=int(0.1 * 2**30)).microbatch(cost, 256)


def test_more_memory_than_the_limit_is_refused_before_the_work() -> None:
    Engine(memory_limit=2**30).check_memory(Estimate(memory=2**30))
    with pytest.raises(InputError, match=r"1\.50 GiB are needed, more than `memory_limit=1`"):
        Engine(memory_limit=2**30).check_memory(Estimate(memory=3 * 2**29))


def test_timed_steps_run_without_compilation_and_the_estimate_says_what_it_saves() -> None:
    engine = Engine(precision="bf16", compiled=True, memory_limit=2**30)
    assert engine.eager() == Engine(memory_limit=2**30)
    assert Engine(precision="bf16").eager() == Engine(precision="bf16")
    estimate = engine.estimate(1000.0)
    assert estimate.uncompiled == 1000.0
    assert COMPILE_SECONDS < estimate.seconds < 1000.0
    assert Engine().estimate(1000.0).seconds == 1000.0
    assert Engine().estimate(1000.0).uncompiled == 0.0


def test_facts_name_all_that_can_change_the_bits() -> None:
    facts = Engine().facts()
    for other in (
        Engine(torch.device("cuda")),
        Engine(precision="bf16"),
        Engine(compiled=True),
        Engine(memory_limit=2**30),
    ):
        assert other.facts() != facts
    assert facts == {"device_type": "cpu", "precision": "fp32", "compile": "off", "memory_limit": None}


def test_on_a_cpu_images_stay_where_they_are(make_dataset: Any) -> None:
    data: ImageSet = make_dataset().train
    assert Engine().place(data) is data


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cuda:99", "meta"):
        with pytest.raises(InputError, match=name):
            resolve_device(name)
    assert resolve_devices("cpu, cpu") == (torch.device("cpu"),) * 2
    with pytest.raises(InputError, match="cuda:99"):
        resolve_devices("cpu,cuda:99")
