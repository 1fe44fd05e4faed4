"""Gradient matching: DC (Zhao et al., ICLR 2021) and, with Siamese augmentation, DSA (Zhao & Bilen, ICML 2021)."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from proxyset import augment
from proxyset.checkpoint import Checkpoint, State
from proxyset.data import DatasetSpec, ImageSet, normalise
from proxyset.engine import Engine, Estimate, Work, footprint, timed
from proxyset.kernels import kernels
from proxyset.methods.base import Method
from proxyset.nets import batch_norms, build_net, check_net, has_batch_norm, outline
from proxyset.progress import Progress, silent
from proxyset.seeds import sample
from proxyset.settings import RunError
from proxyset.train import batch, fit

Mode = Literal["none", "independent", "siamese"]

# Inner steps T and network epochs per inner step (ς_θ) for each ipc, as the authors chose them.
SCHEDULE = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10), 100: (100, 2)}

BATCH_NORM_IMAGES = 16  # real images per class from which BatchNorm statistics are taken before each inner step


class DC(Method):
    """Dataset condensation with gradient matching. Symbols are those of the DSA paper's Algorithm 1."""

    name: ClassVar[str] = "dc"

    net: str = Field("convnet", description="network whose gradients are matched")
    iterations: int = Field(1000, ge=1, description="outer iterations K, each with a fresh network")
    inner_steps: int | None = Field(None, ge=1, description="inner steps T (None: by ipc, as in the authors' code)")
    net_epochs: int | None = Field(
        None, ge=0, description="network epochs per inner step (None: by ipc, as in the authors' code)"
    )
    batch_real: int = Field(256, ge=1, description="real images per class and step, without replacement")
    batch_synthetic: int = Field(
        256, ge=1, description="synthetic images per class and step, all where there are fewer"
    )
    batch_net: int = Field(256, ge=1, description="minibatch when training the network on the synthetic set")
    lr_img: float | None = Field(None, gt=0, description="learning rate of the images (None: 0.1, or 0.01 with mlp)")
    momentum_img: float = Field(0.5, ge=0, lt=1, description="momentum of the images")
    lr_net: float = Field(0.01, gt=0, description="learning rate of the network")
    init: Literal["real", "noise"] = Field("noise", description="first images: real ones, or Gaussian noise")
    distance: Literal["layerwise", "cosine", "mse"] = Field(
        "layerwise", description="gradient distance: cosines per output unit, one cosine, or squared error"
    )
    augment: str = Field("none", description="augmentation, such as color_crop_cutout_flip_scale_rotate or none")
    augment_real: Mode = Field("siamese", description="how real batches are augmented")
    augment_synthetic: Mode = Field("siamese", description="how synthetic batches are augmented")
    augment_net: bool = Field(True, description="augment when training the network (every image by its own draw)")

    def schedule(self, ipc: int) -> tuple[int, int]:
        """Inner steps T and network epochs for an ipc: the authors' where they give them, otherwise T = ipc (at most
        100) and as many epochs as make about 500 in all, as theirs do.
        """
        steps, epochs = SCHEDULE.get(ipc) or (min(ipc, 100), round(500 / min(ipc, 100)))
        return self.inner_steps or steps, epochs if self.net_epochs is None else self.net_epochs

    def image_lr(self) -> float:
        """Learning rate of the images: as given, or the authors' choice for the network."""
        return self.lr_img or (0.01 if self.net.lower() == "mlp" else 0.1)

    def resolved(self, spec: DatasetSpec, ipc: int) -> dict[str, Any]:
        steps, epochs = self.schedule(ipc)
        operations = "_".join(augment.operations(self.augment, spec.flip)) or "none"
        own = {"inner_steps": steps, "net_epochs": epochs, "lr_img": self.image_lr(), "augment": operations}
        return super().resolved(spec, ipc) | own

    def steps(self, ipc: int) -> int:
        return self.schedule(ipc)[0]

    def needs_real_images(self) -> bool:
        return self.init == "real"

    def check(self, real: ImageSet, spec: DatasetSpec, ipc: int) -> None:
        super().check(real, spec, ipc)
        check_net(self.net, **spec.shape)
        augment.operations(self.augment, spec.flip)

    def condense(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        *,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress = silent,
        checkpoint: Checkpoint | None = None,
    ) -> ImageSet:
        self.check(real, spec, ipc)
        run = _Run(self, real, spec, ipc, generator, engine)
        steps, epochs = self.schedule(ipc)
        saved = checkpoint.restore() if checkpoint is not None else None
        if checkpoint is not None and saved is not None:
            run.set_state(saved)
        start, total = (checkpoint.step if checkpoint is not None else 0), self.iterations * steps
        for step in range(start, total):  # Algorithm 1: k = step // T, t = step % T
            t = step % steps
            if t == 0:
                run.new_network()  # θ_0 ~ P_θ0
            loss = run.update_images()  # S_c ← sgd(D(∇L^S, ∇L^T)) for every class
            if not loss < float("inf"):
                if checkpoint is not None:
                    checkpoint.write()
                kept = "; the last good state is kept" if checkpoint is not None and checkpoint.step else ""
                raise RunError(
                    f"the loss became {loss} at iteration {step // steps}, inner step {t}: "
                    f"lower --lr-img or --lr-net{kept}"
                )
            if t < steps - 1:  # the last update of θ would be thrown away
                run.update_network(epochs)  # θ_{t+1} ← sgd(L(θ_t, A(S)))
            if checkpoint is not None:
                checkpoint.offer(run.state())
            progress(step + 1, total, loss)
        return run.synthetic()

    def work(self, real: ImageSet, spec: DatasetSpec, ipc: int) -> Work:
        steps, epochs = self.schedule(ipc)
        net = outline(self.net, **spec.shape, condensing=True)
        drawn = int(real.labels.bincount(minlength=spec.classes).clamp(max=self.batch_real).sum())
        matched = drawn + 3 * spec.classes * min(self.batch_synthetic, ipc)  # a gradient of a gradient is three passes
        images = self.iterations * (steps * matched + (steps - 1) * epochs * spec.classes * ipc)
        minibatches = self.iterations * (4 * steps * spec.classes + (steps - 1) * epochs)
        return Work(footprint(net, spec.channels, spec.size), images, minibatches, has_batch_norm(net))

    def estimate(self, real: ImageSet, spec: DatasetSpec, ipc: int, engine: Engine) -> Estimate:
        steps, epochs = self.schedule(ipc)
        run = _Run(self, real, spec, ipc, torch.Generator(), engine.eager())
        run.new_network()
        match = timed(lambda: run.match_class(0), engine.device) * spec.classes
        train = timed(lambda: run.update_network(1), engine.device) * epochs if steps > 1 and epochs else 0.0
        return engine.estimate(self.iterations * (steps * match + (steps - 1) * train))


