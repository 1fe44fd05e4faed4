"""torch's optimisers and schedules as a recipe names them, with a state of named tensors."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from proxyset.checkpoint import State
from proxyset.train.recipe import Recipe

NUMBERS = "numbers"  # the state's one entry that is no tensor of the optimiser's: JSON, as bytes


class Optimiser:
    """The optimiser of a network and the schedule of its learning rate, one epoch at a time."""

    def __init__(self, net: nn.Module, recipe: Recipe) -> None:
        self.parameters = list(net.parameters())
        self.optimiser = _optimiser(self.parameters, recipe)
        self.schedule = _schedule(self.optimiser, recipe)

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One update with a gradient (or None) for each parameter of the network."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()

    def end_epoch(self) -> None:
        if self.schedule is not None:
            self.schedule.step()

    def state(self) -> State:
        """The optimiser's and the schedule's `state_dict` as named tensors."""
        saved = self.optimiser.state_dict()
        tensors = {
            f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
            for number, values in saved["state"].items()
            for name, value in values.items()
            if value is not None
        }
        schedule = {} if self.schedule is None else _numbers(self.schedule.state_dict())
        text = json.dumps({"groups": [_numbers(group) for group in saved["param_groups"]], "schedule": schedule})
        return tensors | {NUMBERS: torch.tensor(list(text.encode()), dtype=torch.uint8)}

    def set_state(self, state: State) -> None:
        """Go on from what `state` gave."""
        numbers = json.loads(bytes(state[NUMBERS].tolist()).decode())
        saved = self.optimiser.state_dict()
        values: dict[int, dict[str, Any]] = {}
        for key, tensor in state.items():
            if key != NUMBERS:
                number, name = key.split(".", 1)
                values.setdefault(int(number), {})[name] = tensor
        groups = [group | stored for group, stored in zip(saved["param_groups"], numbers["groups"], strict=True)]
        self.optimiser.load_state_dict({"state": values, "param_groups": groups})
        if self.schedule is not None:
            self.schedule.load_state_dict(numbers["schedule"])


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """What of a `state_dict` changes while training: numbers and lists of them. The rest is in the recipe."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    return {
        name: value
        for name, value in values.items()
        if is_number(value) or (isinstance(value, list) and name != "params" and all(map(is_number, value)))
    }


def _optimiser(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser]
    return kind(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)


def _schedule(optimiser: torch.optim.Optimizer, recipe: Recipe) -> LRScheduler | None:
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimiser, T_max=recipe.epochs)
    if recipe.schedule == "step" and recipe.drops():
        return MultiStepLR(optimiser, milestones=list(recipe.drops()), gamma=0.1)
    return None
