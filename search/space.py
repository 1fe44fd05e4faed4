"""The architectures to rank: the paper's 720 ConvNets, a part of them, or a user's own."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import islice

import torch
from torch import nn

from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError, one_line
from proxyset.names import clean_name
from proxyset.nets.arch import Arch, all_archs
from proxyset.nets.build import NETS, build_foreign, build_net, check_net, outline
from proxyset.nets.cells import Cell, is_cell
from proxyset.registry import describe
from proxyset.seeds import make_generator
from proxyset.settings import short
from search.settings import SAMPLE, SpaceChoice
from search.spaces import SPACES
from search.where import parse_where

Builder = Callable[[int, int, int], nn.Module]
"""Channels, image size and classes to a network of images N×C×H×W to logits N×classes."""

Entries = Sequence[Arch | str | tuple[str, Builder]]
"""Architectures as a list: ConvNets, names of networks, or a name and a builder."""

Space = SpaceChoice | str | Entries
"""What may be given as a space: settings, `package.module:function`, or a list."""

LONGEST = 200  # characters of a name
MOST = 100_000  # architectures; more are a function that never ends
CHOICES = tuple(field.name for field in fields(Arch))


@dataclass(frozen=True)
class Candidate:
    """One architecture: a ConvNet (`arch`), a user's network (`builder`), or, with neither, a network by its name."""

    name: str
    arch: Arch | None = None
    builder: Builder | None = None

    def build(self, spec: DatasetSpec, generator: torch.Generator, device: torch.device | str = "cpu") -> nn.Module:
        """A freshly initialised network in training mode; its weights come from `generator`."""
        if self.builder is not None:
            return build_foreign(self.builder, spec.shape, generator, device)
        return build_net(self.arch or self.name, **spec.shape, generator=generator, device=device)

    def outline(self, spec: DatasetSpec) -> nn.Module:
        """Its structure; weights have no meaning."""
        if self.builder is not None:
            return self.build(spec, torch.Generator())
        return outline(self.arch or self.name, **spec.shape)

    def parameters(self, spec: DatasetSpec) -> int:
        """How many numbers training changes."""
        return sum(parameter.numel() for parameter in self.outline(spec).parameters())

    def problem(self, spec: DatasetSpec) -> str | None:
        """Why it cannot take such images, or None."""
        try:
            if self.builder is None:
                check_net(self.arch or self.name, **spec.shape)
                return None
            net = self.build(spec, torch.Generator())
            with torch.no_grad():
                logits = net(torch.zeros(2, spec.channels, spec.size, spec.size))
        except Exception as error:  # whatever a user's builder or network raises
            return one_line(error) or type(error).__name__
        if tuple(logits.shape) != (2, spec.classes):
            return f"2 images give logits of shape {tuple(logits.shape)}, expected {(2, spec.classes)}"
        return None


def choose(space: Space, spec: DatasetSpec, seed: int, say: Callable[[str], None]) -> list[Candidate]:
    """The architectures to rank: those that can take the images, sampled if so asked.

    Args:
        seed: a sample depends on it.
        say: is given a line about those that are left out.

    Raises:
        InputError: fewer than two are left, or the space cannot be read.
    """
    sample: int | str | None = "all"
    if isinstance(space, SpaceChoice):
        sample = space.sample
        everything = load_space(space.space, spec.size) if space.space else space_720(space.where or "")
    elif isinstance(space, str):
        everything = load_space(space, spec.size)
    else:
        everything = make_candidates(space, "the list of architectures", spec.size)
    kept, left_out = fitting(everything, spec)
    example = next((f", such as {name}: {reason}" for name, reason in left_out.items()), "")
    if len(kept) < 2:
        few = f"{len(kept)} of {len(everything)} architectures can take the images of {spec.name}"
        raise InputError(f"{few}, and a ranking needs at least two{example and f'; left out{example[1:]}'}")
    if isinstance(sample, int) and sample > len(kept):
        raise InputError(f"`sample={sample}` is more than the {len(kept)} architectures there are; or `sample=all`")
    if left_out:
        say(f"left out {len(left_out)} of {len(everything)} architectures{example}")
    if sample == "all" or (sample is None and len(kept) <= SAMPLE):
        return kept
    return stratified(kept, SAMPLE if sample is None else int(sample), make_generator(seed, "sample"))


