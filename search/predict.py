"""Pictures classified by a kept network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from proxyset.data.decode import decode
from proxyset.data.form import Decoding
from proxyset.data.spec import normalise
from search.network import Network

AT_ONCE = 256  # pictures


def classify(network: Network, pictures: Sequence[Path], top: int = 1) -> list[dict[str, Any]]:
    """The classes of pictures, which are brought to the form that the network was trained on.

    Args:
        top: how many classes of each picture, the most probable first.

    Returns:
        For each picture its `file` and its `classes`: pairs of a name and a probability (0..1).

    Raises:
        InputError: a picture that cannot be read; see also `Network.build`.
    """
    spec, data = network.spec, network.facts.get("dataset", {})
    how = {name: data[name] for name in ("resize", "background") if name in data}
    form = Decoding(spec.size, spec.channels, on_error=None, **how)
    net = network.build()
    images = decode(((str(path), path) for path in pictures), len(pictures), form).images
    with torch.no_grad():
        shares = torch.cat([net(normalise(part, spec)).softmax(1) for part in images.split(AT_ONCE)])
    values, labels = shares.topk(min(top, spec.classes))
    return [
        {"file": str(path), "classes": [(spec.class_names[label], value) for label, value in zip(*one, strict=True)]}
        for path, one in zip(pictures, zip(labels.tolist(), values.tolist(), strict=True), strict=True)
    ]
