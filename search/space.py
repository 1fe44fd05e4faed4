"""The architectures to rank: the paper's 720 ConvNets, a part of them, or a user's own."""

import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from proxyset.data import DatasetSpec
from proxyset.nets import SPACE_720, Arch, all_archs, build_net, outline
from proxyset.settings import InputError, nearest

Builder = Callable[[int, int, int], nn.Module]
"""Channels, image size and classes to a network of images N×C×H×W to logits N×classes."""

CHOICES = tuple(field.name for field in fields(Arch))


@dataclass(frozen=True)
class Candidate:
    """One architecture: one of the 720, or a user's builder."""

    name: str
    arch: Arch | None = None
    builder: Builder | None = None

    def build(self, spec: DatasetSpec, generator: torch.Generator, device: torch.device | str = "cpu") -> nn.Module:
        """A freshly initialised network in training mode; its weights come from `generator`."""
        if self.arch is not None:
            return build_net(self.arch, **spec.shape, generator=generator, device=device)
        assert self.builder is not None
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # a user's builder draws its weights from the global generator
            torch.manual_seed(seed)
            return self.builder(spec.channels, spec.size, spec.classes).to(device).train()

    def parameters(self, spec: DatasetSpec) -> int:
        """How many numbers training changes."""
        net = outline(self.arch, **spec.shape) if self.arch is not None else self.build(spec, torch.Generator())
        return sum(parameter.numel() for parameter in net.parameters())

    def problem(self, spec: DatasetSpec) -> str | None:
        """Why it cannot take such images, or None."""
        try:
            if self.arch is not None:
                outline(self.arch, **spec.shape)
                return None
            net = self.build(spec, torch.Generator())
            with torch.no_grad():
                logits = net(torch.zeros(2, spec.channels, spec.size, spec.size))
        except Exception as error:  # whatever a user's builder or network raises
            return " ".join(f"{error or type(error).__name__}".split())
        if tuple(logits.shape) != (2, spec.classes):
            return f"2 images give logits of shape {tuple(logits.shape)}, expected {(2, spec.classes)}"
        return None


def space_720(where: str = "") -> list[Candidate]:
    """The paper's ConvNets that meet every condition of `where`, in a fixed order.

    Raises:
        InputError: a condition that cannot be read, or that nothing meets.
    """
    conditions = parse_where(where)
    found = [Candidate(str(a), a) for a in all_archs() if all(holds(getattr(a, name)) for name, holds in conditions)]
    if not found:
        raise InputError(f"no architecture meets {where!r}")
    return found


def parse_where(where: str) -> list[tuple[str, Callable[[int | str], bool]]]:
    """Conditions such as `width<=64,norm=batch|none` as (choice, predicate); commas mean and, bars mean or.

    Raises:
        InputError: an unknown choice or value, with the nearest; an order asked of a choice that has none.
    """
    return [_condition(part.strip()) for part in where.split(",") if part.strip()]


def _condition(text: str) -> tuple[str, Callable[[int | str], bool]]:
    found = re.fullmatch(r"(\w+)\s*(<=|>=|!=|==|=|<|>)\s*([\w|\s]+)", text)
    if found is None:
        raise InputError(f"cannot read the condition {text!r}: write for example width<=64 or norm=batch|none")
    name, sign, words = found[1].lower(), found[2], [word.strip().lower() for word in found[3].split("|")]
    if name not in CHOICES:
        raise InputError(f"unknown choice {name!r} in {text!r}: {nearest(name, CHOICES)}")
    known = SPACE_720[name]
    values: list[int | str] = []
    for word in words:
        if isinstance(known[0], int) and word.isdigit():
            values.append(int(word))
        elif word in known:
            values.append(word)
        else:
            raise InputError(f"unknown {name} {word!r} in {text!r}: {nearest(word, map(str, known))}")
    if sign in ("=", "=="):
        return name, lambda value: value in values
    if sign == "!=":
        return name, lambda value: value not in values
    if len(values) > 1 or not isinstance(values[0], int):
        raise InputError(f"{text!r} asks for an order: that needs width or depth and a single number")
    limit = values[0]
    compare: dict[str, Callable[[int], bool]] = {
        "<=": lambda value: value <= limit,
        ">=": lambda value: value >= limit,
        "<": lambda value: value < limit,
        ">": lambda value: value > limit,
    }
    return name, lambda value: compare[sign](int(value))


def load_space(target: str) -> list[Candidate]:
    """A user's own space: `package.module:function`, a callable that yields (name, builder).

    Modules in the working folder are found, as with `python -m`.

    Raises:
        InputError: it cannot be imported, or does not yield that.
    """
    module_name, _, function_name = target.partition(":")
    if not module_name or not function_name:
        raise InputError(f"--space is package.module:function, got {target!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        entries = list(function())
    except Exception as error:  # whatever a user's module raises
        raise InputError(f"cannot load the space {target!r}: {type(error).__name__}: {error}") from None
    candidates = []
    for entry in entries:
        if not (isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) and callable(entry[1])):
            raise InputError(f"the space {target!r} must yield (name, builder), found {entry!r}")
        candidates.append(Candidate(entry[0], builder=entry[1]))
    twice = [name for name, count in Counter(c.name for c in candidates).items() if count > 1]
    if twice:
        raise InputError(f"the space {target!r} yields the name {twice[0]!r} twice")
    return candidates


def fitting(candidates: Sequence[Candidate], spec: DatasetSpec) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates that can take the dataset's images, and for the others the reason."""
    problems = {candidate.name: candidate.problem(spec) for candidate in candidates}
    kept = [candidate for candidate in candidates if problems[candidate.name] is None]
    return kept, {name: problem for name, problem in problems.items() if problem is not None}


def stratified(candidates: Sequence[Candidate], count: int, generator: torch.Generator) -> list[Candidate]:
    """`count` candidates in which every value of each of the five choices is about equally frequent.

    Greedy: the next one is that whose values were taken least so far, ties in random order. So the first k of a larger
    sample are the sample of k. A user's candidates, which have no such choices, are drawn uniformly.

    Raises:
        InputError: there are not as many.
    """
    if count > len(candidates):
        raise InputError(f"cannot sample {count} of {len(candidates)} architectures")
    order = torch.randperm(len(candidates), generator=generator).tolist()
    left = [candidates[position] for position in order]
    values = {choice: {getattr(c.arch, choice) for c in left if c.arch} for choice in CHOICES}
    taken: Counter[tuple[str, int | str]] = Counter()
    picked: list[Candidate] = []
    while len(picked) < count:
        # counts are weighed by the number of values, so that a choice of three and one of five matter alike
        costs = [sum(taken[key] * len(values[key[0]]) for key in _keys(candidate)) for candidate in left]
        candidate = left.pop(costs.index(min(costs)))
        taken.update(_keys(candidate))
        picked.append(candidate)
    return picked


def _keys(candidate: Candidate) -> list[tuple[str, int | str]]:
    return [(choice, getattr(candidate.arch, choice)) for choice in CHOICES] if candidate.arch else []
