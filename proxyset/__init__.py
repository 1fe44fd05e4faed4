"""proxyset: condensed training sets, built, scored, shown and exported.

The public names are imported on first use, so that `import proxyset` and `proxyset --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from proxyset.artefact.build import ProxySpec as ProxySpec
    from proxyset.artefact.build import build as build
    from proxyset.artefact.build import build_file as build_file
    from proxyset.artefact.proxy_set import ProxyDataset as ProxyDataset
    from proxyset.artefact.proxy_set import ProxySet as ProxySet
    from proxyset.compute.session import Session as Session
    from proxyset.data.augment import OPERATIONS as OPERATIONS
    from proxyset.data.augment import Operation as Operation
    from proxyset.data.images import ImageSet as ImageSet
    from proxyset.data.load import load as load
    from proxyset.data.spec import Dataset as Dataset
    from proxyset.data.spec import DatasetSpec as DatasetSpec
    from proxyset.errors import InputError as InputError
    from proxyset.errors import RunError as RunError
    from proxyset.methods.base import Context as Context
    from proxyset.methods.base import Method as Method
    from proxyset.methods.base import Problem as Problem
    from proxyset.methods.registry import METHODS as METHODS
    from proxyset.methods.synthesis import LearnedMethod as LearnedMethod
    from proxyset.nets.arch import Arch as Arch
    from proxyset.nets.build import NETS as NETS
    from proxyset.nets.build import build_net as build_net
    from proxyset.settings import Compute as Compute
    from proxyset.train.evaluate import Score as Score
    from proxyset.train.evaluate import evaluate as evaluate
    from proxyset.train.protocols import Evaluation as Evaluation
    from proxyset.train.recipe import Recipe as Recipe

_HOME = {
    "ProxySpec": "artefact.build",
    "build": "artefact.build",
    "build_file": "artefact.build",
    "ProxyDataset": "artefact.proxy_set",
    "ProxySet": "artefact.proxy_set",
    "Session": "compute.session",
    "OPERATIONS": "data.augment",
    "Operation": "data.augment",
    "ImageSet": "data.images",
    "load": "data.load",
    "Dataset": "data.spec",
    "DatasetSpec": "data.spec",
    "InputError": "errors",
    "RunError": "errors",
    "Context": "methods.base",
    "Method": "methods.base",
    "Problem": "methods.base",
    "METHODS": "methods.registry",
    "LearnedMethod": "methods.synthesis",
    "Arch": "nets.arch",
    "NETS": "nets.build",
    "build_net": "nets.build",
    "Compute": "settings",
    "Score": "train.evaluate",
    "evaluate": "train.evaluate",
    "Evaluation": "train.protocols",
    "Recipe": "train.recipe",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"proxyset.{_HOME[name]}"), name)
    raise AttributeError(f"module 'proxyset' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
