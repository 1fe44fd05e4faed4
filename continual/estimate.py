"""How long a run will take, from a few timed steps on throwaway state."""

import torch

from continual.schemes.base import Scheme
from proxyset.compute.clock import timed
from proxyset.data.images import ImageSet
from proxyset.train.fit import fit

TEACHER = 4 / 3  # a step with distillation over one without: the teacher only goes forward


def estimate(scheme: Scheme) -> tuple[float, float]:
    """Seconds to make the memory, and to learn."""
    trainer, learning = scheme.trainer, scheme.learning
    each = _seconds_per_image(scheme)
    seconds = 0.0
    for stage in range(len(scheme.stream.tasks)):
        distils = learning.kd and stage > 0
        for recipe, images in scheme.trainings(stage):
            eager = each * recipe.epochs * images * (TEACHER if distils else 1)
            seconds += trainer.engine(scheme.net, recipe, images, distils=distils).estimate(eager).seconds
    return scheme.memory.estimate(), seconds


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
