"""Kernel ridge regression's settings: the published values, what there is to compute, what is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.krr import KRR
from tests.proxyset.methods.made import make_problem


def test_defaults_are_the_published_values() -> None:
    krr = KRR()
    assert (krr.init, krr.targets, krr.batch_real, krr.ridge) == ("real", "learned", 1024, 1e-6)
    assert (krr.pool, krr.pool_steps, krr.lr_net) == (10, 100, 3e-4)
    assert KRR(iterations=500_000).image_lr() == 3e-4


def test_fewer_iterations_take_longer_steps() -> None:
    assert KRR(iterations=5000).image_lr() == pytest.approx(3e-3)
    assert KRR(iterations=1).image_lr() == 0.03  # and no longer ones
    assert KRR(iterations=5000, lr_img=0.1).image_lr() == 0.1


def test_what_was_left_to_the_method_is_in_the_resolved_settings(make_dataset: Callable[..., Dataset]) -> None:
    method = KRR(net="convnet-w4", augment="crop_flip", iterations=5000)
    flips, still = (method.resolved(make_problem(make_dataset(flip=flip))) for flip in (True, False))
    assert flips["lr_img"] == pytest.approx(3e-3)
    assert flips["net"] == "convnet-w4-d2-relu-instance-avg"
    assert (flips["augment"], still["augment"]) == ("crop_flip", "crop")


@pytest.mark.parametrize(("targets", "recorded"), [("hard", False), ("learned", True), ("teacher", True)])
def test_targets_are_recorded_where_they_are_soft(targets: str, recorded: bool, tiny: Dataset) -> None:
    resolved = KRR(targets=targets).resolved(make_problem(tiny))
    assert ("targets" in resolved) == recorded
    assert ("teacher_net" in resolved) == (targets == "teacher")


def test_one_step_is_one_iteration(tiny: Dataset) -> None:
    problem = make_problem(tiny)
    assert (KRR(iterations=7).total_steps(problem), KRR(iterations=7).steps_per_iteration(problem)) == (7, 1)


def test_work_counts_the_passes_through_the_features(make_dataset: Callable[..., Dataset]) -> None:
    session, method = Session(device="cpu"), KRR(net="convnet-w4-d1", iterations=5, batch_real=20, formation=2)
    # 20 real images pass forward, 3 classes of 2·2² synthetic ones three times; a network trains on these
    work = method.work(make_problem(make_dataset(counts=12)), session)
    assert work.images == pytest.approx(5 * ((20 + 3 * 24) / 3 + 24))
    few = method.work(make_problem(make_dataset(counts=(8, 8, 2)), ipc=2), session)  # 18 images in all
    assert few.images == pytest.approx(5 * ((18 + 3 * 24) / 3 + 24))


def test_estimate_grows_with_the_iterations_and_leaves_no_trace(tiny: Dataset) -> None:
    session, problem, before = Session(device="cpu"), make_problem(tiny), tiny.train.sha256()
    short, long = (KRR(net="convnet-w4-d1", iterations=each).estimate(problem, session, Engine()) for each in (1, 1000))
    assert long.seconds > 50 * short.seconds > 0
    assert tiny.train.sha256() == before


class Featureless(nn.Module):
    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * size**2, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def test_what_cannot_work_is_refused_in_one_line(tiny: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    with pytest.raises(InputError, match="gives no features: it needs a method `embed`") as raised:
        KRR(net=f"{__name__}:Featureless").check(make_problem(tiny))
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="has one class"):
        KRR().check(make_problem(make_dataset(classes=1)))
    with pytest.raises(InputError, match="flip"):
        KRR(augment="flip").check(make_problem(make_dataset(flip=False)))
    for field in ("ridge", "lr_img", "pool", "pool_steps"):
        with pytest.raises(InputError, match=f"`{field}`"):
            KRR(**{field: 0})


def test_estimate_leaves_the_global_generator_alone(tiny: Dataset) -> None:
    before = torch.get_rng_state()
    KRR(net="convnet-w4-d1", iterations=1).estimate(make_problem(tiny), Session(device="cpu"), Engine())
    assert torch.equal(before, torch.get_rng_state())
