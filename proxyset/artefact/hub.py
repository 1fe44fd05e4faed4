"""A proxy set as the repository of a hub: a table that Hugging Face `datasets` loads, the exact file, and a card.

    data/train.parquet      image (8 bits), label, target where there are soft ones, normalised (float32)
    NAME.safetensors        the set itself, as `ProxySet.load` reads it
    README.md               what it is, how it scored, how to train on it

Nothing in it says where on a disk the real images lay.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from proxyset.artefact.card import card
from proxyset.artefact.export import write_table
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.hub import is_hub_name
from proxyset.data.load import NAMES
from proxyset.files import write_atomic
from proxyset.names import path_name


def to_hub(whole: ProxySet, trained_on: ProxySet, pixels: Tensor, path: Path) -> None:
    """Write the repository of a set into an empty folder.

    Args:
        whole: as it is stored.
        trained_on: the same, of a formation its tiles at full size.
        pixels: the images of that, 8 bits.
    """
    whole = without_places(whole)
    method = str(whole.provenance.get("method", "set")).replace(":", ".")
    name = f"{path_name(f'{whole.spec.name}-{method}-ipc{whole.ipc}')}.safetensors"
    write_table(trained_on, pixels, path / "data" / "train.parquet", exact=True)
    whole.save(path / name)
    write_atomic(path / "README.md", card(whole, name).encode(errors="replace"))


def without_places(proxy: ProxySet) -> ProxySet:
    """The set without the path that its real images were read from; the name of a known dataset stays."""
    source = proxy.provenance.get("dataset", {})
    place = str(source.get("source", ""))
    if place in NAMES or is_hub_name(place):
        return proxy
    shared = {key: value for key, value in source.items() if key != "source"}
    return replace(proxy, provenance=proxy.provenance | ({"dataset": shared} if source else {}))