def space_720(where: str = "") -> list[Candidate]:
    """The paper's ConvNets that meet every condition of `where`, in a fixed order.

    Raises:
        InputError: a condition that cannot be read, or that nothing meets.
    """
    conditions = parse_where(where)
    kept = [Candidate(str(a), a) for a in all_archs() if all(holds(getattr(a, name)) for name, holds in conditions)]
    if not kept:
        raise InputError(f"no architecture meets {where!r}")
    return kept


def load_space(reference: str, size: int) -> list[Candidate]:
    """A space by name, or a user's own: `package.module:function`, a callable that yields (name, builder).

    Modules in the working folder are found, as with `python -m`.

    Raises:
        InputError: it cannot be imported, or does not yield that.
    """
    function = SPACES[reference]
    try:
        entries = list(islice(function(), MOST + 1))
    except Exception as error:  # whatever a user's function raises
        raise InputError(f"cannot load the space {reference!r}: {describe(error)}") from None
    if len(entries) > MOST:
        raise InputError(f"the space {reference!r} yields more than {MOST:,} architectures")
    return make_candidates(entries, f"the space {reference!r}", size)


def make_candidates(entries: Iterable[object], source: str, size: int) -> list[Candidate]:
    """Candidates of ConvNets, of their names, and of names with builders.

    Args:
        source: where the entries come from, for messages.
        size: of the images; a ConvNet's name without a depth has the depth for it.

    Raises:
        InputError: an entry is something else, or a name occurs twice.
    """
    candidates = [_candidate(entry, source, size) for entry in entries]
    repeated = [name for name, count in Counter(c.name for c in candidates).items() if count > 1]
    if repeated:
        raise InputError(f"{source} has the name {repeated[0]!r} twice")
    return candidates


def _candidate(entry: object, source: str, size: int) -> Candidate:
    if isinstance(entry, str):
        try:
            if is_cell(entry):
                return Candidate(str(Cell.parse(entry)))
            return Candidate(entry, None if NETS.knows(entry) else Arch.parse(entry, size=size))
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
    if isinstance(entry, Arch):
        return Candidate(str(entry), entry)
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) and callable(entry[1]):
        if not entry[0].strip() or clean_name(entry[0], longest=LONGEST) != entry[0]:
            raise InputError(f"{source}: a name is one line of at most {LONGEST} characters, got {short(entry[0])}")
        return Candidate(entry[0], builder=entry[1])
    raise InputError(f"{source} must hold architectures or (name, builder), got {short(entry)}")


def fitting(candidates: Sequence[Candidate], spec: DatasetSpec) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates that can take the dataset's images, and for the others the reason."""
    problems = {candidate.name: candidate.problem(spec) for candidate in candidates}
    kept = [candidate for candidate in candidates if problems[candidate.name] is None]
    return kept, {name: problem for name, problem in problems.items() if problem is not None}


def stratified(candidates: Sequence[Candidate], count: int, generator: torch.Generator) -> list[Candidate]:
    """`count` candidates in which every value of each of the five choices is about equally frequent.

    Greedy: the next one is that whose values were taken least so far, ties in random order. So the first k of a larger
    sample are the sample of k. Other candidates, which have no such choices, are drawn uniformly, as many of them as is
    their share of all.

    Raises:
        InputError: there are not as many.
    """
    if count > len(candidates):
        raise InputError(f"cannot sample {count} of {len(candidates)} architectures")
    order = torch.randperm(len(candidates), generator=generator).tolist()
    shuffled = [candidates[position] for position in order]
    left, others = ([one for one in shuffled if (one.arch is None) == other] for other in (False, True))
    values = {choice: {getattr(c.arch, choice) for c in left} for choice in CHOICES}
    taken: Counter[tuple[str, int | str]] = Counter()
    picked: list[Candidate] = []
    for number in range(1, count + 1):
        drawn = sum(candidate.arch is None for candidate in picked)
        if drawn < round(number * len(others) / len(shuffled)):
            picked.append(others[drawn])
            continue
        # counts are weighed by the number of values, so that a choice of three and one of five matter alike
        costs = [sum(taken[key] * len(values[key[0]]) for key in _keys(candidate)) for candidate in left]
        candidate = left.pop(costs.index(min(costs)))
        taken.update(_keys(candidate))
        picked.append(candidate)
    return picked


def _keys(candidate: Candidate) -> list[tuple[str, int | str]]:
    return [(choice, getattr(candidate.arch, choice)) for choice in CHOICES] if candidate.arch else []
