"""Gradient magnitudes while condensing: against plain gradients of the same network, and what is refused."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from proxyset.artefact.build import build
from proxyset.artefact.outputs import is_picture
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Context, Problem
from proxyset.methods.coreset import Random
from proxyset.methods.dsa import DC
from proxyset.report.gradient_norms import gradient_norms, is_norms, save_norms, write_norms
from proxyset.seeds import make_generator

SETTINGS: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 1, "batch_real": 100}


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", compile="off")


def made(data: Dataset, session: Session, **more: Any) -> ProxySet:
    return build(data, DC(**SETTINGS, **more), 2, session=session, progress=False)


def test_norms_are_those_of_plain_gradients(tiny: Dataset, session: Session) -> None:
    """All real images are in a minibatch here, so that only the network is drawn."""
    proxy = made(tiny, session, inner_steps=1)
    norms = gradient_norms(proxy, tiny, session)
    method = DC(**SETTINGS, inner_steps=1)
    context = Context(make_generator(0, "gradient norms"), session, session.plan())
    run = method.start(Problem(tiny.train, tiny.spec, 2, replace(proxy.data)), context)
    run.new_network()
    named = {name: p for name, p in run.net.named_parameters() if p.ndim > 1}
    assert [each.label for each in norms] == list(range(tiny.spec.classes))
    for each in norms:
        mine = tiny.train.labels == each.label
        for images, kind in (
            (normalise(tiny.train.images[mine], tiny.spec), each.real),
            (proxy.data.images[proxy.data.labels == each.label], each.synthetic),
        ):
            loss = F.cross_entropy(run.net(images), torch.full((len(images),), each.label))
            plain = torch.autograd.grad(loss, list(named.values()))
            expected = {name: g.norm().item() for name, g in zip(named, plain, strict=True)}
            assert kind == pytest.approx(expected, rel=1e-4)


@pytest.mark.draws
def test_every_inner_step_and_class_is_there_and_drawn(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    proxy = made(tiny, session, inner_steps=3, net_epochs=1)
    norms = {name: gradient_norms(proxy, tiny, session, seed=seed) for seed, name in enumerate(("one", "two"))}
    assert [(each.inner_step, each.label) for each in norms["one"]] == [
        (step, label) for step in range(3) for label in range(tiny.spec.classes)
    ]
    assert norms["one"] != norms["two"]
    table = write_norms(norms, tiny, tmp_path / "norms.csv")
    assert is_norms(table)
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 2 * 3 * tiny.spec.classes * len(norms["one"][0].real)
    assert is_picture(save_norms(norms, "title", tmp_path / "norms.png"))


def test_sets_of_other_methods_are_refused(tiny: Dataset, session: Session) -> None:
    proxy = build(tiny, Random(), 1, session=session, progress=False)
    with pytest.raises(InputError, match="made by random"):
        gradient_norms(proxy, tiny, session)
