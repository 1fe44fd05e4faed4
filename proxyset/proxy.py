"""The artefact: a proxy set and where it came from, in one .safetensors file."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from proxyset.checkpoint import write_atomic
from proxyset.data import DatasetSpec, ImageSet
from proxyset.settings import InputError

FORMAT = 1


@dataclass(frozen=True)
class ProxySet:
    """A few images per class that stand in for a whole training set.

    Attributes:
        data: float32 images N×C×H×W in the normalised space of `spec`, and labels; ordered by class and within a
            class by rank, so that the first k of each class are the method's best k where it ranks them.
        spec: the description of the dataset it stands for.
        provenance: dataset and its content hash, method and every setting, seed, versions, device, seconds, scores.
    """

    data: ImageSet
    spec: DatasetSpec
    provenance: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write to `path` whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        tensors = {"images": self.data.images.contiguous(), "labels": self.data.labels.contiguous()}
        spec = {name: getattr(self.spec, name) for name in DatasetSpec.__dataclass_fields__}
        header = json.dumps({"format": FORMAT, "spec": spec, "provenance": self.provenance})
        metadata = {"proxyset": header, "sha256": _digest(self.data, header)}
        write_atomic(Path(path), safetensors.torch.save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path) -> "ProxySet":
        """Read an artefact and check that it is whole and unchanged.

        Raises:
            InputError: no such file, not a proxy set, written by a newer version, truncated or changed.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no proxy set at {str(path)!r}: no such file")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(f"{str(path)!r} is not a whole .safetensors file ({error})") from None
        if "proxyset" not in metadata or set(tensors) != {"images", "labels"}:
            raise InputError(f"{str(path)!r} is a .safetensors file but not a proxy set")
        try:
            header = json.loads(metadata["proxyset"])
            if header["format"] > FORMAT:
                raise InputError(
                    f"{str(path)!r} has format {header['format']}, this version reads up to {FORMAT}: upgrade proxyset"
                )
            data = ImageSet(tensors["images"], tensors["labels"])
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header["spec"].items()}
            spec = DatasetSpec(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{str(path)!r} has a damaged header ({error})") from None
        if metadata.get("sha256") != _digest(data, metadata["proxyset"]):
            raise InputError(f"{str(path)!r} was changed after it was written: its content hash does not match")
        return cls(data, spec, header["provenance"])

    def with_scores(self, scores: list[dict[str, Any]]) -> "ProxySet":
        """A copy whose provenance also holds `scores`, in place of earlier ones of the same protocol."""

        def protocol(score: dict[str, Any]) -> tuple[Any, ...]:
            return score["net"], score["seed"], score["protocol"]

        new = [protocol(score) for score in scores]
        kept = [score for score in self.provenance.get("scores", []) if protocol(score) not in new]
        return replace(self, provenance=self.provenance | {"scores": kept + scores})

    @property
    def ipc(self) -> int:
        return len(self.data) // self.spec.classes


def _digest(data: ImageSet, header: str) -> str:
    return hashlib.sha256(f"{data.sha256()} {header}".encode()).hexdigest()


class ProxyDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """A proxy set as a torch `Dataset` of (normalised image C×H×W, label), for data loaders and other libraries."""

    def __init__(self, proxy: ProxySet) -> None:
        self.proxy = proxy
        self.targets = proxy.data.labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.proxy.data.images[index], self.targets[index]
