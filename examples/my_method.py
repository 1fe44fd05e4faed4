"""A method of your own: the mean of each class with a little noise, and soft targets."""

from typing import ClassVar

from pydantic import Field

from proxyset import Context, ImageSet, Method, Problem


class Mean(Method):
    """The mean image of each class plus Gaussian noise; targets spread some probability over the other classes."""

    name: ClassVar[str] = "mean"

    noise: float = Field(0.1, ge=0, description="standard deviation of the noise, in normalised space")
    smoothing: float = Field(0.1, ge=0, lt=1, description="probability spread over the other classes")

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        import torch

        from proxyset.data.images import one_hot
        from proxyset.data.spec import normalise

        spec = problem.spec
        means = [normalise(problem.real.images[index], spec).mean(0) for index in problem.classes]
        images = torch.stack(means).repeat_interleave(problem.ipc, 0)
        images += self.noise * torch.randn(images.shape, generator=context.generator)
        truth = one_hot(problem.labels, spec.classes)
        others = (1 - truth) / (spec.classes - 1)
        return ImageSet(images, problem.labels, (1 - self.smoothing) * truth + self.smoothing * others)
