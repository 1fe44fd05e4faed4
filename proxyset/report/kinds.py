"""What a baseline shares with the set beside which it stands: bytes, tiles, and the kind of targets."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from proxyset.artefact.proxy_set import ProxySet
from proxyset.methods.base import Method
from proxyset.methods.registry import get_method
from proxyset.settings import KeepAs

HARD, TEACHER = "hard", "teacher"
TEACHER_SETTINGS = ("teacher_net", "teacher_epochs")


@dataclass(frozen=True)
class Kind:
    """What the sets of a comparison differ in besides their images.

    Attributes:
        ipc: stored images per class.
        formation: f: each of them holds f×f tiles.
        targets: "hard", also beside sets whose targets were learned with the images, or "teacher".
        keep_as: how the file keeps the values.
        teacher: settings of that teacher; no part of what makes two kinds different.
    """

    ipc: int
    formation: int = 1
    targets: str = HARD
    keep_as: KeepAs = "float32"
    teacher: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> tuple[int, int, str, str]:
        return self.ipc, self.formation, self.targets, self.keep_as

    def method(self, name: str) -> Method:
        """The method called `name`, with what it takes of this.

        Raises:
            InputError: the settings of the teacher are none.
        """
        wanted = {"formation": self.formation, "targets": self.targets, **dict(self.teacher)}
        kind = get_method(name)
        return kind(**{setting: value for setting, value in wanted.items() if setting in kind.model_fields})

    def title(self, name: str) -> str:
        """A baseline's name: "random ipc10 f2 teacher uint8"; what is usual is left out."""
        parts = [
            name,
            f"ipc{self.ipc}",
            f"f{self.formation}" if self.formation > 1 else "",
            self.targets if self.targets != HARD else "",
            self.keep_as if self.keep_as != "float32" else "",
        ]
        return " ".join(filter(None, parts))


def kind_of(proxy: ProxySet) -> Kind:
    """What a set has, from its data and its provenance."""
    settings = proxy.provenance.get("settings", {})
    if settings.get("targets") != TEACHER:
        return Kind(proxy.ipc, proxy.data.formation, HARD, proxy.keep_as)
    teacher = tuple((name, settings[name]) for name in TEACHER_SETTINGS if name in settings)
    return Kind(proxy.ipc, proxy.data.formation, TEACHER, proxy.keep_as, teacher)


def kinds_for(name: str, proxies: Iterable[ProxySet]) -> list[Kind]:
    """The kinds in which the baseline called `name` stands beside these sets, each once, the smallest first."""
    kinds = [kind_of(proxy) for proxy in proxies]
    if "formation" not in get_method(name).model_fields:
        kinds = [replace(kind, formation=1) for kind in kinds]
    distinct = {kind.key: kind for kind in reversed(kinds)}  # of two teachers that of the first set
    return [distinct[key] for key in sorted(distinct)]
