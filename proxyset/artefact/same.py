"""Whether a proxy set is the wanted one."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.spec import DatasetSpec

if TYPE_CHECKING:
    from proxyset.artefact.build import ProxySpec

PLAIN = "float32"  # how sets are kept where nothing else is asked for


def is_same(proxy: ProxySet, wanted: "ProxySpec", session: Session) -> bool:
    """Whether a proxy set is the wanted one: made from the same images by the same method, settings and seed.

    Where its data lies and how it was computed play no part: a set that a GPU made serves a machine without one.
    """
    return _lasting(proxy.provenance, proxy.spec) == content_of(wanted, session)


def content_of(wanted: "ProxySpec", session: Session) -> dict[str, Any]:
    """What says which set is wanted."""
    return _lasting(wanted.identity(wanted.engine(session)), wanted.dataset.spec)


def _lasting(facts: dict[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    """What of a set's facts says which set it is, as it reads back from a file."""
    data = facts.get("dataset", {})
    kept = {key: facts.get(key) for key in ("method", "settings", "ipc", "seed")}
    kept |= {key: facts[key] for key in ("held_out", "learner") if key in facts}
    if facts.get("keep_as", PLAIN) != PLAIN:  # what sets were made with that do not say it
        kept["keep_as"] = facts["keep_as"]
    return json.loads(json.dumps(kept | {"sha256": data.get("sha256"), "form": form_of(spec)}))


def form_of(spec: DatasetSpec) -> dict[str, Any]:
    """What a description says of the images, whatever the dataset is called."""
    return {key: value for key, value in asdict(spec).items() if key != "name"}
