"""The memory of a process: kept for the next step, measured, and held under a limit."""

import subprocess
import sys

import pytest
import torch

from proxyset.compute.memory import peak_memory

FAULTS = """
import resource, sys, torch
from proxyset.compute.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return [torch.ones(16 * 2**20) for _ in range(2)]  # 64 MiB each
for _ in range(10):  # until the heap has room for every step
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
from proxyset import DatasetSpec, Evaluation, ImageSet, Session, evaluate
from proxyset.compute.memory import peak_memory
torch.set_num_threads(1)
images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
data = ImageSet(images, torch.arange(64) // 32)
spec = DatasetSpec("random", 3, 32, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
session = Session(device="cpu", memory_limit=float(sys.argv[1]) or None)
evaluate(data, data, spec, Evaluation(nets=1, epochs=1), net="convnet-w128-d2-nopool", session=session)
print(peak_memory(torch.device("cpu")))
"""


def test_memory_limit_is_kept() -> None:
    """A network without pooling, whose 4 MiB of activations per image pass 0.47 GiB unless they are held."""

    def peak(limit: str) -> float:
        command = [sys.executable, "-c", LIMITED, limit]
        return int(subprocess.run(command, capture_output=True, check=True).stdout) / 2**30

    assert peak("0.47") < 0.47 < peak("0")


def test_peak_memory_is_in_bytes() -> None:
    assert 2**20 < peak_memory(torch.device("cpu")) < 2**40
