"""Proxy sets kept by what they are, to be used again."""

import contextlib
import hashlib
import json
from pathlib import Path

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import checkpoint_path, claim_set
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.same import content_of, is_same
from proxyset.checkpoint import is_of, read_identity
from proxyset.compute.session import Session
from proxyset.errors import InputError, RunError
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
    digest = hashlib.sha256(json.dumps(content_of(wanted, session), sort_keys=True).encode()).hexdigest()[:8]
    return store / f"{stem}-{digest}.safetensors"


def tidy(proxy: ProxySet, path: Path) -> None:
    """Remove what a process left beside a finished set that was killed right after it had written it.

    A checkpoint of other work stays: somebody began that with `force`, and may go on with it.
    """
    unfinished = checkpoint_path(path)
    if not unfinished.exists() and not path.with_name(f".{path.name}.lock").exists():
        return
    with contextlib.suppress(InputError, RunError), claim_set(path, resume=True, picture=False):
        begun = read_identity(unfinished)  # the claim's lock goes with it; nothing happens where somebody works on it
        begun.pop("compile", None)  # a set says how compiling ended, a checkpoint how it was meant
        if begun and begun == {name: proxy.provenance.get(name) for name in begun}:
            unfinished.unlink()


def load_or_build(
    wanted: ProxySpec, path: Path, *, session: Session | None = None, progress: Progress | bool | None = None
) -> ProxySet:
    """The wanted proxy set from `path` (see `store_path`), built there first if it is missing.

    Raises:
        InputError, RunError: as `build_file`; above all where another process is building it at this moment.
    """
    session = session or Session()
    if path.exists() and is_same(proxy := ProxySet.load(path), wanted, session):
        tidy(proxy, path)
        return proxy
    unfinished = checkpoint_path(path)
    stale = unfinished.exists() and not is_of(unfinished, wanted.identity(wanted.engine(session)))
    if stale:  # the same set, begun on another device or compiled otherwise: its bits would not be those of either
        session.say_once(f"{unfinished.name} was begun in another way and is started over")
    return build_file(wanted, path, session=session, progress=progress, force=stale and not path.exists())
