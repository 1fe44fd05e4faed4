"""proxyset: condensed training sets, built, scored, shown and exported.

The public surface is imported on first use, so that `import proxyset` and `proxyset --help` stay fast.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from proxyset.build import build as build
    from proxyset.data import Dataset as Dataset
    from proxyset.data import DatasetSpec as DatasetSpec
    from proxyset.data import ImageSet as ImageSet
    from proxyset.data import load as load
    from proxyset.evaluate import Evaluation as Evaluation
    from proxyset.evaluate import evaluate as evaluate
    from proxyset.methods import METHODS as METHODS
    from proxyset.methods import Method as Method
    from proxyset.nets import Arch as Arch
    from proxyset.nets import build_net as build_net
    from proxyset.proxy import ProxySet as ProxySet
    from proxyset.settings import InputError as InputError

_HOME = {
    "build": "proxyset.build",
    "load": "proxyset.data",
    "Dataset": "proxyset.data",
    "DatasetSpec": "proxyset.data",
    "ImageSet": "proxyset.data",
    "Evaluation": "proxyset.evaluate",
    "evaluate": "proxyset.evaluate",
    "METHODS": "proxyset.methods",
    "Method": "proxyset.methods",
    "Arch": "proxyset.nets",
    "build_net": "proxyset.nets",
    "ProxySet": "proxyset.proxy",
    "InputError": "proxyset.settings",
}
__all__ = sorted(_HOME)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds every submodule here: `evaluate` and `build` would hide the functions of that name.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'proxyset' has no attribute {name!r}")
