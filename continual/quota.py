"""How much a memory may hold after each task: of every class, or of all classes together."""

from collections.abc import Callable
from dataclasses import dataclass

from continual.providers import Provider
from continual.settings import Budget
from continual.stream import Stream, Task


@dataclass(frozen=True)
class Quota:
    """What a budget makes for a stream.

    Attributes:
        provider: where the memory comes from; None: nothing is remembered.
        bytes_each: of a stored image of a task, with all that is kept of it.
    """

    stream: Stream
    budget: Budget
    provider: Provider | None
    bytes_each: Callable[[Task], int]

    def after(self, stage: int) -> int:
        """Images after `stage`: of every class of each task, or in all where the memory is not balanced.

        Where every class has as many, later stages have no more than earlier ones: what was given up is gone.
        """
        if self.provider is None or not self.provider.bounded:
            return self.budget.quota(self.stream.slots(stage))
        if self.provider.balanced:
            return min(self._of_each_class(self.provider, before) for before in range(stage + 1))
        return self._in_all(self.provider, stage)

    def allowed(self, stage: int) -> int | None:
        """Bytes in all after `stage`; None: no limit."""
        spec = self.stream.tasks[0].data.spec
        return self.budget.allowed(self._slots(stage), spec.channels * spec.size**2)

    @property
    def _counts_each(self) -> bool:
        """Whether the budget is so many images per class, and not a total."""
        return "ipc" in self.budget.amount()

    def _slots(self, stage: int) -> int:
        """The classes for which there is room, counted once per task: those so far. A memory that all classes share has
        one size from the start, which so many per class of the whole stream make.
        """
        shared = self.provider is not None and not self.provider.balanced and self._counts_each
        return self.stream.slots(len(self.stream.tasks) - 1 if shared else stage)

    def _of_each_class(self, provider: Provider, stage: int) -> int:
        """A total gives no class more than there is of it."""
        tasks, allowed = self.stream.tasks[: stage + 1], self.allowed(stage)
        if allowed is None:
            quota = self.budget.quota(self.stream.slots(stage))
        else:
            quota = allowed // sum(len(task.classes) * self.bytes_each(task) for task in tasks)
        return quota if self._counts_each else min(quota, provider.most(tasks))

    def _in_all(self, provider: Provider, stage: int) -> int:
        """Until it is full, all that there was; so many per class must be there in the end."""
        tasks, allowed = self.stream.tasks[: stage + 1], self.allowed(stage)
        total = self.budget.total(self._slots(stage))
        if allowed is not None:
            total = allowed // max(map(self.bytes_each, tasks))
        last = stage == len(self.stream.tasks) - 1
        return total if self._counts_each and last else min(total, provider.most(tasks))
