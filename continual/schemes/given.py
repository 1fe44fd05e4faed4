"""Settings that a user gave and that nothing uses: refused, because a slip would show only in the numbers."""

from collections.abc import Iterable, Set

from continual.schemes.registry import SCHEMES, scheme_class
from continual.settings import JOINT, TaskTraining
from proxyset.errors import InputError
from proxyset.names import in_words

Variant = tuple[str, bool]
"""A memory, and whether answers are distilled."""


def check_given(training: TaskTraining, variants: Iterable[Variant], given: Set[str]) -> None:
    """Raise `InputError` for settings that were given and that none of the variants of a command uses.

    Args:
        given: by name, also of other settings. What a file of settings says is none of them: it serves many commands.
    """
    used: set[str] = set().union(*(_used(training.scheme, *variant) for variant in variants))
    unused = [name for name in type(training).model_fields if name in given - used]
    groups: dict[str, list[str]] = {}
    for name in unused:
        groups.setdefault(_whose(name, training.scheme), []).append(f"`{name}`")
    if unused:
        words = "; ".join(
            f"{in_words(names)} {'is' if len(names) == 1 else 'are'} {of}" for of, names in groups.items()
        )
        raise InputError(f"{words}: leave {'it' if len(unused) == 1 else 'them'} out")


def _used(scheme: str, memory: str, kd: bool) -> Set[str]:
    """With joint training also what its scheme uses: a command for other memories then takes this one, too."""
    own = scheme_class(scheme, memory).uses(kd)
    return own | SCHEMES[scheme].uses(kd) if memory == JOINT else own


def _whose(name: str, scheme: str) -> str:
    """What a setting is for, where it is not used."""
    if name in SCHEMES[scheme].uses(kd=True):
        return "for distillation, and there is none without `kd`"
    users = [f"`scheme={other}`" for other, kind in SCHEMES.items() if name in kind.uses(kd=True)]
    return f"for {in_words(users)}, and unused with `scheme={scheme}`"
