"""The artefact: a proxy set and where it came from, in one .safetensors file."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from proxyset.artefact.header import check_content, read_header
from proxyset.artefact.storage import kept_as, pack, stored_bytes, unpack
from proxyset.checkpoint import State
from proxyset.data.images import ImageSet
from proxyset.data.picture import as_html, tile
from proxyset.data.spec import DatasetSpec, to_pixels
from proxyset.errors import InputError, one_line
from proxyset.files import write_atomic
from proxyset.names import clean_name
from proxyset.parsing import parse_json
from proxyset.settings import KeepAs
from proxyset.tensors import SEAL, read_tensors, write_bytes
from proxyset.train.protocols import same_protocol

FORMAT = 4  # 1: without soft targets; 2: as float32, without a formation; 3: without a generator
KEY = "proxyset"  # of the header
REQUIRED, OPTIONAL = {"images", "labels"}, {"targets", "scale", "lowest"}
GENERATOR = "generator."  # before the names of its tensors


@dataclass(frozen=True)
class ProxySet:
    """A few images per class that stand in for a whole training set.

    Attributes:
        data: what is stored: float32 images N×C×H×W in the normalised space of `spec`, labels and, where the method
            gives them, soft targets. Ordered by class and within a class by rank, so that the first k of each class are
            the method's best k where it ranks them. `data.unfold()` is what networks are trained on.
        spec: the description of the dataset it stands for.
        provenance: dataset and its content hash, method and every setting, seed, versions, device, seconds, scores.
        keep_as: how a file keeps the values; `data` already has the values that read back.
        generator: weights of a network that draws more such images (`proxyset.artefact.draw`), where there is one.
    """

    data: ImageSet
    spec: DatasetSpec
    provenance: dict[str, Any] = field(default_factory=dict)
    keep_as: KeepAs = "float32"
    generator: State = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write to `path` whole or not at all.

        Raises:
            InputError: the folder cannot be written, or `load` would refuse the set.
        """
        path = Path(path)
        spec = {name: getattr(self.spec, name) for name in DatasetSpec.__dataclass_fields__}
        complaint = f"cannot write {str(path)!r}, which would be no proxy set"
        header: dict[str, Any] = {"format": self._format(), "spec": spec, "provenance": self.provenance}
        if self.data.formation > 1:
            header["formation"] = self.data.formation
        try:
            text = json.dumps(header, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{complaint}: its provenance is not JSON ({one_line(error)})") from None
        read_header(parse_json(text, complaint), complaint)
        check_content(self.data, self.spec, complaint)
        packed = pack(self.data, self.keep_as)
        metadata = {KEY: text, SEAL: _digest(unpack(packed, self.data.formation), text, self.generator)}
        more = {f"{GENERATOR}{name}": tensor for name, tensor in self.generator.items()}
        write_atomic(path, write_bytes(packed | more, metadata))

    @classmethod
    def load(cls, path: str | Path) -> "ProxySet":
        """Read an artefact and check that it is whole, unchanged, and what a proxy set can be.

        Raises:
            InputError: no such file, not a proxy set, written by a newer version, truncated, changed, or impossible.
        """
        path = Path(path)
        where = repr(str(path))
        if not path.is_file():
            raise InputError(f"no proxy set at {where}: no such file")
        tensors, metadata = read_tensors(path)
        names = [name for name in tensors if name.startswith(GENERATOR)]
        generator = {name.removeprefix(GENERATOR): tensors.pop(name) for name in names}
        if KEY not in metadata or set(tensors) - OPTIONAL != REQUIRED:
            raise InputError(f"{where} is a .safetensors file but not a proxy set")
        if any(tensor.dtype != torch.float32 for tensor in generator.values()):
            raise InputError(f"{where} cannot be a proxy set: its generator is not float32")
        damaged, impossible = f"{where} has a damaged header", f"{where} cannot be a proxy set"
        header = parse_json(metadata[KEY], damaged)
        number = header.get("format") if isinstance(header, dict) else None
        if type(number) is int and number > FORMAT:
            raise InputError(f"{where} has format {number}, this version reads up to {FORMAT}: upgrade proxyset")
        facts = read_header(header, damaged)
        spec = facts.spec.spec()
        try:
            data = unpack(tensors, facts.formation)
        except InputError as error:
            raise InputError(f"{impossible}: {error}") from None
        if metadata.get(SEAL) != _digest(data, metadata[KEY], generator):
            raise InputError(f"{where} was changed after it was written: its content hash does not match")
        check_content(data, spec, impossible)
        return cls(data, spec, header["provenance"], kept_as(tensors), generator)

    def with_scores(self, scores: list[dict[str, Any]]) -> "ProxySet":
        """A copy whose provenance also holds `scores`, in place of earlier ones alike: by protocol and test images."""

        def alike(one: dict[str, Any], two: dict[str, Any]) -> bool:
            same = one["net"] == two["net"] and one["seed"] == two["seed"]
            tests = [score.get("test_sha256") for score in (one, two)]  # older versions did not keep it
            same = same and (None in tests or tests[0] == tests[1])
            return same and same_protocol(one["protocol"], two["protocol"])

        before = self.provenance.get("scores", [])
        kept = [score for score in before if not any(alike(score, new) for new in scores)]
        return replace(self, provenance=self.provenance | {"scores": kept + scores})

    @property
    def ipc(self) -> int:
        return len(self.data) // self.spec.classes

    def __repr__(self) -> str:
        facts = self.provenance
        made = f"{clean_name(str(facts.get('method', 'unknown method')))}, {self.ipc} per class"
        soft = ", soft targets" if self.data.targets is not None else ""
        tiles = f" of {self.data.formation}×{self.data.formation} tiles" if self.data.formation > 1 else ""
        shape = f"{self.spec.channels}×{self.spec.size}×{self.spec.size}"
        return f"ProxySet({clean_name(self.spec.name)}: {made}{soft}, {len(self.data)} images {shape}{tiles})"

    def _repr_html_(self) -> str:
        """Its description, its size, and its images as they are stored, for notebooks."""
        pixels = to_pixels(self.data.images, self.spec)
        words = f"{self!r}: {self.data.trained_on} training images, {self.nbytes:,} bytes"
        return as_html(words, tile(pixels, self.spec.classes, across=self.ipc < self.spec.classes <= 20))

    def _format(self) -> int:
        """The oldest format that holds it, so that older versions read what they can."""
        if self.generator:
            return FORMAT
        if self.data.formation > 1 or self.keep_as != "float32":
            return 3
        return 1 if self.data.targets is None else 2

    @property
    def nbytes(self) -> int:
        """Bytes of images and soft targets in the file."""
        return stored_bytes(self.data, self.keep_as)


def _digest(data: ImageSet, header: str, generator: State) -> str:
    digest = hashlib.sha256(f"{data.sha256()} {header}".encode())
    for name, tensor in sorted(generator.items()):
        digest.update(f"{name} {tuple(tensor.shape)};".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


class ProxyDataset(torch.utils.data.Dataset[tuple[torch.Tensor, Any]]):
    """A proxy set as a torch `Dataset`, for data loaders and other libraries.

    Gives (normalised image C×H×W, label), or (image, probabilities) where the set has soft targets and `soft` is true.
    Of a formation it gives every tile at full size. `targets` holds the labels, as torchvision's datasets have it.
    """

    def __init__(self, proxy: ProxySet, soft: bool = True) -> None:
        self.proxy = proxy
        data = proxy.data.unfold()
        self.targets = data.labels.tolist()
        self._images, self._answers = data.images, data.targets if soft else None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        answer = self.targets[index] if self._answers is None else self._answers[index]
        return self._images[index], answer
