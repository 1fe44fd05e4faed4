"""proxyset: condensed training sets, built, scored, shown and exported.

The public surface is imported on first use, so that `import proxyset` and `proxyset --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from proxyset.builder import build as build
    from proxyset.data import Dataset as Dataset
    from proxyset.data import DatasetSpec as DatasetSpec
    from proxyset.data import ImageSet as ImageSet
    from proxyset.data import load as load
    from proxyset.evaluation import Evaluation as Evaluation
    from proxyset.evaluation import evaluate as evaluate
    from proxyset.methods import METHODS as METHODS
    from proxyset.methods import Method as Method
    from proxyset.nets import Arch as Arch
    from proxyset.nets import build_net as build_net
    from proxyset.proxy import ProxySet as ProxySet
    from proxyset.settings import InputError as InputError

_HOME = {
    "build": "proxyset.builder",
    "load": "proxyset.data",
    "Dataset": "proxyset.data",
    "DatasetSpec": "proxyset.data",
    "ImageSet": "proxyset.data",
    "Evaluation": "proxyset.evaluation",
    "evaluate": "proxyset.evaluation",
    "METHODS": "proxyset.methods",
    "Method": "proxyset.methods",
    "Arch": "proxyset.nets",
    "build_net": "proxyset.nets",
    "ProxySet": "proxyset.proxy",
    "InputError": "proxyset.settings",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'proxyset' has no attribute {name!r}")
