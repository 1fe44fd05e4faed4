"""Where trials run. There is no GPU here: `torch.cuda` is a fake that says how many there are."""

import pickle

import pytest
import torch

from proxyset.compute.parallel import Pool, cores
from proxyset.compute.session import Session
from proxyset.errors import InputError
from search.placement import TRIALS_PER_GPU, Placement, default_workers, place, place_by_flags
from search.settings import Execution


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A machine of 16 cores with that many GPUs."""
    count = int(getattr(request, "param", 1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr("search.placement.cores", lambda: 16)
    return count


def placed(device: str = "auto", **execution: object) -> Placement:
    return place_by_flags(Execution(**execution), Session(device=device))


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_is_used_without_being_told_its_share(device: str) -> None:
    placement = placed(device)
    assert (placement.compute.device, placement.here) == ("cuda", False)
    assert (placement.pool.workers, placement.pool.gpus) == (TRIALS_PER_GPU, 1 / TRIALS_PER_GPU)


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.parametrize(("workers", "share"), [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5), (6, 0.3333)])
def test_all_workers_share_the_gpus_that_are_there(gpus: int, workers: int, share: float) -> None:
    placement = placed("cuda", workers=workers)
    assert placement.pool.gpus == share
    assert gpus * int(1 / placement.pool.gpus) >= workers  # all of them find room at once


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_a_share_that_is_given_stays_and_limits_the_workers(gpus: int) -> None:
    placement = placed("cuda", gpus_per_trial=0.5)
    assert (placement.pool.gpus, placement.pool.workers) == (0.5, 4)
    assert placed("cuda").pool.workers == gpus * TRIALS_PER_GPU


@pytest.mark.usefixtures("gpus")
def test_no_gpu_where_none_is_wanted() -> None:
    for placement in (placed("cpu"), placed("auto", gpus_per_trial=0)):
        assert (placement.compute.device, placement.pool.gpus, placement.pool.workers) == ("cpu", 0, 16)
    with pytest.raises(InputError, match="gpus_per_trial=0"):
        placed("cuda", gpus_per_trial=0)
    with pytest.raises(InputError, match="gpus_per_trial=0"):
        placed("cpu", gpus_per_trial=0.5)


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_one_gpu_of_several_cannot_be_named_for_workers(gpus: int) -> None:
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES=1"):
        placed("cuda:1")
    assert placed("cuda:1", workers=0).session.device == torch.device("cuda:1")


def test_without_a_gpu_trials_run_on_the_cores() -> None:
    placement = placed("cpu", cpus_per_trial=2)
    assert (placement.pool.workers, placement.pool.gpus) == (max(1, cores() // 2), 0)
    assert (placement.compute.device, placement.threads) == ("cpu", 2)
    assert default_workers(torch.device("cpu"), cores() + 1, 0) == 1


def test_apples_gpu_goes_to_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("search.placement.cores", lambda: 16)
    placement = placed("auto")
    assert (placement.compute.device, placement.pool.gpus, placement.pool.workers) == ("mps", 0, TRIALS_PER_GPU)


def test_one_by_one_needs_no_pool() -> None:
    session = Session(device="cpu")
    for placement in (placed("cpu", workers=0), place(None, session), place(Pool(workers=1), session)):
        assert (placement.here, placement.at_once, placement.threads) == (True, 1, torch.get_num_threads())
    assert place(None, session).trial_session() is session
    assert not placed("cpu", workers=1).here  # a worker of its own, so that a trial may die


def test_a_cluster_has_as_many_workers_as_it_has_room_for() -> None:
    placement = placed("cpu", address="auto", max_concurrent=3)
    assert (placement.pool.workers, placement.pool.address, placement.max_concurrent) == (None, "auto", 3)
    roomy = placement.pool_for(100)
    assert (roomy.workers, roomy.object_store - placement.pool.object_store) == (3, 200)
    with pytest.raises(InputError, match="max_concurrent"):
        placed("cpu", address="auto", workers=2)


@pytest.mark.usefixtures("gpus")
def test_from_python_a_pool_gets_the_gpu_of_the_session() -> None:
    placement = place(Pool(workers=2), Session())
    assert (placement.compute.device, placement.pool.gpus) == ("cuda", 0.5)
    assert place(Pool(workers=2), Session(device="cpu")).pool.gpus == 0


def test_what_the_workers_are_told_can_travel() -> None:
    compute = placed("cpu").compute
    assert pickle.loads(pickle.dumps(compute)) == compute
