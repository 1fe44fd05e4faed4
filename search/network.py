"""A trained network as a file: its weights, its architecture, and what the pictures must look like."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from proxyset.artefact.header import SpecHeader
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError, one_line
from proxyset.files import write_atomic
from proxyset.parsing import Schema, check
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes
from search.space import Builder, Candidate, load_space, make_candidates

KEY, FORMAT = "network", 1


class _Header(Schema):
    """The JSON in the header of the file."""

    format: int = Field(ge=1, le=FORMAT)
    name: str
    spec: SpecHeader
    space: str | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        name: its architecture, as the search called it.
        spec: the images that it takes, their normalisation, and its classes.
        weights: its state, by name, on the CPU.
        space: where the architecture comes from, as package.module:function (None: a name that `build_net` knows, or a
            builder that was given in Python).
        facts: how it was trained and how it was tested.
    """

    name: str
    spec: DatasetSpec
    weights: Mapping[str, Tensor]
    space: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write it as a .safetensors file, whole or not at all.

        Raises:
            InputError, RunError: it cannot be written.
        """
        spec = json.loads(json.dumps(asdict(self.spec)))
        header = {"format": FORMAT, "name": self.name, "spec": spec, "space": self.space, "facts": dict(self.facts)}
        write_atomic(Path(path), write_bytes(self.weights, seal(self.weights, header, KEY)))

    @classmethod
    def load(cls, path: str | Path) -> "Network":
        """Read such a file. No code runs.

        Raises:
            InputError: no such file, no network, changed after it was written, or from a newer version.
        """
        where = repr(str(path))
        if not Path(path).is_file():
            raise InputError(f"no network at {where}: no such file")
        weights, metadata = read_tensors(Path(path))
        header = check(check_seal(weights, metadata, KEY, where), _Header, where)
        return cls(header.name, header.spec.spec(), weights, header.space, header.facts)

    def build(self, builder: Builder | None = None) -> nn.Module:
        """The network with its weights, in evaluation mode, on the CPU: normalised images to logits.

        Args:
            builder: makes the architecture where it was given in Python (see `Candidate`). Where `space` names code,
                that code is run.

        Raises:
            InputError: the architecture is not known here, or is another than the weights are of.
        """
        net = self._candidate(builder).build(self.spec, torch.Generator())
        try:
            net.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise InputError(f"{self.name!r} is not what its weights are of: {one_line(error)}") from None
        return net.eval()

    def _candidate(self, builder: Builder | None) -> Candidate:
        if builder is not None:
            return Candidate(self.name, builder=builder)
        if self.space is not None:
            for candidate in load_space(self.space, self.spec.size):
                if candidate.name == self.name:
                    return candidate
            raise InputError(f"the space {self.space!r} has no {self.name!r} any more")
        if self.facts.get("given"):
            raise InputError(
                f"the builder of {self.name!r} was given in Python: `search.Network.load(FILE).build(builder)` takes it"
            )
        return make_candidates([self.name], "the network", self.spec.size)[0]


class OnPixels(nn.Module):
    """A network that takes pixels: N×C×H×W scaled to 0..1, which it normalises itself, to logits N×classes."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: DatasetSpec) -> None:
        super().__init__()
        self.net = net
        mean, std = torch.tensor([spec.mean, spec.std]).view(2, 1, -1, 1, 1)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.net((pixels - self.mean) / self.std)
        return logits
