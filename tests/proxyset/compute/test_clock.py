"""Time on a device."""

import time

import torch

from proxyset.compute.clock import synchronise, timed

CPU = torch.device("cpu")


def test_the_second_call_is_timed_because_the_first_warms_up() -> None:
    pauses = iter((0.2, 0.01))
    assert 0.01 <= timed(lambda: time.sleep(next(pauses)), CPU) < 0.2


def test_a_cpu_needs_no_waiting() -> None:
    synchronise(CPU)
