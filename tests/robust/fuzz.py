"""Files as a failing disk, a careless hand or an attacker leaves them, from a seed, and what reading them may do.

    counts = survives(read, mutants(whole, 500, seed=1), unchanged=lambda value: value == before)

Reading a mutant may end in an `InputError` of one line, or give an unchanged result. All else fails the test.
"""

import json
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from proxyset.errors import InputError

MOST_MEMORY = 256 * 2**20  # bytes by which the process may grow while it reads mutants of small files
LONGEST_MESSAGE = 2000

WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**40, -(2**70), "", "x",
    "\x00", "\x1b[31m\n", "\ud800", "n" * 1000, "../..", "1", "true", [], [[]], [1, "a", None], {}, {"a": 1}, {"": {}},
)  # fmt: skip
PIECES = (
    b"\x00", b"\xff", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b"\r\n", b'"', b"'", b"[", b"[" * 3000, b"{" * 3000,
    b"]", b"}", b",", b":", b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9" * 5000,
    b"&a [*a]", b"*a", b"!!python/none ", b"\\u0000", b"\x1b[2J", b"\x00" * 64, b"\xff" * 64,
)  # fmt: skip


def mutants(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged versions of some bytes, the same for the same seed."""
    draw = random.Random(seed)
    ways = (_flip, _flip, _cut, _insert, _overwrite, _remove, _repeat, _number, _noise)
    for _ in range(count):
        damaged = whole
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            damaged = draw.choice(ways)(damaged, draw)
        yield damaged


def _flip(data: bytes, draw: random.Random) -> bytes:
    if not data:
        return b"\x01"
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randint(0, len(data))]


def _insert(data: bytes, draw: random.Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + draw.choice(PIECES) + data[place:]


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    place, piece = draw.randint(0, len(data)), draw.choice(PIECES)
    return data[:place] + piece + data[place + len(piece) :]


def _remove(data: bytes, draw: random.Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + data[place + draw.randint(1, 40) :]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    place = draw.randint(0, len(data))
    piece = data[place : place + draw.randint(1, 200)]
    return data[:place] + piece * draw.randint(1, 5) + data[place:]


def _number(data: bytes, draw: random.Random) -> bytes:
    """Eight bytes as a length or an offset that cannot be."""
    place = draw.choice((0, draw.randint(0, len(data))))
    value = draw.choice((0, 1, 2**15, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1))
    return data[:place] + value.to_bytes(8, "little") + data[place + 8 :]


def _noise(data: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(0, 300)) if draw.random() < 0.2 else _flip(data, draw)


def changed(value: Any, draw: random.Random) -> Any:
    """A copy of a JSON value in which one thing, anywhere, has another type or value, is missing, or is added."""
    root = json.loads(json.dumps([value]))
    places = list(_places(root))
    holder, key = draw.choice(places)
    what = draw.random()
    if what < 0.6:
        holder[key] = json.loads(json.dumps(draw.choice(WRONG)))
    elif what < 0.75:
        del holder[key]
    elif what < 0.85 and isinstance(holder, dict):
        holder[draw.choice(("new", "", "\x00", "size", "n" * 300))] = json.loads(json.dumps(draw.choice(WRONG)))
    elif what < 0.95:
        other, place = draw.choice(places)
        holder[key] = json.loads(json.dumps(other[place]))
    else:
        for _ in range(draw.choice((10, 70, 100))):
            holder[key] = [holder[key]]
    return root[0] if root else None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def json_mutants(value: Any, count: int, seed: int) -> Iterator[str]:
    """`count` JSON texts, each with one to four changes to `value`; some have a key twice."""
    draw = random.Random(seed)
    for _ in range(count):
        mutant = value
        for _ in range(draw.choice((1, 1, 2, 4))):
            mutant = changed(mutant, draw)
        text = json.dumps(mutant)
        if draw.random() < 0.05 and text.startswith('{"'):
            text = "{" + text[1:].split(",")[0].rstrip("}") + "," + text[1:]
        yield text


def survives(
    read: Callable[[Any], Any], damaged: Iterable[Any], unchanged: Callable[[Any], bool] = lambda value: False
) -> Counter[str]:
    """Read every mutant.

    Args:
        unchanged: whether a result is the one that the whole file gives.

    Returns:
        How many were refused, and how many read as unchanged.
    """
    counts: Counter[str] = Counter()
    before = _peak()
    for number, mutant in enumerate(damaged):
        try:
            result = read(mutant)
        except InputError as error:
            message = str(error)
            assert message, f"mutant {number} has an empty message"
            assert "\n" not in message, f"mutant {number}: {message}"
            assert len(message) < LONGEST_MESSAGE, f"mutant {number}: {message}"
            counts["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"mutant {number} ended in {type(error).__name__}: {mutant!r:.300}") from error
        assert unchanged(result), f"mutant {number} was read as something else: {mutant!r:.300}"
        counts["unchanged"] += 1
    assert _peak() - before < MOST_MEMORY, "reading mutants took too much memory"
    return counts


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
