"""Classes shared out to two processes: the bits of one, and what happens where one of them dies."""

import os
import signal

import pytest
import torch

from proxyset.artefact.build import build
from proxyset.compute.crew import Crew
from proxyset.compute.session import Session
from proxyset.errors import RunError
from proxyset.methods.dsa import DSA
from tests.conftest import make_dataset


def test_two_processes_give_the_bits_of_one() -> None:
    """With BatchNorm, whose statistics travel with the weights, and an odd number of classes."""
    data = make_dataset(classes=3)
    method = DSA(net="convnet-w4-d1-batch", iterations=2, inner_steps=2, net_epochs=1, batch_real=4)
    one, two = (
        build(data, method, 2, session=Session(device=device, compile="off"), progress=False)
        for device in ("cpu", "cpu,cpu")
    )
    assert one.data.sha256() == two.data.sha256()


def pid_or_death(device: torch.device) -> "Job":
    return Job()


class Job:
    """Says in which process it is, or ends it."""

    def __call__(self, die: bool) -> int:
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()


def test_a_process_that_dies_is_an_error_in_words() -> None:
    crew: Crew[bool, int] = Crew([torch.device("cpu")] * 2, pid_or_death)
    first = crew.run([False, False])
    assert len({*first, os.getpid()}) == 3
    assert crew.run([False, False]) == first
    with pytest.raises(RunError, match="died"):
        crew.run([True, False])
    crew.close()