class DSA(DC):
    """DC with differentiable Siamese augmentation and images that start as real ones."""

    name: ClassVar[str] = "dsa"

    init: Literal["real", "noise"] = Field("real", description="first images: real ones, or Gaussian noise")
    augment: str = Field(augment.ALL, description="augmentation; flip is left out where it changes the label")


class _Run:
    """The state of one condensation: synthetic images, their momentum, and the current network."""

    def __init__(
        self,
        method: DC,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        generator: torch.Generator,
        engine: Engine,
    ) -> None:
        self.method, self.spec, self.generator, self.device = method, spec, generator, engine.device
        self.real = engine.place(real)
        self.classes = self.real.indices_by_class(spec.classes)
        self.operations = augment.operations(method.augment, spec.flip)
        self.lr = method.image_lr()
        self.labels = torch.arange(spec.classes, device=self.device).repeat_interleave(ipc)
        self.images = self._initial_images(ipc).to(self.device)
        self.velocity = torch.zeros_like(self.images)
        self.own = torch.arange(len(self.images), device=self.device).view(spec.classes, ipc)  # positions of each class
        self.net: nn.Module | None = None
        self.kernels = kernels(engine, method.net, **spec.shape, condensing=True)

    def _initial_images(self, ipc: int) -> Tensor:
        if self.method.init == "noise":
            shape = (self.spec.classes * ipc, self.spec.channels, self.spec.size, self.spec.size)
            return torch.randn(shape, generator=self.generator)
        picked = [self._sample(index, ipc) for index in self.classes]
        return normalise(self.real.images[torch.cat(picked)], self.spec)

    def _sample(self, index: Tensor, count: int) -> Tensor:
        """`count` of the positions without replacement, or all of them where there are fewer."""
        if len(index) <= count:
            return index
        return index[sample(len(index), count, self.generator).to(index.device)]

    def new_network(self) -> None:
        self.net = build_net(
            self.method.net, **self.spec.shape, generator=self.generator, device=self.device, condensing=True
        )

    def update_images(self) -> float:
        """One step of SGD with momentum on the images of every class; returns the mean distance per class.

        The images stay as they were, and the distance is NaN or infinite, where the step is not finite.
        """
        self._freeze_batch_norm()
        gradient = torch.zeros_like(self.images)
        loss = torch.zeros((), device=self.device)
        for label in range(self.spec.classes):
            distance, picked, image_gradient = self.match_class(label)
            gradient[picked] = image_gradient
            loss += distance
        mean = loss.item() / self.spec.classes
        velocity = self.method.momentum_img * self.velocity + gradient
        images = self.images - self.lr * velocity
        if not images.isfinite().all():  # a finite loss can still come with a step that overflows
            return float("nan")
        if mean < float("inf"):
            self.velocity, self.images = velocity, images
        return mean

    def match_class(self, label: int) -> tuple[Tensor, Tensor, Tensor]:
        """D(∇L^S_c, ∇L^T_c) of one class, the positions of its synthetic batch, and ∂D / ∂images there."""
        assert self.net is not None
        method = self.method
        real, real_labels = batch(
            self.real, self._sample(self.classes[label], method.batch_real), self.spec, self.device
        )
        picked = self._sample(self.own[label], method.batch_synthetic)
        synthetic = self.images[picked].requires_grad_()

        shared = augment.draw(self.operations, self.generator) if self._siamese() else None  # ω ~ Ω
        real = self._augmented(real, method.augment_real, shared)
        augmented = self._augmented(synthetic, method.augment_synthetic, shared)
        matched = method.distance == "layerwise"  # which leaves out biases and norm affines
        real_gradients = self.kernels.gradients(self.net, real, real_labels, matched=matched)
        distance, gradient = self.kernels.match(
            self.net, real_gradients, augmented, self.labels[picked], method.distance
        )
        (image_gradient,) = torch.autograd.grad(augmented, synthetic, gradient)  # back through the augmentation
        return distance, picked, image_gradient

    def _siamese(self) -> bool:
        return "siamese" in (self.method.augment_real, self.method.augment_synthetic)

    def _augmented(self, images: Tensor, mode: Mode, shared: augment.Transform | None) -> Tensor:
        if mode == "none":
            return images
        own = augment.draw(self.operations, self.generator, len(images)) if mode == "independent" else shared
        return augment.apply(own, images)

    @torch.no_grad()
    def _freeze_batch_norm(self) -> None:
        """Take BatchNorm's statistics from real images of all classes, and hold them while matching."""
        assert self.net is not None
        if not has_batch_norm(self.net):
            return
        index = torch.cat([self._sample(index, BATCH_NORM_IMAGES) for index in self.classes])
        self.net.train()
        self.net(batch(self.real, index, self.spec, self.device)[0])
        for module in batch_norms(self.net):
            module.eval()

    def update_network(self, epochs: int) -> None:
        """Train θ on the synthetic set, augmented in the ordinary way (each image by its own draw)."""
        assert self.net is not None
        fit(
            self.net,
            ImageSet(self.images, self.labels),
            self.spec,
            epochs=epochs,
            lr=self.method.lr_net,
            batch_size=self.method.batch_net,
            operations=self.operations if self.method.augment_net else (),
            generator=self.generator,
            kernels=self.kernels,
        )

    def synthetic(self) -> ImageSet:
        return ImageSet(self.images.cpu(), self.labels.cpu())

    def state(self) -> State:
        assert self.net is not None
        network = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        own = {"images": self.images, "velocity": self.velocity, "generator": self.generator.get_state()}
        return own | network

    def set_state(self, saved: State) -> None:
        self.new_network()
        assert self.net is not None
        self.net.load_state_dict({name: saved[f"net.{name}"] for name in self.net.state_dict()})
        self.images, self.velocity = saved["images"].to(self.device), saved["velocity"].to(self.device)
        self.generator.set_state(saved["generator"])
