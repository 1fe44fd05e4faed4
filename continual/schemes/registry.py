"""Every scheme by name."""

from continual.schemes.base import Scheme
from continual.schemes.der import Der, DerPlusPlus
from continual.schemes.eeil import Eeil
from continual.schemes.gdumb import GDumb
from continual.schemes.joint import Joint
from continual.settings import JOINT

SCHEMES: dict[str, type[Scheme]] = {"eeil": Eeil, "gdumb": GDumb, "der": Der, "der++": DerPlusPlus}


def scheme_class(name: str, memory: str) -> type[Scheme]:
    """The scheme that learns with this memory: joint training where the memory is all data."""
    return Joint if memory == JOINT else SCHEMES[name]
