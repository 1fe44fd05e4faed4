"""What a process knows: what it compiled, measured and said, and what of that another session does not know."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._inductor.config as inductor

from proxyset.artefact.build import build
from proxyset.compute.footprint import Footprint
from proxyset.compute.plan import Engine, Work
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.methods.dsa import DSA
from proxyset.settings import Compute
from tests.proxyset.spy import spied

HUGE = Work(Footprint(10**8, 10**5, 10**6), images=1e8, minibatches=1e5)


def test_it_is_made_of_a_compute_or_of_its_fields() -> None:
    assert Session(Compute(device="cpu", memory_limit=2)).compute == Session(device="cpu", memory_limit=2).compute
    assert Session(device="cpu").device == torch.device("cpu")
    with pytest.raises(InputError, match="cuda:99"):
        Session(device="cuda:99")
    with pytest.raises(InputError, match="unknown setting 'devise'"):
        Session(devise="cpu")


def test_gradients_of_a_network_are_made_once_for_each_way_to_run() -> None:
    session = Session(device="cpu")
    shape: Any = {"channels": 1, "size": 8, "classes": 3}
    first = session.gradients(Engine(), "mlp", shape)
    assert session.gradients(Engine(), "mlp", shape) is first
    assert session.gradients(Engine(precision="bf16"), "mlp", shape) is not first
    assert session.gradients(Engine(), "mlp", shape | {"classes": 2}) is not first
    assert session.gradients(Engine(), "mlp", shape, condensing=True) is not first
    assert Session(device="cpu").gradients(Engine(), "mlp", shape) is not first


def test_a_line_is_said_once_in_a_session(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(device="cpu")
    for _ in range(2):
        session.say_once("take care")
    assert caplog.messages == ["take care"]
    Session(device="cpu").say_once("take care")
    assert caplog.messages == ["take care"] * 2


def test_what_cannot_be_compiled_is_planned_eagerly(make_dataset: Any, caplog: pytest.LogCaptureFixture) -> None:
    """BatchNorm, or a machine without a compiler: said once, where compiling was asked for or would pay."""
    data = make_dataset(channels=3, size=32)
    problem = Problem(data.train, data.spec, 10)
    asked, left = Session(device="cpu", compile="on"), Session(device="cpu")
    batch_norm = DSA(net="convnet-batch").work(problem, left)
    assert left.plan(batch_norm) == Engine()
    assert not caplog.messages
    assert asked.plan(batch_norm) == asked.plan(batch_norm) == Engine()
    assert len(caplog.messages) == 1
    assert "BatchNorm" in caplog.messages[0]
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler")}):
        assert left.plan(HUGE) == left.plan(HUGE) == Engine()
    assert len(caplog.messages) == 2
    assert "No working C++ compiler" in caplog.messages[1]


class Compiler:
    """In place of torch's: gives back the function as it is, or one that fails."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return self._fail if self.broken else function

    def _fail(self, *arguments: Any) -> Any:
        raise RuntimeError("no such instruction")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = Compiler()
    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setattr(Session, "_has_compiler", lambda session: True)
    return compiler


def compiled(data: Dataset, net: str, session: Session) -> str:
    """What the provenance of a set says about compilation."""
    proxy = build(data, DSA(net=net, iterations=1), 1, session=session)
    assert proxy.data.images.isfinite().all()
    return proxy.provenance["compile"]


def test_a_network_that_cannot_be_compiled_says_nothing_of_others(tiny: Dataset, compiler: Compiler) -> None:
    session = Session(device="cpu", compile="on")
    compiler.broken = True
    assert compiled(tiny, "convnet-w4-d1", session) == "failed"
    compiler.broken = False
    assert compiled(tiny, "convnet-w8-d1", session) == "on"
    assert compiled(tiny, "convnet-w4-d1", session) == "failed"  # it is not tried again


def test_another_session_starts_clean(tiny: Dataset, compiler: Compiler) -> None:
    compiler.broken = True
    assert compiled(tiny, "convnet-w4-d1", Session(device="cpu", compile="on")) == "failed"
    compiler.broken = False
    assert compiled(tiny, "convnet-w4-d1", Session(device="cpu", compile="on")) == "on"


def test_a_network_is_measured_once(monkeypatch: pytest.MonkeyPatch, tiny: Dataset) -> None:
    from proxyset.compute import session as module
    from proxyset.nets.build import outline

    measured: list[int] = []
    measure = module.measure_footprint
    monkeypatch.setattr(module, "measure_footprint", spied(measure, measured, lambda *a: 1))
    session, net = Session(device="cpu"), outline("mlp", **tiny.spec.shape)
    assert session.footprint(net, 1, 8) == session.footprint(net, 1, 8)
    session.gradients(Engine(), "mlp", tiny.spec.shape)
    assert len(measured) == 1
