"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

from proxyset.errors import InputError, RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What goes wrong with a disk while work runs, through no mistake in the input."""
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)
"""What some filesystems answer where a folder is to be synced."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part.

    A symbolic link stays one: the file that it leads to is written.

    Raises:
        InputError: the folder cannot be created or written.
        RunError: the disk is full or failing; the old file is still there.
    """
    made: list[Path] = []
    temporary = None
    try:
        path = target_of(path)
        made = make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, allowed(0o666))
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            remove_empty(made)


def append_line(path: Path, line: str) -> None:
    """Add one line to a file, and have it on disk before returning. What was there before stays whole in any case.

    Raises:
        InputError: the file cannot be opened.
        RunError: the disk is full or failing; the file is as it was.
    """
    try:
        new = not path.exists()
        with open(path, "ab", buffering=0) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                rest = line.encode() + b"\n"
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), before)
                raise
        if new:
            sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from None


def drop_torn_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that lines can be appended."""
    if path.is_file():
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            write_atomic(path, data[:whole])


def begins_with(path: Path, opening: str) -> bool:
    """Whether a file can be read, and begins with these letters."""
    expected = opening.encode()
    try:
        with open(path, "rb") as file:
            return file.read(len(expected)) == expected
    except OSError:
        return False


def target_of(path: Path) -> Path:
    """Where a symbolic link leads; `path` itself where it is none."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def in_full(path: Path) -> Path:
    """The path from the root, with a home in place of `~`; a home of nobody stays as it is."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        return path.absolute()


def write_error(path: Path, error: OSError) -> InputError | RunError:
    """What a person is told where `path` could not be written: a full disk is no mistake in the input."""
    kind = RunError if error.errno in FULL else InputError
    return kind(f"cannot write {str(path)!r}: {error.strerror or error}")


def make_folder(folder: Path) -> list[Path]:
    """Create a folder and those above it; those that were not there yet, innermost last.

    Raises:
        OSError: it cannot be created; nothing is left behind.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()][::-1]
    made: list[Path] = []
    try:
        for one in missing:
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(one)
                made.append(one)
                sync_folder(one.parent)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove those of `folders` (as `make_folder` gives them) that are still empty."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def sync_folder(folder: Path) -> None:
    """Have on disk which files a folder holds: without it, a power cut can undo a rename."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """Raise `InputError` now rather than after hours of work if nothing can be written to `folder`.

    The folder need not exist, and is not created.
    """
    nearest = next(one for one in (folder, *folder.parents, Path("/")) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {str(folder)!r}: {error.strerror}; choose another `out`") from None


def is_leftover(entry: str, name: str) -> bool:
    """Whether a file called `entry` is what `write_atomic` or `replace_folder` of a killed process left for `name`."""
    return re.fullmatch(rf"\.{re.escape(name)}\.[a-z0-9_]{{8}}\.(part|old)", entry) is not None


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` left beside it. Only for who has claimed it."""
    path = target_of(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.listdir(path.parent):
            if is_leftover(entry, path.name):
                remove_tree(path.parent / entry)


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all that it holds; a link itself and not where it leads."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def allowed(mode: int) -> int:
    """The permissions that a new file or folder gets where a program asks for `mode`."""
    mask = os.umask(0)
    os.umask(mask)
    return mode & ~mask
