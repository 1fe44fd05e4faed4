"""Which files this toolkit made, and the claim on those that make up one proxy set."""

from pathlib import Path

from proxyset.claims import REPLACES, Claim, check_file, claim_file
from proxyset.errors import InputError
from proxyset.files import remove_leftovers

HEAD = 2**16
"""Bytes at the beginning of a file in which the signs below are looked for."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def checkpoint_path(path: Path) -> Path:
    """Where the state of an unfinished artefact is."""
    return path.with_suffix(".checkpoint")


def picture_path(path: Path) -> Path:
    """Where the picture of an artefact is."""
    return path.with_suffix(".png")


def keep_folder(path: Path) -> Path:
    """Where lies what the work on an artefact can share with other work, such as teachers."""
    return path.parent / "teachers"


def trace_path(path: Path) -> Path:
    """Where the picture of an artefact's trace is."""
    return path.with_name(f"{path.stem}-trace.png")


def film_path(path: Path) -> Path:
    """Where the film of an artefact is: its images after some steps."""
    return path.with_suffix(".film")


def film_pictures(path: Path) -> tuple[Path, Path]:
    """Where a film is drawn: as a strip, and as an animation."""
    return path.with_name(f"{path.stem}-strip.png"), path.with_name(f"{path.stem}-film.png")


def is_artefact(path: Path) -> bool:
    """Whether a file begins as a proxy set does; the rest of it may be damaged."""
    head = _head(path)
    return b'"__metadata__"' in head and b'"proxyset"' in head


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as a checkpoint does; the rest of it may be damaged."""
    head = _head(path)
    return b'"__metadata__"' in head and b'"checkpoint"' in head


def is_film(path: Path) -> bool:
    """Whether a file begins as a film does; the rest of it may be damaged."""
    head = _head(path)
    return b'"__metadata__"' in head and b'"film"' in head


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG that names this toolkit as its software."""
    before_pixels = _head(path).split(b"IDAT")[0]
    return before_pixels.startswith(SIGNATURE) and b"tEXtSoftware\0proxyset" in before_pixels


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def claim_set(path: Path, *, resume: bool = False, force: bool = False, picture: bool = True) -> Claim:
    """Claim the file of a proxy set, the checkpoint beside it and, if it gets one, its picture.

    Args:
        resume: go on from a checkpoint. An artefact may be there; the caller sees whether it is the wanted one.
        force: replace an artefact and a picture, and start over where there is a checkpoint.

    Raises:
        InputError: something is there that must not be replaced; another process is writing it; it cannot be written.
        RunError: the disk is full.
    """
    claim = claim_file(
        path,
        kind="proxy set",
        made_by_us=is_artefact,
        force=force or resume,
        suffixes=(".safetensors",),
    )
    try:
        unfinished = checkpoint_path(path)
        begun = check_file(unfinished, kind="checkpoint", made_by_us=is_checkpoint, force=True)
        if begun and not (force or resume):
            raise InputError(
                f"an unfinished run left {str(unfinished)!r}: `resume=True` goes on, `force=True` starts over"
            )
        if picture:
            check_file(picture_path(path), kind="picture", made_by_us=is_picture, force=force or resume, hint=REPLACES)
    except BaseException:
        claim.release()
        raise
    for one in (unfinished, picture_path(path)) if picture else (unfinished,):
        remove_leftovers(one)
    return claim
