"""Tables of scores as files: .csv and .json with a row for each score, .md and .tex as on the terminal."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxyset.files import begins_with, write_atomic
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
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$"}


def is_table(path: Path) -> bool:
    """Whether a file begins as the tables do that are written here."""
    opening = OPENINGS.get(path.suffix, "")
    return bool(opening) and begins_with(path, opening)


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
    table = markdown_table(score_table(rows, nets))
    return f"{OPENINGS['.md']}\n\n{table}\n\nTest accuracy in %, mean ± std over networks (n); {title_of(rows)}.\n"


def _tex(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> str:
    head = f"{OPENINGS['.tex']}: test accuracy in percent, mean and standard deviation over networks (n)"
    return f"{head}\n% {clean_name(title_of(rows), longest=LONGEST)}\n{tex_table(score_table(rows, nets))}\n"


def markdown_table(lines: Sequence[Sequence[str]], labels: int = 1) -> str:
    """Lines of cells, titles first, as Markdown; the first `labels` columns are words, the others numbers."""
    head, *body = [[clean_name(cell).replace("|", r"\|") for cell in line] for line in lines]
    rule = ["---"] * labels + ["---:"] * (len(head) - labels)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def tex_table(lines: Sequence[Sequence[str]], labels: int = 1) -> str:
    """Likewise as a `tabular` of LaTeX."""
    head, *body = [" & ".join(map(_escaped, line)) + r" \\" for line in lines]
    form = "l" * labels + "r" * (len(lines[0]) - labels)
    inner = [rf"\begin{{tabular}}{{{form}}}", r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}"]
    return "\n".join(inner)


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^±−#$%&_{}]", lambda match: TEX.get(match[0], f"\\{match[0]}"), clean_name(text))
