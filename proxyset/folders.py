"""Folders as outputs: recognised by a marker, claimed before any work, replaced whole."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxyset import __version__
from proxyset.claims import REPLACES, Claim, Recognise, follow, not_ours
from proxyset.errors import InputError
from proxyset.files import (
    allowed,
    is_leftover,
    remove_leftovers,
    remove_tree,
    sync_folder,
    write_atomic,
    write_error,
)

MARKER = ".proxyset.json"
"""In every folder that this toolkit makes."""
MARKER_LIMIT = 64 * 2**20


def claim_folder(
    path: Path,
    *,
    kind: str,
    force: bool = False,
    resume: bool = False,
    made_by_us: Recognise | None = None,
    hint: str = REPLACES,
) -> Claim:
    """Claim a folder before any work on it. It is created by `mark` or `replace_folder`, not here.

    An empty folder is free. One of ours is left as it is: with `force` the caller replaces it.

    Args:
        kind: what it holds, as in its marker: "search run".
        force, resume: something of ours may be there.
        made_by_us: see `Recognise` (None: its marker names this `kind`).
        hint: what to do where something of ours is there.

    Raises:
        InputError: something else is there; or it is ours, and neither `force` nor `resume`; another process is writing
            it; the place cannot be written.
        RunError: the disk is full.
    """
    claim = Claim(follow(path))
    try:
        _undo_swap(claim.path)
        claim.existed = _check_folder(path, kind, made_by_us)
        if claim.existed and not (force or resume):
            raise InputError(f"{str(path)!r} exists: {hint}")
        if claim.path.exists() and not os.access(claim.path, os.W_OK | os.X_OK):
            raise InputError(f"cannot write to {str(path)!r}: Permission denied; choose another `out`")
    except BaseException:
        claim.release()
        raise
    remove_leftovers(claim.path)
    remove_leftovers(claim.path / MARKER)
    return claim


def _check_folder(path: Path, kind: str, made_by_us: Recognise | None) -> bool:
    """Whether something of ours is there (False: nothing, or an empty folder)."""
    if not path.exists():
        return False
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is a file: `out` names a folder")
    try:
        if all(is_leftover(entry, MARKER) for entry in os.listdir(path)):
            return False
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}; choose another `out`") from None
    if not (made_by_us(path) if made_by_us is not None else read_marker(path).get("kind") == kind):
        raise not_ours(path, kind)
    return True


def mark(claim: Claim, kind: str, **facts: Any) -> None:
    """Begin a claimed folder: create it, with the marker by which it is recognised from then on.

    Raises:
        InputError: it cannot be written.
        RunError: the disk is full.
    """
    try:
        claim.make_folder()
    except OSError as error:
        raise write_error(claim.path, error) from None
    write_marker(claim.path, kind, **facts)


def write_marker(folder: Path, kind: str, **facts: Any) -> None:
    """Say in a folder that this toolkit made it."""
    marker = {"made_by": "proxyset", "kind": kind, "version": __version__, **facts}
    write_atomic(folder / MARKER, (json.dumps(marker, indent=1) + "\n").encode())


def read_marker(folder: Path) -> dict[str, Any]:
    """What the marker of a folder says; empty where this toolkit did not make it."""
    try:
        with open(folder / MARKER, "rb") as file:
            marker = json.loads(file.read(MARKER_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return marker if isinstance(marker, dict) and marker.get("made_by") == "proxyset" else {}


def replace_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder anew: the old one goes only when the new one is complete and on disk. Only for who has claimed it.

    Args:
        fill: writes all that the folder shall hold into the temporary folder that it is given.

    Raises:
        InputError, RunError: as `fill` and `write_atomic` raise them; the old folder is still there.
    """
    if path.exists() and path.samefile(Path()):
        raise InputError(f"{str(path)!r} is the current folder: name another `out`")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise write_error(path, error) from None
    old = temporary.with_suffix(".old")
    try:
        temporary.chmod(allowed(0o777))
        fill(temporary)
        if path.exists():
            os.rename(path, old)  # a kill from here to the next line is put right by the next claim: see `_undo_swap`
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        _undo_swap(path)
        remove_tree(temporary)
        remove_tree(old)


def _undo_swap(path: Path) -> None:
    """Put back the old folder where `replace_folder` stopped between its two renames."""
    if path.exists() or not path.parent.is_dir():
        return
    for entry in os.listdir(path.parent):
        if is_leftover(entry, path.name) and entry.endswith(".old"):
            os.rename(path.parent / entry, path)
            return
