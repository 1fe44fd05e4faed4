"""What a finished run says: the tables, the result files, the summary."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from proxyset.checkpoint import check_writable, write_atomic
from proxyset.config import say
from proxyset.progress import duration
from proxyset.settings import InputError, RunError
from search.folder import PLAN, SOURCES, SUMMARY, RunFolder, stored
from search.plot import save_pictures
from search.rank import lead, spearman, summarise
from search.sources import AGAIN, FREE, TRUTH
from search.trial import Row

WIDTH = 120  # of the tables where there is no terminal to fit
COLUMNS = ["source", "name", "repeat", "seed", "width", "depth", "norm", "activation", "pooling"]
COLUMNS += ["parameters", "score", "accuracy", "seconds", "error"]


def frame(rows: list[Row]) -> pd.DataFrame:
    """The rows as a table."""
    return pd.DataFrame(rows, columns=COLUMNS).astype({"score": float, "accuracy": float, "seconds": float})


def mean_scores(rows: list[Row], names: list[str], repeats: int | None = None) -> dict[str, "pd.Series[float]"]:
    """For each source the mean score of each architecture over its (first `repeats`) repeats, in the order of `names`;
    those that failed are left out.
    """
    table = frame(rows).dropna(subset=["score"])
    if repeats is not None:
        table = table[table["repeat"] < repeats]
    means = {str(name): own.groupby("name")["score"].mean() for name, own in table.groupby("source")}
    return {name: scores.reindex(names).dropna() for name, scores in means.items()}


def report(folder: RunFolder, out: Path, as_json: bool = False) -> None:
    """Write results.parquet, results.csv, summary.json and the pictures to `out`; print the tables.

    With `as_json` stdout gets the summary as JSON, and the tables go to stderr.

    Raises:
        InputError: there is no finished trial yet.
        RunError: no training succeeded.
    """
    check_writable(out)
    rows = folder.rows()
    if not rows:
        raise InputError(f"{str(folder.path)!r} has no finished trial yet: search run --resume {folder.path}")
    table = frame(rows)
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    write_atomic(out / "results.parquet", buffer.getvalue())
    write_atomic(out / "results.csv", table.to_csv(index=False).encode())
    trained = table[~table["source"].isin(FREE)]
    if len(trained) and trained["error"].notna().all():
        raise RunError(f"every training failed, the first with: {trained['error'].iloc[0]}")
    scores = mean_scores(rows, folder.read(PLAN)["names"])
    summary = summarise_run(folder, rows, scores)
    text = json.dumps(_plain(summary), indent=1)
    write_atomic(out / SUMMARY, (text + "\n").encode())
    print_summary(summary, Console(stderr=as_json))
    if as_json:
        print(text)
    for path in save_pictures(scores, table, summary, out):
        say(str(path))


def summarise_run(folder: RunFolder, rows: list[Row], scores: dict[str, "pd.Series[float]"]) -> dict[str, Any]:
    """Per source how its ranking agrees with the truth, what it took, and the best network it found."""
    settings = folder.settings()
    sources = folder.read(SOURCES) or {}
    names = folder.read(PLAN)["names"]
    truth = scores.get(TRUTH, pd.Series(dtype=float))
    table = frame(rows)
    result: dict[str, Any] = {"settings": stored(settings), "architectures": len(names)}
    result["truth"] = {"n": len(truth)} | _best(truth, len(truth), truth)
    result["sources"] = {}
    for name, source in sources.items():
        own = table[table["source"] == name]
        facts = {
            "images": source["images"],
            "build_seconds": source["seconds"],
            "trial_seconds": float(own["seconds"].sum()),
            "trials": len(own),
            "failed": int(own["error"].notna().sum()),
        }
        if name != TRUTH and name in scores:
            both = scores[name].index.intersection(truth.index, sort=False)
            if len(both) >= 2:
                rng = np.random.default_rng([settings.seed, len(both)])
                facts |= summarise(scores[name][both].to_numpy(), truth[both].to_numpy(), rng)
            if settings.promote:
                facts["promoted"] = _best(scores[name], settings.promote, truth)
        result["sources"][name] = facts
    result["leads"] = _leads([name for name in sources if name != TRUTH and name in scores], scores, settings.seed)
    if AGAIN in sources:
        result["ceiling"] = [_ceiling(rows, names, repeats) for repeats in range(1, settings.repeats + 1)]
    result["errors"] = table[table["error"].notna()][["source", "name", "error"]].to_dict("records")
    return result


def _leads(names: list[str], scores: dict[str, "pd.Series[float]"], seed: int) -> list[dict[str, Any]]:
    """By how much the first source's Spearman exceeds each other's, over the architectures that all three scored."""
    found = []
    for other in names[1:]:
        three = pd.DataFrame({"first": scores[names[0]], "other": scores[other], "truth": scores.get(TRUTH)}).dropna()
        if len(three) >= 2:
            columns = [three[column].to_numpy(dtype=float) for column in three]
            value, low, high = lead(columns[0], columns[1], columns[2], np.random.default_rng([seed, len(three)]))
            found.append({"first": names[0], "other": other, "spearman": value, "low": low, "high": high})
    return found


def _best(scores: "pd.Series[float]", k: int, truth: "pd.Series[float]") -> dict[str, Any]:
    """The best by the truth among the k best by `scores`; empty where none of them has a truth."""
    chosen = scores.sort_values(ascending=False, kind="stable").index[:k]
    known = truth[truth.index.intersection(chosen, sort=False)]
    return {"best": str(known.idxmax()), "accuracy": float(known.max())} if len(known) else {}


def _ceiling(rows: list[Row], names: list[str], repeats: int) -> dict[str, float]:
    """How well the whole set under another seed ranks as the whole set does, each by the mean of `repeats`."""
    scores = mean_scores(rows, names, repeats)
    if AGAIN not in scores or TRUTH not in scores:
        return {"repeats": repeats, "spearman": float("nan")}
    both = scores[AGAIN].index.intersection(scores[TRUTH].index)
    return {"repeats": repeats, "spearman": spearman(scores[AGAIN][both].to_numpy(), scores[TRUTH][both].to_numpy())}


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """The tables, and what to know when reading them."""
    if not console.is_terminal:
        console.width = WIDTH
    console.print(_agreement(summary))
    console.print(_choices(summary))
    for line in _notes(summary):
        console.print(line, markup=False, highlight=False)


def _notes(summary: dict[str, Any]) -> list[str]:
    notes = []
    for name, facts in summary["sources"].items():
        if facts.get("promoted"):
            best, k = facts["promoted"], summary["settings"]["promote"]
            notes.append(f"best of {name}'s top {k} on the whole set: {best['best']}, {_percent(best['accuracy'])} %")
    if "best" in summary["truth"]:
        notes.append(f"best on the whole set: {summary['truth']['best']}, {_percent(summary['truth']['accuracy'])} %")
    for row in summary["leads"]:
        if np.isfinite(row["spearman"]):
            ends = f"[{_number(row['low'])}, {_number(row['high'])}]"
            notes.append(f"Spearman of {row['first']} minus that of {row['other']}: {_number(row['spearman'])} {ends}")
    if len(summary.get("ceiling", [])) > 1:
        moves = ", ".join(f"{_number(row['spearman'])} with {row['repeats']}" for row in summary["ceiling"])
        notes.append(f"noise ceiling (Spearman of the whole set with itself) by repeats: {moves}")
    if summary["errors"]:
        first = summary["errors"][0]
        where = f"{first['name']} by {first['source']}"
        notes.append(f"{len(summary['errors'])} trials failed and are left out, such as {where}: {first['error']}")
    notes.append(
        "[low, high]: 95 % bootstrap over architectures. top: the proxy's own best. accuracy: of its first choice"
    )
    notes.append(
        "on the whole set. Equal scores share their mean rank; – where scores are constant or nothing compares."
    )
    return notes


def _agreement(summary: dict[str, Any]) -> Table:
    """A row per source: rank correlations with the truth."""
    sources = {name: facts for name, facts in summary["sources"].items() if name != TRUTH}
    sizes: dict[str, Any] = next((facts for facts in sources.values() if "n" in facts), {})
    k5, k10, k20 = (sizes.get(f"{label}_k", "?") for label in ("top5", "top10", "top20"))
    table = Table(title=f"rank correlation with training on the whole set, {summary['truth']['n']} architectures")
    columns = ("Spearman, all", "Kendall τ-b, all", f"Spearman, top {k20}", f"top 10 % ({k10})", f"top 5 % ({k5})")
    _columns(table, "ranked by", *columns)
    for name, facts in sources.items():
        table.add_row(
            name,
            _with_interval(facts, "spearman", _number),
            _with_interval(facts, "kendall", _number),
            _with_interval(facts, "spearman_top20", _number),
            _number(facts.get("spearman_top10")),
            _number(facts.get("spearman_top5")),
        )
    return table


def _choices(summary: dict[str, Any]) -> Table:
    """A row per source: how good its choice is, and what the ranking cost."""
    truth = summary["truth"]
    k20 = next((facts["top20_k"] for facts in summary["sources"].values() if "top20_k" in facts), "?")
    table = Table(title="its choice, and what it took")
    _columns(table, "ranked by", "accuracy %", "regret", f"precision@{k20}", "images", "building", "trials")
    for name, facts in summary["sources"].items():
        failed = f", {facts['failed']} failed" if facts["failed"] else ""
        table.add_row(
            name,
            _percent(truth.get("accuracy") if name == TRUTH else facts.get("found")),
            "" if name == TRUTH else _with_interval(facts, "regret", _percent),
            _number(facts.get("precision_top20")),
            f"{facts['images']:,}",
            duration(facts["build_seconds"]),
            f"{duration(facts['trial_seconds'])} ({facts['trials']}{failed})",
        )
    return table


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)


def _with_interval(facts: dict[str, float], name: str, show: Callable[[float | None], str]) -> str:
    if name not in facts:
        return "–"
    return f"{show(facts[name])} \\[{show(facts[f'{name}_low'])}, {show(facts[f'{name}_high'])}]"


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f}"


def _plain(value: Any) -> Any:
    """For JSON, in which NaN has no place: None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
