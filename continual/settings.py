"""What a user chooses: the stream, the memory's budget, and how tasks are learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from proxyset.data.choice import DataChoice
from proxyset.settings import ByteCount, KeepAs, Settings
from proxyset.train.recipe import Recipe, Training

NONE, JOINT, RESERVOIR = "none", "joint", "reservoir"  # memories that are no method
SMALL = 16  # pixels; below, networks and condensing are scaled down, so that the embedded digits take minutes


USUAL = {"equal": "images", "keep_as": "float32", "shrink": "head", "condense_with": "own"}
"""How a memory is kept where results say nothing of it."""


class StreamChoice(DataChoice):
    """Which stream: `tasks` names several datasets with one label set, otherwise `dataset` is split into `steps`."""

    tasks: tuple[str, ...] = Field(
        (), description="domain-incremental: datasets (names or paths) that share their classes, in this order"
    )
    new_classes: bool = Field(
        False, description="`tasks` may bring classes of their own; those of the same name are the same class"
    )
    steps: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (5,),
        min_length=1,
        description="class-incremental: how many steps `dataset` is split into by class, or the classes of each, such "
        "as 50 10 10 10 10 10",
    )
    class_order: tuple[str, ...] = Field(
        (), description="all class names in the order in which they come (default: drawn by the seed)"
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="training images per task, the same number of every class and the same for every seed "
        "(default: all)",
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("class_order", mode="before")
    @classmethod
    def _names_are_words(cls, value: Any) -> Any:
        """A file has 3 where a class is called "3"."""
        return tuple(map(str, value)) if isinstance(value, list | tuple) else value

    def split(self) -> int | tuple[int, ...]:
        """How many steps, or the classes of each."""
        return self.steps[0] if len(self.steps) == 1 else self.steps

    def split_name(self) -> str:
        """That in a file's name: 5steps, or 50-10-10."""
        return steps_name(self.split())


def steps_name(split: int | Sequence[int]) -> str:
    """How many steps, or the classes of each, as they go into a stream's name."""
    return f"{split}steps" if isinstance(split, int) else "-".join(map(str, split))


class Budget(Settings):
    """How much is remembered, and with which settings it is made."""

    ipc: int = Field(10, ge=1, description="images kept per class of every task seen (paper: 10)")
    budget: int | None = Field(
        None,
        ge=1,
        description="in place of `ipc`: images in total, shared out equally over the classes of the tasks seen so far; "
        "as they grow in number, each gives up what `shrink` says",
    )
    budget_bytes: ByteCount | None = Field(
        None,
        description="in place of `ipc`: bytes in total of images and soft targets, such as 300KiB or 2MB, shared out "
        "likewise",
    )
    equal: Literal["images", "bytes"] = Field(
        "images",
        description="what `ipc` and `budget` count: stored images, or the bytes of so many real ones, so that a memory "
        "whose images take more keeps fewer",
    )
    keep_as: KeepAs = Field(
        "float32",
        description="how learned images are kept: in 4, 2 or 1 bytes a value (soft targets: 4 or 2)",
    )
    shrink: Literal["head", "recondense"] = Field(
        "head",
        description="as the share of a class gets smaller: keep the head of its ranked list, or make a smaller memory "
        "from the one that is kept",
    )
    condense_with: Literal["own", "learner"] = Field(
        "own",
        description="networks trained on a task, where the method needs any: its own, or the network that has just "
        "learned the task",
    )
    memory_settings: tuple[str, ...] = Field(
        (), description="settings of the memory's method, such as iterations=100 distance=cosine"
    )
    store: Path = Field(Path("proxysets"), description="where condensed memories are kept, to be used again")

    @model_validator(mode="after")
    def _is_one_amount(self) -> "Budget":
        if self.budget is not None and self.budget_bytes is not None:
            raise ValueError("`budget` counts images and `budget_bytes` bytes: give one of them")
        if self.budget_bytes is not None and self.equal == "bytes":
            raise ValueError("`budget_bytes` counts bytes already: leave out `equal`")
        return self

    def quota(self, slots: int) -> int:
        """Images per class and task where the tasks seen have so many classes, counted once per task."""
        return self.ipc if self.budget is None else self.budget // slots

    def total(self, slots: int) -> int:
        """Images in all where the tasks seen have so many classes, counted once per task."""
        return self.ipc * slots if self.budget is None else self.budget

    def allowed(self, slots: int, pixels: int) -> int | None:
        """Bytes in total where the tasks seen have so many classes and a real image takes `pixels`; None: no limit."""
        if self.equal == "bytes":
            return pixels * (self.ipc * slots if self.budget is None else self.budget)
        return self.budget_bytes

    def amount(self) -> dict[str, int]:
        """The setting that says how much is kept, by its name."""
        for name in ("budget_bytes", "budget"):
            if (value := getattr(self, name)) is not None:
                return {name: value}
        return {"ipc": self.ipc}

    def way(self) -> dict[str, str]:
        """How it is kept, where that is not the usual way."""
        return {name: value for name in USUAL if (value := getattr(self, name)) != USUAL[name]}


