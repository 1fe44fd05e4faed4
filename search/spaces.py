"""Search spaces by name, besides the paper's 720 ConvNets."""

from collections.abc import Callable, Iterable, Iterator

from proxyset.nets.cells import all_cells
from proxyset.registry import Registry

SPACES: Registry[Callable[[], Iterable[object]]] = Registry(
    "space", "proxyset.spaces", {"nasbench201": "search.spaces:nasbench201"}
)
"""Functions that yield architectures: an `Arch`, the name of a network, or (name, builder).
`SPACES.register(name, function)` adds one; `package.module:function` names one that lies in a module."""


def nasbench201() -> Iterator[str]:
    """The 15,625 networks of NAS-Bench-201 (Dong & Yang, ICLR 2020), by their architecture strings."""
    return map(str, all_cells())
