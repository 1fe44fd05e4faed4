"""The network that has just learned a task, in place of networks that a method would train on that task."""

import torch
from torch import Tensor, nn

from continual.head import GrowingHead
from continual.stream import Task
from proxyset.checkpoint import State
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.dm import DM
from proxyset.nets.build import full_name, outline


def learner_state(net: nn.Module, task: Task) -> State:
    """The learner's weights as those of a plain network that answers on the task's own classes, on the CPU."""
    head = net.classifier
    assert isinstance(head, GrowingHead)
    rows = list(task.classes)
    state = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items() if not name.startswith(HEAD)}
    return {name: tensor.clone() for name, tensor in state.items()} | {
        f"{HEAD}weight": _rows(head, "weight", rows),
        f"{HEAD}bias": _rows(head, "bias", rows),
    }


HEAD = "classifier."


def _rows(head: GrowingHead, name: str, rows: list[int]) -> Tensor:
    """The rows of the head's parts, one after another, that belong to some labels of the stream."""
    return torch.cat([getattr(part, name).detach().cpu() for part in head.parts])[rows]


def _shapes(net: str, size: int, *, condensing: bool) -> dict[str, tuple[int, ...]]:
    """Of the weights of a network, by name."""
    weights = outline(net, channels=3, size=size, classes=2, condensing=condensing).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def with_learner(method: Method, net: str, size: int) -> Method:
    """A method that uses the learner where it would train a network of its own.

    Raises:
        InputError: it trains none, or one of another structure.
    """
    if isinstance(method, DM) and not method.trains() and "networks" not in method.model_fields_set:
        method = method.model_copy(update={"networks": "between"})  # a single network would be matched alone
    uses = (isinstance(method, DM) and method.trains()) or method.targets == "teacher"
    if not uses:
        raise InputError(
            f"`condense_with=learner`: {method.name} trains no network that the learner could stand in for; dm does, "
            "and any method with targets=teacher"
        )
    names = {"teacher_net": method.teacher_name()} if method.targets == "teacher" else {}
    names |= {"net": str(getattr(method, "net", net))} if isinstance(method, DM) and method.trains() else {}
    if "net" in names and _shapes(net, size, condensing=True) != _shapes(net, size, condensing=False):
        raise InputError(
            f"`condense_with=learner`: {method.name} condenses with a variant of {net}, for which the learner cannot "
            "stand in: leave it out, or take another `net`"
        )
    for setting, name in names.items():
        if full_name(name, size) != net:
            raise InputError(
                f"`condense_with=learner`: `{setting}` is {full_name(name, size)}, the learner is {net}: leave it out"
            )
    return method
