"""What other work can use again: made once, known by what it is made from, in memory and, where asked for, in a folder.

The folder is a cache of this toolkit's own: a file that is damaged is said and made again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxyset.checkpoint import Checkpoint, State, read_step
from proxyset.claims import Claim
from proxyset.compute.session import Session
from proxyset.errors import BusyError, InputError
from proxyset.files import remove_leftovers, write_atomic
from proxyset.methods.base import Context
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes

KEY = "kept"  # of the header
WAIT_SECONDS = 1.0

Form = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""The type and shape of every tensor, by name."""


@dataclass(frozen=True)
class Wanted:
    """Something that is made once.

    Attributes:
        kind: what it is, as its file is called: "teacher".
        facts: all that determines its content, as JSON has it.
        form: the tensors that it is made of.
    """

    kind: str
    facts: Mapping[str, Any]
    form: Form

    @cached_property
    def digest(self) -> str:
        text = json.dumps([self.kind, self.facts], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def path(self, folder: Path) -> Path:
        return folder / f"{self.kind}-{self.digest[:16]}.safetensors"

    def exists(self, session: Session, folder: Path | None) -> bool:
        """Whether it is kept; a file is not opened."""
        return self.digest in session.kept or (folder is not None and self.path(folder).exists())

    def steps_done(self, folder: Path | None) -> int:
        """The steps that unfinished work left of it in a folder."""
        return 0 if folder is None else read_step(_unfinished(self.path(folder)))


def obtain(wanted: Wanted, context: Context, make: Callable[[Path | None], State]) -> State:
    """What is wanted: as it is kept, or made now and kept. One that another process is making is waited for.

    Where the folder cannot be written, it is made for this process alone, which the session says.

    Args:
        make: makes it. It is given where the state of unfinished work is kept (None: nowhere).

    Raises:
        RunError: the disk is full, or the work failed.
    """
    kept = context.session.kept
    if wanted.digest not in kept:
        found = make(None) if context.keep is None else _from_folder(wanted, context.keep, context.session, make)
        kept[wanted.digest] = found
    return kept[wanted.digest]


def _from_folder(wanted: Wanted, folder: Path, session: Session, make: Callable[[Path | None], State]) -> State:
    path = wanted.path(folder)
    while True:
        found = _read(wanted, path, session)
        if found is not None:
            return found
        try:
            claim = Claim(path)
        except BusyError:
            session.say_once(f"another process is making {str(path)!r}: waiting for it")
            time.sleep(WAIT_SECONDS)
            continue
        except InputError as error:  # a set of somebody else's, in a folder that is theirs
            session.say_once(f"{error}; what is made is not kept")
            return make(None)
        with claim:
            found = _read(wanted, path, session)  # it may have been finished between the look and the claim
            return found if found is not None else _make(wanted, path, make)


def _make(wanted: Wanted, path: Path, make: Callable[[Path | None], State]) -> State:
    """Only for who has claimed `path`."""
    unfinished = _unfinished(path)
    for one in (path, unfinished):
        remove_leftovers(one)
    state = make(unfinished)
    write_atomic(path, write_bytes(state, seal(state, {"facts": wanted.facts}, KEY)))
    unfinished.unlink(missing_ok=True)
    return state


def _read(wanted: Wanted, path: Path, session: Session) -> State | None:
    """None where there is nothing that can be used."""
    if not path.exists():
        return None
    where = repr(str(path))
    try:
        state, texts = read_tensors(path)
        header = check_seal(state, texts, KEY, where)
        if header != {"facts": json.loads(json.dumps(wanted.facts))} or form_of(state) != wanted.form:
            raise InputError(f"{where} is not what its name says")
    except InputError as error:
        session.say_once(f"{error}; it is made again")
        return None
    return state


def form_of(state: Mapping[str, Tensor]) -> Form:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()}


def _unfinished(path: Path) -> Path:
    return path.with_suffix(".checkpoint")


class Unfinished(Checkpoint):
    """The state of work on something that is kept, on disk after every step; one of no use is said and made again."""

    def __init__(self, path: Path, identity: dict[str, Any], session: Session) -> None:
        super().__init__(path, 1, identity)
        self._session = session

    def restore(self) -> State | None:
        try:
            return super().restore()
        except InputError as error:
            reason = str(error).split(";")[0]  # what follows is advice for a user's own checkpoint
            self._session.say_once(f"{reason}; started over")
            self.remove()
            return None
