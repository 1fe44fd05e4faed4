"""Where in a folder the classes, the training split and the test split are."""

from dataclasses import dataclass
from pathlib import Path

from proxyset.errors import InputError

TRAIN = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation")
THUMBNAILS = frozenset({"thumbnails", "thumbs"})
PASSED_OVER = THUMBNAILS | {"__macosx", "thumbs.db", ".ds_store", "desktop.ini", "@eadir", "$recycle.bin"}


@dataclass(frozen=True)
class Layout:
    """
    Attributes:
        root: holds the splits, or the classes where there are no splits; a table of soft targets lies there.
        train: holds the class folders.
        test: holds those of the test split; None where there is none.
        notes: what was left out, and what stands for the test split.
    """

    root: Path
    train: Path
    test: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is split yet."""
        return self.train == self.root


def find_layout(path: Path) -> Layout:
    """Look for splits, or classes, in a folder or one level down.

    Splits may be called train or training, test or testing, and val, valid or validation, in any case. A split holds
    folders: beside other classes, a folder of images is a class, whatever it is called. A validation split is the test
    split where there is no other. One level down: in `data/`, or in a single folder of folders.

    Raises:
        InputError: a split under two names, or a folder that cannot be listed.
    """
    folders = folders_in(path)
    if _split(folders, TRAIN, path) is None:
        inner = _one_level_down(path, folders)
        if inner is not None:
            path, folders = inner, folders_in(inner)
    train = _split(folders, TRAIN, path)
    if train is None:
        return Layout(path, path)
    classified = [folder for folder in folders if folders_in(folder)]  # not the pictures that a contest is to classify
    test, validation = _split(classified, TEST, path), _split(classified, VALIDATION, path)
    notes = [f"{validation.name}/ is the test split"] if validation is not None and test is None else []
    unused = [folder for folder in folders if folder not in (train, test or validation)]
    notes += [f"{folder.name}/ left out" for folder in unused]
    return Layout(path, train, test or validation, tuple(notes))


def _one_level_down(path: Path, folders: list[Path]) -> Path | None:
    """A `data` folder with splits in it, or the only folder where that holds folders and no files."""
    for folder in folders:
        if folder.name.lower() == "data" and _split(folders_in(folder), TRAIN, folder) is not None:
            return folder
    if len(folders) == 1 and folders_in(folders[0]) and not files_in(folders[0]):
        return folders[0]
    return None


def _split(folders: list[Path], names: tuple[str, ...], path: Path) -> Path | None:
    splits = all(folder.name.lower() in (*TRAIN, *TEST, *VALIDATION) for folder in folders)
    matching = [folder for folder in folders if folder.name.lower() in names and (splits or folders_in(folder))]
    if len(matching) > 1:
        both = " and ".join(f"{folder.name}/" for folder in matching)
        raise InputError(f"{str(path)!r} has {both}; leave one")
    return matching[0] if matching else None


def folders_in(path: Path) -> list[Path]:
    """Its folders in the order of their names, without those that no person made."""
    return [entry for entry in entries(path) if entry.is_dir()]


def files_in(path: Path) -> list[Path]:
    """Everything in it that is no folder, in the order of the names, without what no person made."""
    return [entry for entry in entries(path) if not entry.is_dir()]


def thumbnails(path: Path) -> list[Path]:
    """Folders in it that are passed over for their name, though they may be a class."""
    return sorted(entry for entry in path.iterdir() if entry.name.lower() in THUMBNAILS and entry.is_dir())


def entries(path: Path) -> list[Path]:
    """What a folder holds, without hidden files, thumbnails and what systems leave behind.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        return sorted(
            entry
            for entry in path.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in PASSED_OVER
        )
    except OSError as error:
        raise InputError(f"cannot list {str(path)!r}: {error.strerror}") from None
