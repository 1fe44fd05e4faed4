"""Proxy sets kept by what they are, to be used again."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.spec import DatasetSpec
from proxyset.progress import Progress


def store_path(wanted: ProxySpec, session: Session, store: Path, name: str | None = None) -> Path:
    """Where the proxy set is kept: found there if it exists, to be written there if not.

    That is the file that `proxyset build` makes by default if it is the same set, otherwise one with a hash in its
    name, so that sets built with other settings stay apart.

    Args:
        name: of the dataset in the file's name (None: its own).
    """
    stem = wanted.stem if name is None else wanted.stem.replace(wanted.dataset.spec.name, name, 1)
    plain = store / f"{stem}.safetensors"
    if plain.exists() and is_same(ProxySet.load(plain), wanted, session):
        return plain
    digest = hashlib.sha256(json.dumps(_content(wanted, session), sort_keys=True).encode()).hexdigest()[:8]
    return store / f"{stem}-{digest}.safetensors"


def is_same(proxy: ProxySet, wanted: ProxySpec, session: Session) -> bool:
    """Whether a proxy set is the wanted one: made from the same images by the same method, settings and seed.

    Where its data lies and how it was computed play no part: a set that a GPU made serves a machine without one.
    """
    return _lasting(proxy.provenance, proxy.spec) == _content(wanted, session)


def load_or_build(
    wanted: ProxySpec, path: Path, *, session: Session | None = None, progress: Progress | bool | None = None
) -> ProxySet:
    """The wanted proxy set from `path` (see `store_path`), built there first if it is missing.

    Raises:
        InputError, RunError: as `build_file`.
    """
    session = session or Session()
    if path.exists() and is_same(proxy := ProxySet.load(path), wanted, session):
        return proxy
    return build_file(wanted, path, session=session, progress=progress)


def _content(wanted: ProxySpec, session: Session) -> dict[str, Any]:
    return _lasting(wanted.identity(wanted.engine(session)), wanted.dataset.spec)


def _lasting(facts: dict[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    """What of a set's facts says which set it is, as it reads back from a file."""
    data = facts.get("dataset", {})
    form = {key: value for key, value in asdict(spec).items() if key != "name"}
    kept = {key: facts.get(key) for key in ("method", "settings", "ipc", "seed")}
    return json.loads(json.dumps(kept | {"sha256": data.get("sha256"), "form": form}))
