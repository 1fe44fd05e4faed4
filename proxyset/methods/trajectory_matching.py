"""Trajectory matching, step by step: MTT (Cazenavette et al., CVPR 2022, Algorithm 1). `mtt.py` holds the settings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from proxyset.checkpoint import State
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec
from proxyset.methods.base import Context, Problem
from proxyset.methods.initial import draw, initial_images, stored
from proxyset.methods.moments import Moments, adam
from proxyset.methods.mtt import MTT
from proxyset.methods.snapshots import Course, Snapshots
from proxyset.methods.unrolled import Student, back, train
from proxyset.nets.build import build_net


class TrajectoryMatching:
    """The state of one condensation: synthetic images, the student's learning rate, and their momenta."""

    def __init__(self, method: MTT, problem: Problem, context: Context, experts: Sequence[Tensor]) -> None:
        """
        Args:
            experts: for each its weights before the training and after every epoch, (epochs + 1)×P.
        """
        self.method, self.problem, self.spec, self.experts = method, problem, problem.spec, experts
        self.generator, self.device, self.facts = context.generator, context.engine.device, context.facts
        self.operations = augment.operations(method.augment, self.spec.flip)
        self.images = initial_images(problem, method.init, method.formation, self.generator).to(self.device)
        labels = problem.labels.repeat_interleave(method.tiles())
        self.targets = one_hot(labels, self.spec.classes).to(self.device)
        self.velocity = torch.zeros_like(self.images)
        self.log_rate = torch.tensor(method.lr_net, device=self.device).log()
        self.moments = Moments.zeros(self.log_rate)
        # Its weights come with every step; those that it is built with are never used.
        self.student = Student(
            build_net(method.net, **self.spec.shape, generator=torch.Generator(), device=self.device)
        )

    def step(self, number: int) -> float:
        """One step of SGD with momentum on the images, and one of Adam on the logarithm of the student's learning rate.

        Returns:
            The distance that is left, as a share of the expert's. Nothing has changed, and it is NaN, where the step is
            not finite.
        """
        loss, of_images, of_rate = self.match(*self.draw_span())
        velocity = self.method.momentum_img * self.velocity + of_images
        images = self.images - self.method.lr_img * velocity
        of_log = of_rate * self.log_rate.exp()
        log_rate, moments = adam(self.log_rate, of_log, self.moments, number, self.method.lr_rate)
        if not (loss.isfinite() and images.isfinite().all() and log_rate.isfinite()):
            return float("nan")
        self.images, self.velocity, self.log_rate, self.moments = images, velocity, log_rate, moments
        return loss.item()

    def draw_span(self) -> tuple[Tensor, Tensor]:
        """θ*_t and θ*_{t+M} of an expert: its weights at a drawn epoch, and some epochs later."""
        expert = self.experts[int(torch.randint(len(self.experts), (), generator=self.generator))]
        first = int(torch.randint(self.method.latest_start, (), generator=self.generator))
        return expert[first].to(self.device), expert[first + self.method.span].to(self.device)

    def match(self, start: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """‖θ̂_{t+N} − θ*_{t+M}‖² / ‖θ*_t − θ*_{t+M}‖² (equation 2), and its gradients by images and learning rate."""
        leaf = self.images.clone().requires_grad_()
        count, steps = len(self.targets), range(self.method.unroll)
        rows = [draw(torch.arange(count), self.method.batch_synthetic, self.generator).to(self.device) for _ in steps]
        drawn = [augment.draw(self.operations, self.generator, len(index)) for index in rows]  # each image its own

        def minibatch(number: int) -> tuple[Tensor, Tensor]:
            images = unfold(leaf, self.method.formation)[rows[number]]
            return augment.apply(drawn[number], images), self.targets[rows[number]]

        rates = self.log_rate.exp().expand(self.method.unroll)
        trajectory = train(self.student, start, minibatch, rates, len(steps))
        missed, whole = trajectory[-1] - goal, (start - goal).square().sum()
        found = back(self.student, trajectory, minibatch, rates, [leaf], 2 * missed / whole)
        return missed.square().sum() / whole, found.leaves[0], found.rates.sum()

    def result(self) -> ImageSet:
        self.facts["learning_rate"] = round(self.log_rate.exp().item(), 6)
        return stored(self.problem, self.images.clone(), self.method.formation)

    def state(self) -> State:
        images = {"images": self.images, "images.velocity": self.velocity}
        rate = {"rate": self.log_rate, "rate.first": self.moments.first, "rate.second": self.moments.second}
        return images | rate | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        here = {name: tensor.to(self.device) for name, tensor in saved.items() if name != "generator"}
        self.images, self.velocity, self.log_rate = here["images"], here["images.velocity"], here["rate"]
        self.moments = Moments(here["rate.first"], here["rate.second"])
        self.generator.set_state(saved["generator"])


def trajectory(course: Course, training: Snapshots, spec: DatasetSpec) -> Tensor:
    """The weights of an expert before its training and after every epoch: (epochs + 1)×P, on the CPU."""
    student = Student(course.build(spec, torch.device("cpu")))
    return torch.stack([student.weights(), *(student.weights_in(state) for state in training.states)])


def untrained(course: Course, spec: DatasetSpec, count: int) -> Tensor:
    """What stands in for a trajectory where only the time of a step matters: count×P."""
    weights = Student(course.build(spec, torch.device("cpu"))).weights()
    return weights * torch.linspace(1.0, 1.1, count)[:, None]
