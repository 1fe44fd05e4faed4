"""How long a run will take, from a few timed steps on throwaway state."""

from typing import NamedTuple

import torch

from continual.schemes.base import Scheme
from continual.settings import TaskTraining
from proxyset.compute.clock import timed
from proxyset.data.images import ImageSet
from proxyset.methods.recommended import SMALLEST
from proxyset.nets.build import full_name
from proxyset.train.fit import fit

FEW_EPOCHS, FEW_GDUMB_EPOCHS, NARROW = 10, 300, "convnet-w32"
FORWARD = 1 / 3  # a pass forward over a step
TEACHER = 4 / 3  # a step with distillation over one without: the teacher only goes forward


class Estimate(NamedTuple):
    """Seconds to make the memory, and to learn."""

    making: float
    learning: float


def estimate(scheme: Scheme, finished: int = 0) -> Estimate:
    """What the tasks after the first `finished` ones will take."""
    return Estimate(scheme.memory.estimate(finished), seconds_to_learn(scheme, finished))


def seconds_to_learn(scheme: Scheme, finished: int = 0) -> float:
    """What the networks after the first `finished` tasks will take."""
    trainer, learning = scheme.trainer, scheme.learning
    count = len(scheme.stream.tasks)
    if finished == count:
        return 0.0
    each = _seconds_per_image(scheme)
    seconds = 0.0
    for stage in range(finished, count):
        distils = learning.kd and stage > 0
        own_loss = distils or (scheme.keeps_answers and stage > 0)
        for recipe, images in scheme.trainings(stage):
            eager = each * recipe.epochs * images * (TEACHER if distils else 1)
            seconds += trainer.engine(scheme.net, recipe, images, distils=own_loss).estimate(eager).seconds
            if learning.trace:
                tested = sum(len(task.data.test) for task in scheme.stream.tasks[: stage + 1])
                seconds += each * recipe.epochs * tested * FORWARD
    return seconds


def savings(seconds: Estimate, learning: TaskTraining, size: int) -> dict[str, str]:
    """Settings that would take less time, the best trade first, and what each costs in quality.

    `size` is the images' in pixels: the network that is used by default depends on it.

    Where no source is named, accuracies are those after the last task of the embedded digits, herding, 10 images per
    class, mean of the seeds 0 to 2 on a CPU.
    """
    cheaper: dict[str, str] = {}
    if seconds.making > seconds.learning / 10:
        if size >= SMALLEST:
            cheaper["memory='random formation=2'"] = "89.4 % in place of dm's 90.1 on SVHN, MNIST and USPS"
        else:
            cheaper["memory=herding"] = "90.7 % in place of dsa's 94.4 in the paper's Figure 3"
        cheaper["memory_settings=iterations=N"] = "images that are less fitted"
    if learning.scheme == "gdumb" and learning.gdumb_epochs > FEW_GDUMB_EPOCHS:
        cheaper[f"gdumb_epochs={FEW_GDUMB_EPOCHS}"] = "95.3 % in place of 97.1 on the embedded digits"
    if learning.scheme == "eeil" and learning.epochs > FEW_EPOCHS:
        cheaper[f"epochs={FEW_EPOCHS}"] = "91.7 % in place of 92.9 on the embedded digits"
    cheaper["limit=N"] = "learns from only N images of each task"
    if learning.network(size) == full_name("convnet", size):
        cheaper[f"net={NARROW}"] = "a narrower network"
    return cheaper


def _seconds_per_image(scheme: Scheme) -> float:
    """Of one epoch on a few images of the first task with a throwaway network."""
    trainer, train = scheme.trainer, scheme.stream.tasks[0].data.train
    count = min(scheme.learning.batch_size, len(train))
    few = ImageSet(train.images[:count], train.labels[:count])
    recipe, net = scheme.learning.recipe(1), trainer.fresh(0)
    gradients = trainer.gradients(trainer.engine(net, recipe, count).eager(), net)
    generator = torch.Generator()
    seconds = timed(
        lambda: fit(net, few, trainer.spec, recipe, generator=generator, gradients=gradients), trainer.session.device
    )
    return seconds / count
