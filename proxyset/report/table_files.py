"""Tables of scores as files: .csv and .json with a row for each score, .md and .tex as on the terminal."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxyset.files import write_atomic
from proxyset.names import clean_name
from proxyset.report.tables import score_table, title_of
from proxyset.train.protocols import describe_protocol

SUFFIXES = (".csv", ".json", ".md", ".tex")
FIRST = ("name", "file", "net", "n", "mean", "std", "accuracies", "epochs", "seed", "device", "seconds")
COLUMNS = (*FIRST, "protocol", "stored", "images", "bytes")
MADE_BY = "proxyset eval"
LONGEST = 200  # letters of a line of comment
OPENINGS = {
    ".csv": ",".join(FIRST),  # all that older versions wrote
    ".json": f'{{"made_by": "{MADE_BY}"',
    ".md": f"<!-- {MADE_BY} -->",
    ".tex": f"% {MADE_BY}",
}
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}


def is_table(path: Path) -> bool:
    """Whether a file begins as the tables do that are written here."""
    opening = OPENINGS.get(path.suffix, "").encode()
    try:
        with open(path, "rb") as file:
            return bool(opening) and file.read(len(opening)) == opening
    except OSError:
        return False


def write_scores(rows: Sequence[dict[str, Any]], nets: Sequence[str], path: Path) -> None:
    """Write the rows of `score_all` in the form that the suffix of `path` says.

    Raises:
        InputError, RunError: it cannot be written.
    """
    write = {".csv": _csv, ".json": _json, ".md": _markdown, ".tex": _tex}[path.suffix]
    write_atomic(path, write(rows, nets).encode(errors="replace"))


def _csv(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> str:
    """Accuracies are shares from 0 to 1, those of single networks with blanks between them.

    `stored` images are in the set, `images` is what a network sees in an epoch; `bytes` are those of images and soft
    targets.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        accuracies = " ".join(f"{accuracy:.6g}" for accuracy in row["accuracies"])
        values = row | {"accuracies": accuracies, "protocol": describe_protocol(row["protocol"])}
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
    return text.getvalue()


def _json(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> str:
    return json.dumps({"made_by": MADE_BY, "scores": list(rows)}, allow_nan=False) + "\n"


def _markdown(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> str:
    head, *body = [[clean_name(cell).replace("|", r"\|") for cell in line] for line in score_table(rows, nets)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{OPENINGS['.md']}\n\n{table}\n\nTest accuracy in %, mean ± std over networks (n); {title_of(rows)}.\n"


def _tex(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> str:
    head, *body = [" & ".join(map(escaped, line)) + r" \\" for line in score_table(rows, nets)]
    columns = "l" + "r" * (len(nets) + 3)
    lines = [
        f"{OPENINGS['.tex']}: test accuracy in percent, mean and standard deviation over networks (n)",
        f"% {clean_name(title_of(rows), longest=LONGEST)}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        head,
        r"\hline",
        *body,
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text of other people as TeX shows it."""
    return re.sub(r"[\\~^±#$%&_{}]", lambda match: TEX.get(match[0], f"\\{match[0]}"), clean_name(text))
