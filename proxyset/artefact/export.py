"""A proxy set as files that other tools read, and that `load` reads back as a dataset."""

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset import __version__
from proxyset.artefact.proxy_set import ProxySet
from proxyset.claims import Claim, claim_file
from proxyset.data.folder import TARGETS as TABLE
from proxyset.data.layout import PASSED_OVER
from proxyset.data.npz import EXPORT as MEMBER
from proxyset.data.npz import TARGETS as ARRAY
from proxyset.data.parquet import TARGET as COLUMN
from proxyset.data.picture import png
from proxyset.data.spec import to_pixels
from proxyset.data.split import FLIP
from proxyset.data.tiles import FORMATION
from proxyset.errors import InputError
from proxyset.files import write_atomic
from proxyset.folders import MARKER, claim_folder, read_marker, replace_folder, write_marker
from proxyset.names import path_name

Writer = Callable[[ProxySet, Tensor, Path], None]
"""Of one format: set, pixels, and the file or the empty folder to write to."""

FORMATS = ("folder", "npz", "parquet", "hub")
KIND = "export"
EXACT = "normalised"  # column of the images as networks see them


def claim_export(path: Path, form: str, *, force: bool = False) -> Claim:
    """Claim the file or folder of an export.

    Args:
        force: replace an earlier export, if it holds nothing else by now.

    Raises:
        InputError: something is there that must not be replaced; the place cannot be written.
        RunError: the disk is full.
    """
    if form == "npz":
        return claim_file(path, kind=KIND, made_by_us=is_export, force=force, suffixes=(".npz",))
    return claim_folder(path, kind=KIND, made_by_us=is_export, force=force)


def is_export(path: Path) -> bool:
    """Whether `export` wrote all that is at `path`: an .npz, or a folder.

    Raises:
        InputError: it wrote the folder, to which other files were added later.
    """
    if path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                return f"{MEMBER}.npy" in archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
            return False
    marker = read_marker(path)
    if marker.get("kind") != KIND or not isinstance(marker.get("files"), list):
        return False
    written = {MARKER, *map(str, marker["files"])}
    added = next((file for file in _files_below(path) if file not in written), None)
    if added is not None:
        raise InputError(f"{str(path / added)!r} is no part of the export: move it away or name another `out`")
    return True


def _files_below(folder: Path) -> Iterator[str]:
    """What is in a folder and those below it, but for folders that hold something themselves."""
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        empty = [] if folders or files or root == str(folder) else [""]
        for name in (*files, *links, *empty):
            yield os.path.relpath(os.path.join(root, name), folder)


def export(proxy: ProxySet, path: Path, form: str, *, stored: bool = False, force: bool = False) -> float:
    """Write the set to `path`: a folder of PNGs under train/CLASS/, an .npz, a folder with train.parquet, or the folder
    of a hub's repository (`proxyset.artefact.hub`).

    Of a formation every tile is written at full size, as networks train on it.

    Pixels are 8-bit, as those tools expect. The .npz also holds the exact float images as `normalised`. Soft targets go
    into the array `targets`, the column `target`, or the table targets.csv; `load` reads all three.

    What was there stays until the new export is complete.

    Args:
        stored: write the images of a formation as they are stored, with soft targets for each of their tiles: pictures
            to look at, which `load` refuses. The marker, the array or the metadata `formation` says how many tiles.
        force: replace an earlier export.

    Returns:
        The share of values that lay outside 0..255 and were clipped.

    Raises:
        InputError: something is there that must not be replaced; the place cannot be written.
        RunError: the disk is full.
    """
    from proxyset.artefact.hub import to_hub  # it stands on this module

    hub: Writer = partial(to_hub, proxy)
    write = {"folder": _to_folder, "npz": _to_npz, "parquet": _to_parquet, "hub": hub}[form]
    if stored and form == "hub":
        raise InputError(
            "`stored` writes pictures to look at, and what is for a hub is a dataset: leave one of them out"
        )
    proxy = proxy if stored else replace(proxy, data=proxy.data.unfold())
    pixels = to_pixels(proxy.data.images, proxy.spec)
    with claim_export(path, form, force=force) as claim:
        if form == "npz":
            write(proxy, pixels, claim.path)
        else:
            replace_folder(claim.path, lambda folder: _fill(folder, write, proxy, pixels))
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (proxy.spec.mean, proxy.spec.std))
    values = proxy.data.images * std + mean
    return ((values < -0.5 / 255) | (values > 1 + 0.5 / 255)).float().mean().item()


def _png(pixels: Tensor) -> bytes:
    return png(pixels.permute(1, 2, 0).squeeze(-1) if len(pixels) == 1 else pixels.permute(1, 2, 0))


