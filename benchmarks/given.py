"""What scripts that condense a dataset share: their arguments, and sets that are learned within a time."""

import argparse
from pathlib import Path

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.within import earlier_choice, fit_within
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.data.spec import Dataset


def parser_for(doc: str, out: str) -> argparse.ArgumentParser:
    """The arguments that name a dataset and a folder.

    Args:
        doc: of the script; its first line says what it does.
        out: the folder, where none is named.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("dataset", help="name, or path of a folder, .npz or .parquet")
    parser.add_argument("--data-root", default="data", help="where torchvision's datasets lie")
    parser.add_argument("--no-flip", action="store_true", help="a mirrored image is another")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for what is made and measured")
    return parser


def dataset_of(given: argparse.Namespace) -> Dataset:
    return load(given.dataset, data_root=given.data_root, flip=False if given.no_flip else None)


def learned_within(
    wanted: ProxySpec, seconds: float, path: Path, session: Session, *, progress: bool = False
) -> ProxySet:
    """The set that a time allows; a call that was stopped goes on with its choice."""
    chosen = earlier_choice(wanted, seconds, path, session)
    fitted, session = chosen or fit_within(wanted, seconds, session, keep_folder(path))
    return build_file(fitted, path, session=session, progress=progress)
