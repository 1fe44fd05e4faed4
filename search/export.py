"""A kept network for programs that know nothing of this toolkit: a model, and the script that uses it."""

import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from proxyset.artefact.export import KIND, claim_export
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError, one_line
from proxyset.files import write_atomic
from proxyset.folders import replace_folder, write_marker
from search.network import Network, OnPixels

Format = Literal["torch", "onnx", "torchscript"]
FORMATS: tuple[Format, ...] = get_args(Format)
SCRIPT = "classify.py"
MODEL: dict[Format, str] = {"torch": "model.pt2", "onnx": "model.onnx", "torchscript": "model.pt"}
ONNX_NEEDS = ("onnx", "onnxscript")

WITH_TORCH = """\
# {about}. Needs torch alone: python {script} PIXELS.pt
import sys
from pathlib import Path
import torch

CLASSES = {classes}
net = {load}
pixels = torch.load(sys.argv[1], weights_only=True)  # N×{channels}×{size}×{size}: uint8, or floats from 0 to 1
with torch.no_grad():
    labels = net(pixels / 255 if pixels.dtype == torch.uint8 else pixels).argmax(1)
print(*(CLASSES[label] for label in labels.tolist()), sep="\\n")
"""
WITH_ONNX = """\
# {about}. Needs onnxruntime and numpy: python {script} PIXELS.npy
import sys
from pathlib import Path
import numpy as np
import onnxruntime

CLASSES = {classes}
net = {load}
pixels = np.load(sys.argv[1])  # N×{channels}×{size}×{size}: uint8, or floats from 0 to 1
pixels = pixels.astype("float32") / (255 if pixels.dtype == np.uint8 else 1)
print(*(CLASSES[label] for label in net.run(None, {{"pixels": pixels}})[0].argmax(1)), sep="\\n")
"""
BESIDE = 'Path(__file__).with_name("{model}")'
LOAD: dict[Format, str] = {
    "torch": f"torch.export.load({BESIDE}).module()",
    "onnx": f"onnxruntime.InferenceSession({BESIDE})",
    "torchscript": f"torch.jit.load({BESIDE})",
}


def check_format(form: Format) -> None:
    """Raise `InputError` where what writes this format is not installed."""
    absent = [name for name in ONNX_NEEDS if form == "onnx" and find_spec(name) is None]
    if absent:
        raise InputError(f"`format=onnx` needs {' and '.join(absent)}: pip install 'proxyset[onnx]'")


def export(network: Network, net: nn.Module, form: Format, path: Path, *, force: bool = False) -> None:
    """Write the network to the folder `path`, as a model and a script of ten lines that classifies with it.

    The model takes N×C×H×W pixels from 0 to 1, for any N, and gives N×classes logits: it normalises by itself.

    Args:
        net: `network.build()`.
        form: `torch` is a program of `torch.export`, `torchscript` one of `torch.jit`; neither needs this toolkit.
        force: replace an earlier export.

    Raises:
        InputError: the format does not know what the network does; something is at `path`, or it cannot be written.
        RunError: the disk is full.
    """
    check_format(form)
    model, spec = OnPixels(net, network.spec), network.spec

    def fill(folder: Path) -> None:
        _write(form, model, spec, folder / MODEL[form])
        write_atomic(folder / SCRIPT, script(network, form).encode())
        write_marker(folder, KIND, files=sorted([MODEL[form], SCRIPT]))

    with claim_export(path, "folder", force=force) as claim:
        replace_folder(claim.path, fill)


def script(network: Network, form: Format) -> str:
    """The script that loads the model beside it."""
    spec, tested = network.spec, network.facts.get("test")
    about = json.dumps(network.name, ensure_ascii=False) + (
        f", test accuracy {100 * tested:.1f} %" if tested is not None else ""
    )
    return (WITH_ONNX if form == "onnx" else WITH_TORCH).format(
        about=about,
        script=SCRIPT,
        classes=json.dumps(list(spec.class_names), ensure_ascii=False),
        load=LOAD[form].format(model=MODEL[form]),
        channels=spec.channels,
        size=spec.size,
    )


def _write(form: Format, model: OnPixels, spec: DatasetSpec, path: Path) -> None:
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    write: Callable[[OnPixels, Tensor, Path], None] = {
        "torch": _to_torch,
        "onnx": _to_onnx,
        "torchscript": _to_torchscript,
    }[form]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of what the exporters think of each other
            write(model, example, path)
    except OSError:
        raise
    except Exception as error:  # whatever a user's network makes an exporter raise
        others = " or ".join(other for other in FORMATS if other != form)
        raise InputError(f"`format={form}` cannot hold this network ({one_line(error)}); perhaps {others}") from None


def _any_number() -> tuple[dict[int, torch.export.Dim]]:
    """The first dimension of the only argument may have any length."""
    return ({0: torch.export.Dim("images", min=1)},)


def _to_torch(model: OnPixels, example: Tensor, path: Path) -> None:
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=_any_number()), path)


def _to_torchscript(model: OnPixels, example: Tensor, path: Path) -> None:
    torch.jit.save(torch.jit.freeze(torch.jit.trace(model, example)), str(path))


def _to_onnx(model: OnPixels, example: Tensor, path: Path) -> None:
    torch.onnx.export(
        model,
        (example,),
        path,
        input_names=["pixels"],
        output_names=["logits"],
        dynamo=True,
        dynamic_shapes=_any_number(),
        external_data=False,
        verbose=False,
    )