def _fill(folder: Path, write: Writer, proxy: ProxySet, pixels: Tensor) -> None:
    """An export into an empty folder, with the marker that lists its files."""
    write(proxy, pixels, folder)
    tiles = {FORMATION: proxy.data.formation} if proxy.data.formation > 1 else {}
    write_marker(folder, KIND, files=sorted(_files_below(folder)), **{FLIP: proxy.spec.flip}, **tiles)


def _to_folder(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    counts = [0] * proxy.spec.classes
    width = len(str(proxy.spec.classes - 1))
    names = [path_name(name) for name in proxy.spec.class_names]
    ordered = names == sorted(set(names)) and PASSED_OVER.isdisjoint(map(str.lower, names))
    files = []
    for image, label in zip(pixels, proxy.data.labels.tolist(), strict=True):
        # Folders are read back in alphabetical order, and some names are passed over; a number in front keeps the
        # labels where that would change them.
        folder = names[label] if ordered else f"{label:0{width}d}-{names[label]}"
        files.append(f"train/{folder}/{counts[label]:04d}.png")
        write_atomic(path / files[-1], _png(image))
        counts[label] += 1
    if proxy.data.targets is not None:
        folders = names if ordered else [f"{label:0{width}d}-{name}" for label, name in enumerate(names)]
        tiles = proxy.data.formation**2
        files = [file for file in files for _ in range(tiles)]
        write_atomic(path / TABLE, _table(files, folders, proxy.data.targets.flatten(0, -2)))


def _table(files: list[str], classes: list[str], targets: Tensor) -> bytes:
    """Soft targets as CSV: a line per file with a probability for each class, to nine digits, which is exact."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", *classes])
    for file, row in zip(files, targets.tolist(), strict=True):
        writer.writerow([file, *(f"{value:.9g}" for value in row)])
    return buffer.getvalue().encode()


def _to_npz(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    buffer = io.BytesIO()
    more: dict[str, Any] = {MEMBER: np.array(json.dumps({"made_by": "proxyset", "version": __version__}))}
    if proxy.data.targets is not None:
        more[ARRAY] = proxy.data.targets.numpy()
    if proxy.data.formation > 1:
        more[FORMATION] = np.array(proxy.data.formation)
    more[FLIP] = np.array(proxy.spec.flip)
    np.savez_compressed(
        buffer,
        x_train=pixels.permute(0, 2, 3, 1).numpy(),
        y_train=proxy.data.labels.numpy(),
        class_names=np.array(proxy.spec.class_names),
        normalised=proxy.data.images.numpy(),
        mean=np.array(proxy.spec.mean),
        std=np.array(proxy.spec.std),
        **more,
    )
    write_atomic(path, buffer.getvalue())


def _nested(values: np.ndarray) -> Any:
    """N×C×H×W numbers as lists of lists of lists, without a Python object for each number."""
    import pyarrow as pa

    array = pa.array(values.reshape(-1))
    for length in reversed(values.shape[1:]):
        offsets = pa.array(np.arange(0, len(array) + 1, length, dtype=np.int32))
        array = pa.ListArray.from_arrays(offsets, array)
    return array


def _to_parquet(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    write_table(proxy, pixels, path / "train.parquet")


def write_table(proxy: ProxySet, pixels: Tensor, path: Path, exact: bool = False) -> None:
    """An image table as Hugging Face lays it out: PNGs, labels and, where there are any, soft targets.

    Args:
        exact: also the float images, in normalised space, as a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    features: dict[str, dict[str, object]] = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(proxy.spec.class_names)},
    }
    images = [{"bytes": _png(image), "path": None} for image in pixels]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, image_type), "label": pa.array(proxy.data.labels.tolist(), pa.int64())}
    if proxy.data.targets is not None:
        kind: Any = pa.list_(pa.float32())
        features[COLUMN] = {"_type": "Sequence", "feature": {"_type": "Value", "dtype": "float32"}}
        if proxy.data.formation > 1:  # a list for every tile
            kind, features[COLUMN] = pa.list_(kind), {"_type": "Sequence", "feature": features[COLUMN]}
        columns[COLUMN] = pa.array(proxy.data.targets.tolist(), kind)
    if exact:
        shape = list(proxy.data.images.shape[1:])
        features[EXACT] = {"_type": "Array3D", "shape": shape, "dtype": "float32"}
        columns[EXACT] = _nested(proxy.data.images.numpy())
    facts = {"huggingface": json.dumps({"info": {"features": features}}), MEMBER: __version__}
    facts[f"{MEMBER}.{FLIP}"] = str(proxy.spec.flip)
    if proxy.data.formation > 1:
        facts[f"{MEMBER}.{FORMATION}"] = str(proxy.data.formation)
    table = pa.table(columns)
    table = table.replace_schema_metadata(facts)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomic(path, buffer.getvalue())
