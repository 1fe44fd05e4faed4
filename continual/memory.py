"""What is remembered of earlier tasks: a budget of stored images, or of bytes.

Those of a formation hold f×f tiles. They are kept as they are stored, and rehearsed as f² images of full size each.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from continual.kept import bytes_of, packed, target_width, unpacked
from continual.providers import Provider
from continual.quota import Quota
from continual.settings import Budget
from continual.stream import Stream, Task
from proxyset.checkpoint import State
from proxyset.data.images import ImageSet, join
from proxyset.data.spec import normalise
from proxyset.errors import InputError

NO_TARGETS = "where the network's answers are kept, soft targets are not learned: give the memory targets=hard"


class Memory:
    """The images kept of each task so far, within the budget.

    Attributes:
        provider: where they come from; None: nothing is remembered.
        kept: per task seen, with the task's own labels and, where the provider gives them, soft targets.
        answers: where they are kept (DER), the logits that the network gave for each of their tiles, N·f²×the classes
            seen then.
        seconds: spent on making them.
    """

    def __init__(
        self, stream: Stream, budget: Budget, provider: Provider | None, *, keeps_answers: bool = False
    ) -> None:
        self.stream, self.budget, self.provider = stream, budget, provider
        self.keeps_answers = keeps_answers
        self.kept: list[ImageSet] = []
        self.answers: list[torch.Tensor] = []
        self.seconds = 0.0

    def quota(self, stage: int) -> int:
        """Images per class and task after `stage`; in all, where the memory is not balanced."""
        return Quota(self.stream, self.budget, self.provider, self.bytes_each).after(stage)

    def bytes_each(self, task: Task) -> int:
        """Bytes of one stored image of a task, with its targets and what else is kept of it."""
        assert self.provider is not None
        return self.provider.bytes_each(task) + self._answer_bytes(task)

    def _answer_bytes(self, task: Task) -> int:
        """Bytes of the network's answers for a stored image, where those are kept."""
        if not self.keeps_answers or self.provider is None:
            return 0
        seen = self.stream.seen(self.stream.stage_of(task))
        return self.provider.formation(task) ** 2 * seen * target_width(self.budget.keep_as)

    def size(self, stage: int) -> int:
        """Images stored after `stage` (before the first: 0)."""
        if self.provider is None or stage < 0:
            return 0
        if not self.provider.bounded:
            return sum(len(task.data.train) for task in self.stream.tasks[: stage + 1])
        return self.quota(stage) * (self.stream.slots(stage) if self.provider.balanced else 1)

    def trained_on(self, stage: int) -> int:
        """Images that a network rehearses after `stage`: every tile is one."""
        return self.size(stage) * self.formation**2

    @property
    def formation(self) -> int:
        """f: each stored image holds f×f tiles, in every task."""
        return self.provider.formation(self.stream.tasks[0]) if self.provider else 1

    def check(self) -> None:
        """Raise `InputError` for what would fail later, before any time is spent."""
        if self.provider is None:
            return
        if self.budget.shrink == "recondense":
            self._check_recondense(self.provider)
        if self.keeps_answers and any(map(self.provider.has_targets, self.stream.tasks)):
            raise InputError(NO_TARGETS)
        last = len(self.stream.tasks) - 1
        if self.provider.bounded and self.quota(last) < 1:
            raise InputError(self._too_small(last))
        for stage, task in enumerate(self.stream.tasks):
            quota = self.quota(stage)
            try:
                self.provider.check(task, quota)
            except InputError as error:
                (name, value), *_ = self.budget.amount().items()
                if name == "ipc" and quota == value:
                    raise
                share = f"`{name}={value}` ({quota} per class after task {stage + 1})"
                raise InputError(str(error).replace(f"`ipc={quota}`", share)) from None

    def _check_recondense(self, provider: Provider) -> None:
        if self.keeps_answers:
            raise InputError("images that are condensed again lose the answers that are kept for them: `shrink=head`")
        if provider.bounded and not provider.recondenses:
            raise InputError(f"`shrink=recondense` needs a method; {provider.name} is none: leave it out")

    def add(self, stage: int, net: nn.Module | None = None) -> None:
        """Remember the task of `stage`; earlier tasks give up what the budget needs.

        Args:
            net: the network, where it has just learned the task from its full data.
        """
        if self.provider is None:
            return
        task, quota = self.stream.tasks[stage], self.quota(stage)
        images, seconds = self.provider.supply(task, quota, net)
        if self.keeps_answers and images.targets is not None:  # of a method that has no setting that says so
            raise InputError(NO_TARGETS)
        self.seconds += seconds
        if self.provider.bounded and self.budget.shrink == "recondense":
            self._recondense(quota, net)
        self.kept.append(images)
        if self.provider.bounded:
            self._keep(self.provider.keep(self.stream, self.kept, quota))
            self._check_bytes(stage)

    def _recondense(self, quota: int, net: nn.Module | None) -> None:
        """Make smaller memories from those that are kept, where a class has to give up some."""
        assert self.provider is not None
        for place, (task, data) in enumerate(zip(self.stream.tasks, self.kept, strict=False)):
            if len(data) > quota * len(task.classes):
                self.kept[place], seconds = self.provider.recondense(task, data, quota, net)
                self.seconds += seconds

    def _keep(self, rows: list[torch.Tensor]) -> None:
        """Keep these of the images of each task, and what the network answered for them."""
        for place, index in enumerate(rows):
            tiles = self.kept[place].formation ** 2
            self.kept[place] = self.kept[place][index]
            if place < len(self.answers):
                self.answers[place] = self.answers[place].unflatten(0, (-1, tiles))[index].flatten(0, 1)

    def _check_bytes(self, stage: int) -> None:
        """Raise `InputError` where a method gave targets that it had not announced, which exceed the bytes."""
        allowed = Quota(self.stream, self.budget, self.provider, self.bytes_each).allowed(stage)
        taken = self.report()["bytes"]
        if allowed is not None and taken > allowed:
            assert self.provider is not None
            raise InputError(
                f"the memory of {self.provider.name} takes {taken} bytes where {allowed} are allowed: its soft targets "
                "are not counted in advance, because it has no setting `targets` that says so"
            )

    def keep_answers(self, logits: torch.Tensor) -> None:
        """Keep what the network answers now for the images of the newest task: its tiles × the classes seen so far."""
        self.answers.append(logits if self.budget.keep_as == "float32" else logits.half())

    def rehearsed_answers(self, classes: int) -> torch.Tensor:
        """The logits that are kept for `rehearsal`, N×classes; NaN for classes that were not known then."""
        rows = [F.pad(part.float(), (0, classes - part.shape[1]), value=float("nan")) for part in self.answers]
        return torch.cat(rows)

    def _too_small(self, last: int) -> str:
        """Why not even one image of every class fits."""
        (name, value), *_ = self.budget.amount().items()
        slots = self.stream.slots(last)
        if self.budget.budget_bytes is None and self.budget.equal == "images":
            return f"`{name}={value}` is smaller than the {slots} classes to remember (counted once per task)"
        each = max(self.bytes_each(task) for task in self.stream.tasks)
        return (
            f"`{name}={value}` has no room for one stored image of each of the {slots} classes to remember (counted "
            f"once per task): one takes {each} bytes here; `keep_as` makes it smaller"
        )

    def estimate(self, finished: int = 0) -> float:
        """Seconds that making it takes after `finished` tasks, judged by the first that is still to be condensed."""
        if self.provider is None:
            return 0.0
        for stage, task in list(enumerate(self.stream.tasks))[finished:]:
            seconds = self.provider.estimate(task, self.quota(stage))
            if seconds > 0:
                return seconds * (len(self.stream.tasks) - stage)
        return 0.0

    def to_build(self, finished: int = 0) -> list[str]:
        """What has to be built first after `finished` tasks, in words: a line for every set that is missing."""
        lines: list[str] = []
        if self.provider is None:
            return lines
        for stage, task in list(enumerate(self.stream.tasks))[finished:]:
            quota = self.quota(stage)
            if (path := self.provider.missing(task, quota)) is not None:
                lines.append(f"{self.provider.name}, {quota} images per class of {task.name}, as {path}")
        return lines

    def rehearsal(self, classes: int, since: int = 0, until: int | None = None) -> ImageSet:
        """What is kept of the tasks since..until − 1, normalised task by task, with the labels of the stream.

        Args:
            classes: of the stream seen so far: the columns of the targets, where any of the images have some.
        """
        pairs = zip(self.stream.tasks[since:until], self.kept[since:until], strict=False)  # later tasks have none yet
        return join([rehearsed(task, data, classes) for task, data in pairs], classes)

    def settings(self) -> dict[str, Any]:
        """The settings that it is made with."""
        return self.provider.settings(self.stream.tasks[0], self.quota(0)) if self.provider else {}

    def report(self) -> dict[str, Any]:
        """Stored images, images that are trained on, bytes, seconds spent on making them.

        A pixel takes a byte; a learned value, a target, or an answer that is kept, as many as `keep_as` says.
        """
        return {
            "images": sum(len(data) for data in self.kept),
            "training_images": sum(data.trained_on for data in self.kept),
            "bytes": sum(self.bytes_of(place) for place in range(len(self.kept))),
            "soft_targets": any(data.targets is not None for data in self.kept),
            "seconds": round(self.seconds, 3),
        }

    def bytes_of(self, place: int) -> int:
        """Bytes that are kept of one task."""
        if self.provider is None:
            return 0
        task, data = self.stream.tasks[place], self.kept[place]
        taken = bytes_of(data, self.provider.keep_as(task))
        return taken + (len(data) * self._answer_bytes(task) if place < len(self.answers) else 0)

    def state(self) -> State:
        """Everything that later stages depend on; images that the stream has anyway are left out."""
        seconds = {"memory.seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        if self.provider is None or not self.provider.bounded:
            return seconds
        kept = {
            f"kept.{place}.{part}": tensor
            for place, data in enumerate(self.kept)
            for part, tensor in packed(data, self.provider.keep_as(self.stream.tasks[place])).items()
        }
        return kept | {f"answers.{place}": part for place, part in enumerate(self.answers)} | seconds

    def set_state(self, saved: State, stages: int) -> None:
        """Go on after `stages` finished stages.

        Raises:
            KeyError, ValueError, RuntimeError: it is not the state of such a memory.
        """
        self.seconds = float(saved["memory.seconds"].item())
        if self.seconds < 0:
            raise ValueError("negative seconds")
        if self.provider is None:
            self.kept = []
        elif not self.provider.bounded:
            self.kept = [task.data.train for task in self.stream.tasks[:stages]]
        else:
            self.kept = [self._restored(saved, place, self.quota(stages - 1)) for place in range(stages)]
        if self.keeps_answers:
            self.answers = [self._restored_answers(saved, place) for place in range(stages)]

    def _restored(self, saved: State, place: int, quota: int) -> ImageSet:
        """The images of one task: where the memory is balanced, so many of each class, in the order of the classes."""
        prefix = f"kept.{place}."
        data = unpacked({name.removeprefix(prefix): part for name, part in saved.items() if name.startswith(prefix)})
        task = self.stream.tasks[place]
        spec, provider = task.data.spec, self.provider
        assert provider is not None
        balanced = torch.arange(spec.classes).repeat_interleave(quota)
        if provider.balanced and not torch.equal(data.labels, balanced):
            raise ValueError(f"memory {place + 1} has other labels")
        if len(data) and not 0 <= int(data.labels.min()) <= int(data.labels.max()) < spec.classes:
            raise ValueError(f"memory {place + 1} has labels that are no classes")
        if data.images.shape[1:] != (spec.channels, spec.size, spec.size):
            raise ValueError(f"memory {place + 1} has images of the shape {tuple(data.images.shape)}")
        if data.formation != provider.formation(task):
            raise ValueError(f"memory {place + 1} has the formation {data.formation}")
        return data

    def _restored_answers(self, saved: State, place: int) -> torch.Tensor:
        """The network's answers for the images of one task."""
        answers = saved[f"answers.{place}"]
        if answers.shape != (self.kept[place].trained_on, self.stream.seen(place)) or not answers.is_floating_point():
            raise ValueError(f"memory {place + 1} has answers of the shape {tuple(answers.shape)}")
        return answers


def rehearsed(task: Task, data: ImageSet, classes: int) -> ImageSet:
    """Images of a task as they are trained on: tiles at full size, normalised by the task's own mean and std, labelled
    in the stream.
    """
    labelled = task.labelled(data.unfold(), classes)
    return ImageSet(normalise(labelled.images, task.data.spec), labelled.labels, labelled.targets)
