"""How strong the gradients of real and of synthetic images are while a set is learned (Figure 5 of the DSA paper).

Where the synthetic images' gradients vanish, nothing is left to learn from: what is propagated back to the images is
multiplied with them.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.compiled import Distance
from proxyset.compute.gradients import Gradients
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError
from proxyset.files import begins_with, write_atomic
from proxyset.methods.base import Context, Problem
from proxyset.methods.dsa import DC
from proxyset.methods.registry import get_method
from proxyset.names import figure_name
from proxyset.report.figures import write_figure
from proxyset.seeds import make_generator

BINS = 30
COLUMNS = ("file", "inner_step", "class", "layer", "real", "synthetic")


@dataclass(frozen=True)
class Norms:
    """‖∇_θ L‖ of one minibatch of real images and of the synthetic one beside it, by the layers' names."""

    inner_step: int
    label: int
    real: dict[str, float]
    synthetic: dict[str, float]

    @property
    def whole(self) -> tuple[float, float]:
        """Of all layers together: real, synthetic."""
        return _together(self.real), _together(self.synthetic)


def _together(layers: Mapping[str, float]) -> float:
    return sum(norm**2 for norm in layers.values()) ** 0.5


class _Watched:
    """The gradients of a method, with a look at those that are matched."""

    def __init__(self, gradients: Gradients) -> None:
        self.gradients = gradients
        self.seen: list[tuple[dict[str, float], dict[str, float]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gradients, name)

    def match(
        self, net: nn.Module, real: Sequence[Tensor | None], images: Tensor, answers: Tensor, distance: Distance
    ) -> tuple[Tensor, Tensor]:
        synthetic = self.gradients.of_weights(net, images.detach(), answers, matched=True)
        self.seen.append((_norms(net, real), _norms(net, synthetic)))
        return self.gradients.match(net, real, images, answers, distance)


def _norms(net: nn.Module, gradients: Sequence[Tensor | None]) -> dict[str, float]:
    named = zip(net.named_parameters(), gradients, strict=True)
    return {name: gradient.norm().item() for (name, p), gradient in named if gradient is not None and p.ndim > 1}


def gradient_norms(proxy: ProxySet, dataset: Dataset, session: Session, *, seed: int = 0) -> list[Norms]:
    """One iteration of Algorithm 1 from a set's images on: a fresh network, trained on the set between inner steps.

    Returns:
        For each inner step and class the norms, in the order in which they are computed. Biases and the weights of
        normalisation layers are left out, as in the distance that is minimised.

    Raises:
        InputError: the set was not made by gradient matching.
        RunError: the gradients are not finite.
    """
    method = method_of(proxy)
    problem = Problem(dataset.train, dataset.spec, proxy.ipc, replace(proxy.data, targets=None))
    engine = session.plan(method.work(problem, session))
    run = method.start(problem, Context(make_generator(seed, "gradient norms"), session, engine))
    run.shared = None  # what is watched is this process's
    run.gradients = watched = _Watched(run.gradients)  # type: ignore[assignment]
    for step in range(run.inner_steps):
        if not run.step(step) < float("inf"):
            raise RunError(f"the distance of the gradients is not finite at inner step {step}")
    places = [(step, label) for step in range(run.inner_steps) for label in range(dataset.spec.classes)]
    return [Norms(*place, *norms) for place, norms in zip(places, watched.seen, strict=True)]


def method_of(proxy: ProxySet) -> DC:
    """The settings with which a set was made.

    Raises:
        InputError: another method made it, or it does not say.
    """
    name = str(proxy.provenance.get("method", "an unknown method"))
    kind = get_method(name) if name in ("dc", "dsa") else None
    if kind is None or not issubclass(kind, DC):
        raise InputError(f"gradients are matched by dc and dsa; this set was made by {name}")
    settings = proxy.provenance.get("settings", {})
    return kind(**{key: value for key, value in settings.items() if key in kind.model_fields and key != "init"})


def is_norms(path: Path) -> bool:
    """Whether a file begins as the tables do that are written here."""
    return begins_with(path, ",".join(COLUMNS))


def write_norms(norms: Mapping[str, Sequence[Norms]], dataset: Dataset, path: Path) -> Path:
    """Write a table with a row for each file, inner step, class and layer as .csv; returns the path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, seen in norms.items():
        for each in seen:
            name = dataset.spec.class_names[each.label]
            for layer, real in each.real.items():
                writer.writerow([file, each.inner_step, name, layer, f"{real:.6g}", f"{each.synthetic[layer]:.6g}"])
    write_atomic(path, text.getvalue().encode(errors="replace"))
    return path


def save_norms(norms: Mapping[str, Sequence[Norms]], title: str, path: Path) -> Path:
    """Draw for each set which share of the minibatches has gradients how strong, all layers together; returns the path.

    Args:
        title: names of other people in it through `figure_name`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(norms), 3.5), dpi=100, layout="constrained")
    places = figure.subplots(1, len(norms), sharex=True, sharey=True, squeeze=False)[0]
    largest = max(max(each.whole) for seen in norms.values() for each in seen)
    edges = torch.linspace(0, largest * 1.001 or 1.0, BINS + 1).tolist()
    for axes, (name, seen) in zip(places, norms.items(), strict=True):
        for number, kind in enumerate(("real", "synthetic")):
            values = [each.whole[number] for each in seen]
            axes.hist(values, edges, weights=[100 / len(values)] * len(values), alpha=0.6, label=kind)
        axes.set_title(figure_name(name), loc="left")
        axes.set_xlabel("gradient magnitude")
        axes.legend()
    places[0].set_ylabel("% of inner steps and classes")
    figure.suptitle(title, x=0.01, ha="left", size="medium")
    return write_figure(figure, path)