class TaskTraining(Training):
    """How each task is learned. Values are EEIL's (Castro et al. 2018) unless the description says why not."""

    net: str | None = Field(
        None,
        description="network (default: convnet as in the paper, convnet-w32 for images under 16 pixels), or "
        "package.module:function, whose code is run: name only what you trust",
    )
    scheme: Literal["eeil", "gdumb", "der", "der++"] = Field(
        "eeil",
        description="eeil: go on from the previous network; gdumb: a fresh one on the memory only, after each task; "
        "der: go on, and keep the network's answers with the memory, to answer so still; der++: its labels too",
    )
    der_weight: float = Field(
        0.3,
        ge=0,
        description="weight of the squared distance to the answers that der and der++ keep (α; the authors' of der "
        "for 500 images of CIFAR; of der++ 0.1 to 0.2)",
    )
    der_labels: float = Field(0.5, ge=0, description="weight of the memory's labels with der++ (β; the authors')")
    kd_softmax: Literal["steps", "joint"] = Field(
        "steps", description="one softmax per earlier step (EEIL), or one over all earlier classes"
    )
    temperature: float = Field(2.0, gt=0, description="temperature of the distillation")
    kd_weight: float = Field(1.0, ge=0, description="weight of the distillation beside the loss")
    current_data: Literal["full", "memory"] = Field(
        "full", description="learn the new task from all of its data (EEIL), or only from what the memory keeps of it"
    )
    batches: Literal["concatenate", "balance"] = Field(
        "concatenate",
        description="minibatches from new data and memory together as they come (EEIL), or half from each",
    )
    balance: bool = Field(True, description="after each later task, fine-tune on equal counts of every class (stage 2)")
    epochs: int = Field(40, ge=1, description="epochs on a task (stage 1)")
    lr: float = Field(0.1, gt=0, description="learning rate of stage 1 at its start")
    schedule: Literal["constant", "step", "cosine"] = Field(
        "step", description="of the learning rate: step multiplies it by 0.1 every `lr_every` epochs, cosine ends at 0"
    )
    lr_every: int = Field(10, ge=1, description="epochs between two drops of the step schedule")
    balance_epochs: int = Field(30, ge=1, description="epochs of the balanced fine-tuning (stage 2)")
    balance_lr: float = Field(
        0.1,
        gt=0,
        description="learning rate of stage 2 (EEIL: 0.01, with 16 updates in an epoch; a memory of 100 images gives "
        "one, and 0.01 then stops short: 89.6 percent against 93.4 on the embedded stream, herding, 2 seeds)",
    )
    batch_size: int = Field(128, ge=2, description="images in a minibatch")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay")
    trace: bool = Field(False, description="test on all tasks so far after every epoch, and draw that")
    gdumb_epochs: int = Field(
        1000,
        ge=1,
        description="epochs of the gdumb scheme; but for `augment` and what else begins with gdumb the rest is the "
        "core's evaluation protocol, as in the DM code",
    )
    gdumb_batch_size: int = Field(
        256,
        ge=2,
        description="images in a minibatch of the gdumb scheme; `batch_size` and `lr` are those of the others",
    )
    gdumb_protocol: Literal["paper", "equal-updates"] = Field(
        "paper",
        description="of the gdumb scheme: an epoch passes every tile of a formation (paper), or a memory with a "
        "formation gets no more updates than others (equal-updates)",
    )

    def network(self, size: int) -> str:
        """The network's full name for images of `size` pixels."""
        from proxyset.nets.build import full_name

        default = "convnet-w32" if size < SMALL else "convnet"
        return full_name(default if self.net is None else self.net, size)

    def stage_recipe(self) -> Recipe:
        """Stage 1: a new task."""
        return self.recipe(self.epochs, milestones=self._drops(self.epochs))

    def balanced_recipe(self) -> Recipe:
        """Stage 2: the balanced fine-tuning."""
        return self.recipe(self.balance_epochs, lr=self.balance_lr, milestones=self._drops(self.balance_epochs))

    def _drops(self, epochs: int) -> tuple[int, ...]:
        return tuple(range(self.lr_every, epochs, self.lr_every))


class Learning(TaskTraining):
    """How each task is learned, and whether earlier answers are distilled."""

    kd: bool = Field(False, description="distil the previous network's answers (knowledge distillation)")
