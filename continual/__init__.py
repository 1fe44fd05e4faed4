"""continual: learn one task after another with a condensed memory.

The public surface is imported on first use, so that `import continual` and `continual --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from continual.api import learn_stream as learn_stream
    from continual.loading import join_domains as join_domains
    from continual.loading import load_stream as load_stream
    from continual.loading import split_classes as split_classes
    from continual.results import StreamResult as StreamResult
    from continual.settings import Budget as Budget
    from continual.settings import Learning as Learning
    from continual.settings import StreamChoice as StreamChoice
    from continual.stream import Stream as Stream
    from continual.stream import Task as Task

_HOME = {
    "Budget": "continual.settings",
    "Learning": "continual.settings",
    "Stream": "continual.stream",
    "StreamChoice": "continual.settings",
    "StreamResult": "continual.results",
    "Task": "continual.stream",
    "join_domains": "continual.loading",
    "learn_stream": "continual.api",
    "load_stream": "continual.loading",
    "split_classes": "continual.loading",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'continual' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
