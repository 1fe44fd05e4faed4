"""What a baseline shares with the set that it stands beside."""

from typing import Any, ClassVar

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.methods.base import Context, Method, Problem
from proxyset.report.kinds import Kind, kind_of, kinds_for
from proxyset.settings import KeepAs


class Untiled(Method):
    """A user's baseline, which knows nothing of formations."""

    name: ClassVar[str] = "untiled"
    picks_real: ClassVar[bool] = True

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        raise NotImplementedError


def proxy(ipc: int, formation: int = 1, keep_as: KeepAs = "float32", **settings: Any) -> ProxySet:
    spec = DatasetSpec("mine", 1, 8, ("a", "b"), (0.5,), (0.25,))
    labels = torch.arange(2).repeat_interleave(ipc)
    data = ImageSet(torch.zeros(2 * ipc, 1, 8, 8), labels, formation=formation)
    return ProxySet(data, spec, {"settings": settings}, keep_as)


TEACHER: dict[str, Any] = {"targets": "teacher", "teacher_net": "mlp", "teacher_epochs": 3}


def test_baselines_are_named_by_what_is_unusual() -> None:
    assert Kind(10).title("random") == "random ipc10"
    assert Kind(10, 2).title("random") == "random ipc10 f2"
    assert Kind(1, 3, "teacher", "uint8").title("herding") == "herding ipc1 f3 teacher uint8"


def test_sets_of_one_kind_have_one_baseline() -> None:
    sets = [
        proxy(10),
        proxy(1, 2),
        proxy(1, lr_img=3),
        proxy(1, targets="hard"),
        proxy(1, targets="learned"),  # real images have no targets that were learned with them
        proxy(1, **TEACHER),
        proxy(1, **TEACHER | {"teacher_epochs": 9}),
        proxy(1, keep_as="uint8"),
    ]
    titles = [kind.title("random") for kind in kinds_for("random", sets)]
    assert titles == ["random ipc1", "random ipc1 uint8", "random ipc1 teacher", "random ipc1 f2", "random ipc10"]


def test_the_method_has_what_the_set_has() -> None:
    made: Any = kind_of(proxy(1, 2, **TEACHER)).method("herding")
    assert (made.formation, made.targets, made.teacher_net, made.teacher_epochs) == (2, "teacher", "mlp", 3)
    assert kind_of(proxy(1)).method("herding") == Kind(1).method("herding")


def test_the_teacher_is_that_of_the_first_set() -> None:
    (kind,) = kinds_for("random", [proxy(1, **TEACHER), proxy(1, **TEACHER | {"teacher_epochs": 9})])
    assert dict(kind.teacher) == {"teacher_net": "mlp", "teacher_epochs": 3}


def test_a_method_without_formations_stands_in_as_many_stored_images() -> None:
    name = f"{__name__}:Untiled"
    kinds = kinds_for(name, [proxy(2), proxy(2, 2), proxy(2, 3)])
    assert [kind.title("untiled") for kind in kinds] == ["untiled ipc2"]
    assert kinds[0].method(name) == Untiled()


def test_settings_that_no_teacher_has_are_refused() -> None:
    with pytest.raises(InputError, match="`teacher_epochs`"):
        kind_of(proxy(1, **TEACHER | {"teacher_epochs": "many"})).method("random")
