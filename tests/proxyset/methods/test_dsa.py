"""DC and DSA: the published values and schedule, what there is to compute, what is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.augment import Operation, operations
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.dsa import DC, DSA
from proxyset.methods.gradient_matching import GradientMatching
from proxyset.train.recipe import ALL
from tests.proxyset.methods.made import SMALL, condense, make_problem, make_run


def test_defaults_are_the_published_values() -> None:
    dsa, dc = DSA(), DC()
    assert (dsa.init, dc.init) == ("real", "noise")
    assert (dsa.augment, dc.augment) == (ALL, "none")
    assert (dsa.augment_real, dsa.augment_synthetic, dsa.augment_net) == ("siamese", "siamese", True)
    for method in (dsa, dc):
        assert (method.iterations, method.batch_real, method.batch_net) == (1000, 256, 256)
        assert (method.image_lr(), method.momentum_img, method.lr_net) == (0.1, 0.5, 0.01)
        assert (method.distance, method.net) == ("layerwise", "convnet")
    assert DSA(net="mlp").image_lr() == 0.01
    assert DSA(net="mlp", lr_img=0.3).image_lr() == 0.3


@pytest.mark.parametrize(
    ("ipc", "expected"),
    [(1, (1, 1)), (10, (10, 50)), (20, (20, 25)), (30, (30, 20)), (40, (40, 15)), (50, (50, 10)), (100, (100, 2))],
)
def test_schedule_is_the_authors_for_their_ipc(ipc: int, expected: tuple[int, int]) -> None:
    assert DSA().schedule(ipc) == expected


def test_schedule_follows_its_rule_for_any_other_ipc() -> None:
    for ipc in set(range(2, 300)) - {10, 20, 30, 40, 50, 100}:
        steps, epochs = DSA().schedule(ipc)
        assert steps == min(ipc, 100)
        assert 400 <= steps * epochs <= 550  # about 500, as in the authors' choices
    assert DSA(inner_steps=4, net_epochs=0).schedule(10) == (4, 0)


def test_flip_is_left_out_where_it_changes_the_label(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(flip=False)
    assert "flip" not in make_run(DSA(**SMALL), data, 1).operations
    assert DSA().resolved(make_problem(data, 1))["augment"] == "color_crop_cutout_scale_rotate"
    with pytest.raises(InputError, match="flip"):
        DSA(augment="flip").check(make_problem(data, 1))


def test_noise_needs_no_more_real_images_than_there_are(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(counts=(3, 5, 4))
    assert len(condense(DC(**SMALL), data, ipc=4)) == 12
    with pytest.raises(InputError, match="'class0' has 3 images"):
        condense(DC(**SMALL, init="real"), data, ipc=4)


def test_steps_are_counted_in_iterations(tiny: Dataset) -> None:
    method = DSA(**SMALL | {"inner_steps": 3})
    assert method.steps_per_iteration(make_problem(tiny)) == 3
    assert method.total_steps(make_problem(tiny)) == 6
    assert DC(iterations=4).steps_per_iteration(make_problem(tiny, 1)) == 1


def test_what_was_left_to_the_method_is_in_the_resolved_settings(tiny: Dataset) -> None:
    resolved = DSA(net="convnet-w4").resolved(make_problem(tiny, 10))
    assert (resolved["inner_steps"], resolved["net_epochs"], resolved["lr_img"]) == (10, 50, 0.1)
    assert resolved["net"] == "convnet-w4-d2-relu-instance-avg"
    assert resolved["augment"] == ALL


def test_work_counts_the_passes_of_algorithm_1(make_dataset: Callable[..., Dataset]) -> None:
    data, session = make_dataset(classes=3), Session(device="cpu")
    method = DSA(net="convnet-w4-d1", iterations=5, inner_steps=2, net_epochs=7, batch_real=8)
    # 5·2 updates of 3 classes: 8 real images, 2 synthetic ones three times; 5·1 trainings of 7 epochs on 6 images
    assert method.work(make_problem(data), session).images == 5 * 2 * 3 * (8 + 3 * 2) + 5 * 7 * 6
    small = make_dataset(classes=3, counts=(5, 12, 12))  # a class of 5 gives no more
    assert method.work(make_problem(small), session).images == 5 * 2 * (5 + 8 + 8 + 3 * 3 * 2) + 5 * 7 * 6


def test_estimate_leaves_no_trace(tiny: Dataset) -> None:
    method = DSA(**SMALL)
    before = tiny.train.sha256()
    estimate = method.estimate(make_problem(tiny), Session(device="cpu"), Engine())
    assert estimate.seconds > 0
    assert estimate.memory > 2**20
    assert tiny.train.sha256() == before


def test_a_longer_schedule_is_estimated_longer(tiny: Dataset) -> None:
    session, problem = Session(device="cpu"), make_problem(tiny)
    short, long = (DC(**SMALL | {"iterations": each}).estimate(problem, session, Engine()) for each in (1, 1000))
    assert long.seconds > 50 * short.seconds


def test_the_estimate_is_of_a_class_of_usual_size(
    make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, drawn = make_dataset(counts=(1, 8, 6)), []
    draw = GradientMatching.draw_class

    def noted(run: GradientMatching, label: int) -> object:
        drawn.append(label)
        return draw(run, label)

    monkeypatch.setattr(GradientMatching, "draw_class", noted)
    DSA(**SMALL).estimate(make_problem(data, 1), Session(device="cpu"), Engine())
    assert set(drawn) == {2}


def darker(images: Tensor, r: Tensor) -> Tensor:
    return images * (1 - r.view(-1, 1, 1, 1) / 2)


DARKER = Operation(darker, 1)


def test_an_augmentation_of_one_s_own_is_used_and_recorded(tiny: Dataset) -> None:
    name = f"{__name__}:DARKER"
    mine, plain = DSA(**SMALL, augment=f"crop+{name}"), DSA(**SMALL, augment="crop")
    recorded = mine.resolved(make_problem(tiny))["augment"]
    assert operations(recorded, flip=True) == ("crop", name)
    images = condense(mine, tiny).images
    assert images.isfinite().all()
    assert not torch.equal(images, condense(plain, tiny).images)
    assert torch.equal(images, condense(DSA(**SMALL, augment=recorded), tiny).images)
