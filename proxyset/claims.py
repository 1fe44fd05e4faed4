"""Outputs are claimed before any work: what a user made is never replaced, and two processes never write one output.

Folders as outputs are in `proxyset.folders`.
"""

import contextlib
import fcntl
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path

from proxyset.errors import BusyError, InputError
from proxyset.files import make_folder, remove_empty, remove_leftovers, write_error

LOG = logging.getLogger("proxyset")

REPLACES = "`force=True` replaces it, `out` names another place"
HELD_BY = "PID "  # how the content of a lock file begins

Recognise = Callable[[Path], bool]
"""Whether this toolkit made what is at a path. It may raise `InputError` with words of its own."""


class Claim:
    """The right to write one output, held by one process until it is released or the process ends.

    A lock on `.NAME.lock` beside the output: a crash releases it, and a leftover lock file does no harm.

    Attributes:
        path: where to write: the place that was asked for, or where it leads if it is a symbolic link.
        existed: whether there was something to replace or to go on with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.existed = False
        place = Path(os.path.abspath(path))
        self._lock = place.with_name(f".{place.name}.lock")
        self._folders: list[Path] = []
        self._handle: int | None = None
        try:
            self._folders = make_folder(self.path.parent)
            self._handle = _open_locked(self._lock, path)
        except OSError as error:
            remove_empty(self._folders)
            raise write_error(path, error) from None
        except BaseException:
            remove_empty(self._folders)
            raise

    def make_folder(self) -> None:
        """Create the output itself, where that is a folder."""
        self._folders += make_folder(self.path)

    def release(self) -> None:
        """Let others have it. Folders that were created for it and are still empty go."""
        if self._handle is not None:
            self._lock.unlink(missing_ok=True)  # while the lock is held: see `_open_locked`
            os.close(self._handle)
            self._handle = None
            remove_empty(self._folders)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _open_locked(lock: Path, path: Path) -> int:
    """The open lock file, locked.

    Who releases a lock removes its file, so a lock may be had on a file that is no longer there: then try again.
    """
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").split("\n")[0]
            os.close(handle)
            raise BusyError(
                f"{str(path)!r} is being written by another process ({holder or 'just started'}): "
                "wait for it, or name another `out`"
            ) from None
        except OSError as error:  # a filesystem without locks
            LOG.warning("%s cannot be locked (%s): start no second process that writes it", path, error.strerror)
        try:
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                _sign(handle, lock)
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _sign(handle: int, lock: Path) -> None:
    """Write into a lock file who holds it."""
    before = os.pread(handle, len(HELD_BY), 0)
    if before and before != HELD_BY.encode():
        raise InputError(f"{str(lock)!r} is not a lock of this program: remove it yourself or name another `out`")
    with contextlib.suppress(OSError):  # a full disk: the lock holds without the number
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{HELD_BY}{os.getpid()} on {platform.node()}\n".encode(), 0)


def claim_file(
    path: Path,
    *,
    kind: str,
    made_by_us: Recognise,
    force: bool = False,
    suffixes: tuple[str, ...] = (),
    hint: str = REPLACES,
) -> Claim:
    """Claim a file before any work on it.

    Args:
        kind: what is written, for messages: "picture".
        made_by_us: see `Recognise`; what it does not know is never replaced.
        force: replace what is there.
        suffixes: one of which the name must end in.
        hint: what to do where something of ours is there.

    Raises:
        InputError: see `check_file`; or another process is writing it, or the folder cannot be written.
        RunError: the disk is full.
    """
    check_suffix(path, kind, suffixes)
    claim = Claim(follow(path))
    try:
        claim.existed = _check(claim.path, path, kind, made_by_us, None if force else hint)
    except BaseException:
        claim.release()
        raise
    remove_leftovers(claim.path)
    return claim


def check_file(path: Path, *, kind: str, made_by_us: Recognise, force: bool = False, hint: str = REPLACES) -> bool:
    """Whether there is a file that may be replaced (False: nothing is there).

    Raises:
        InputError: something is there and not `force`, or not made by this toolkit; a link that leads nowhere.
    """
    return _check(follow(path), path, kind, made_by_us, None if force else hint)


def _check(target: Path, path: Path, kind: str, made_by_us: Recognise, hint: str | None) -> bool:
    """`check_file` where `path` leads to `target`; without a `hint` it may be replaced."""
    if not target.exists():
        return False
    if target.is_dir():
        raise InputError(f"{str(path)!r} is a folder: `out` names a file")
    if not target.is_file() or not made_by_us(target):
        raise not_ours(path, kind)
    if hint is not None:
        raise InputError(f"{str(path)!r} exists: {hint}")
    return True


def check_suffix(path: Path, kind: str, suffixes: tuple[str, ...]) -> None:
    """Raise `InputError` where the name of `path` ends otherwise."""
    if suffixes and path.suffix not in suffixes:
        raise InputError(f"`out` names the {kind}, which ends in {' or '.join(suffixes)}, got {str(path)!r}")


def not_ours(path: Path, kind: str) -> InputError:
    """The refusal that no `force` changes."""
    return InputError(
        f"{str(path)!r} exists and is no {kind} of this program's (or is damaged): remove it or name another `out`"
    )


def follow(path: Path) -> Path:
    """Where a symbolic link leads, said in a line; `path` itself where it is none.

    Raises:
        InputError: it leads nowhere, or `path` cannot be the name of an output.
    """
    try:
        if not path.is_symlink():
            path = path if path.name not in ("", "..") else Path(os.path.realpath(path))
            if not path.name or "\0" in str(path):
                raise InputError(f"{str(path)!r} cannot be written: name another `out`")
            return path
        if path.exists():
            target = Path(os.path.realpath(path))
            LOG.warning("%s is a symbolic link: it stands for %s", path, target)
            return target
    except (OSError, ValueError) as error:  # a name that is too long, or holds NUL
        raise InputError(f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    raise InputError(f"{str(path)!r} is a symbolic link that leads nowhere: name another `out`")
