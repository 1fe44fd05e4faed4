"""What a finished run says: the result files and the summary."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxyset.errors import RunError
from proxyset.files import write_atomic
from search.figures import save_figures
from search.folder import SUMMARY, Record
from search.rank import Scores, lead, spearman, summarise
from search.scores import MeanScores, best_first, frame, mean_scores
from search.sources.base import unit_of
from search.sources.table import ColumnSource
from search.sources.trained import AGAIN, EARLY, TRUTH, EarlyStop
from search.trial import Row
from search.verdict import judge

RANDOM = "random"  # images, at the same count: what a set must beat to be worth making


def write_report(record: Record, out: Path) -> tuple[dict[str, Any], list[Path]]:
    """Write results.parquet, results.csv, summary.json and the figures to `out`.

    Returns:
        The summary, and the figures' files.

    Raises:
        InputError: `out` cannot be written.
        RunError: no training succeeded; the table of trials is written all the same.
    """
    table = frame(record.rows)
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    write_atomic(out / "results.parquet", buffer.getvalue())
    write_atomic(out / "results.csv", table.to_csv(index=False).encode())
    free = free_sources(record)
    trained = table[~table["source"].isin(free)]
    if len(trained) and trained["error"].notna().all():
        raise RunError(f"every training failed, the first with: {trained['error'].iloc[0]}")
    scores = mean_scores(record.rows, record.names)
    summary = summarise_run(record, scores)
    write_atomic(out / SUMMARY, (json.dumps(without_nan(summary), indent=1) + "\n").encode())
    return summary, save_figures(scores, table, summary, out)


def free_sources(record: Record) -> list[str]:
    """The sources of a run that train nothing."""
    older = ("params", "jacobian")  # runs of before 0.2 do not say it
    return [name for name, facts in record.sources.items() if facts.get("free", name in older)]


def summarise_run(record: Record, scores: MeanScores) -> dict[str, Any]:
    """Per source how its ranking agrees with the truth, what it took, and the best architecture by it."""
    settings, names, sources, free = record.settings, record.names, record.sources, free_sources(record)
    truth = scores.get(TRUTH, pd.Series(dtype=float))
    table = frame(record.rows)
    result: dict[str, Any] = {"settings": settings, "architectures": len(names)}
    result["truth"] = {"n": len(truth)} | _best(truth, len(truth), truth)
    result["sources"] = {}
    for name, source in sources.items():
        trials = table[table["source"] == name]
        facts = {
            "images": source["images"],
            "training_images": source["images"] * source.get("tiles", 1),
            "free": name in free,
            **({"unit": source["unit"]} if "unit" in source else {}),
            "build_seconds": source["seconds"],
            "trial_seconds": float(trials["seconds"].sum()),
            "trials": len(trials),
            "failed": int(trials["error"].notna().sum()),
        }
        if name != TRUTH and name in scores:
            facts |= _agreement(scores[name], truth, settings["seed"])
        if source.get("halving") in scores and name in scores:
            facts["halving"] = {"of": source["halving"]} | _alike(scores[name], scores[source["halving"]])
        facts["ordinal"] = unit_of(facts) != "accuracy" or "halving" in source
        if name in scores:
            facts |= {"choice": best_first(scores[name])[0]} | _promoted(scores[name], record)
        result["sources"][name] = facts
    result["leads"] = _leads([name for name in sources if name != TRUTH and name in scores], scores, settings["seed"])
    result["verdicts"] = verdicts(sources, free, scores, settings["seed"])
    result["finals"] = record.finals
    result["found"] = found(record.finals)
    if AGAIN in sources:
        result["ceiling"] = [_ceiling(record.rows, names, repeats) for repeats in range(1, settings["repeats"] + 1)]
    result["errors"] = table[table["error"].notna()][["source", "name", "error"]].to_dict("records")
    return result


def _agreement(scores: "pd.Series[float]", truth: "pd.Series[float]", seed: int) -> dict[str, Any]:
    """How a source ranks the architectures that have a truth; empty where fewer than two have."""
    both = scores.index.intersection(truth.index, sort=False)
    if len(both) < 2:
        return {}
    return summarise(scores[both].to_numpy(), truth[both].to_numpy(), np.random.default_rng([seed, len(both)]))


def _leads(names: list[str], scores: MeanScores, seed: int) -> list[dict[str, Any]]:
    """By how much the first source's Spearman exceeds each other's, over the architectures that all three scored."""
    rows = []
    for other in names[1:]:
        three = pd.DataFrame({"first": scores[names[0]], "other": scores[other], "truth": scores.get(TRUTH)}).dropna()
        if len(three) >= 2:
            columns = [three[column].to_numpy(dtype=float) for column in three]
            result = lead(columns[0], columns[1], columns[2], np.random.default_rng([seed, len(three)]))
            row = {"first": names[0], "other": other, "spearman": result.value}
            rows.append(row | {"low": result.low, "high": result.high, "verdict": result.verdict})
    return rows


def _alike(one: "pd.Series[float]", other: "pd.Series[float]") -> dict[str, float]:
    """How alike two rankings order the architectures that both have."""
    both = one.index.intersection(other.index, sort=False)
    return {"spearman": float(spearman(one[both].to_numpy(), other[both].to_numpy()))}


def _promoted(scores: "pd.Series[float]", record: Record) -> dict[str, Any]:
    """What came of a ranking's best once they were trained to be kept; of an older run, once they had a truth."""
    count = record.settings["promote"]
    if record.finals:
        order = best_first(scores)
        kept = {row["name"]: row for row in record.finals if row["error"] is None}
        best = found([kept[name] for name in order[:count] if name in kept])
        promoted = {"best": best["name"], "accuracy": best["test"]} if best else {}
        return {"promoted": promoted} | ({"test": kept[order[0]]["test"]} if order[0] in kept else {})
    truth = mean_scores(record.rows, record.names).get(TRUTH, pd.Series(dtype=float))
    return {"promoted": _best(scores, count, truth)} if count else {}


def found(finals: list[Row]) -> dict[str, Any]:
    """The best of the networks that are kept: by validation, so that its test accuracy chose nothing. Where no images
    were held out, the one that was to be trained first: the first choice of the first ranking.
    """
    good = [row for row in finals if row["error"] is None]
    if not good:
        return {}
    best = max(good, key=lambda row: (-1 if row["validation"] is None else row["validation"], -row.get("place", 0)))
    return {key: best[key] for key in ("name", "validation", "test", "epoch")}


def verdicts(sources: dict[str, Any], free: list[str], scores: MeanScores, seed: int) -> list[dict[str, str]]:
    """What to think of each proxy set: see `verdict.judge`. Empty without a truth.

    Columns of a table cost nothing here because somebody else has trained them: they are no free rivals.
    """
    looked_up = {name for name, facts in sources.items() if facts.get("kind") == ColumnSource.__name__}
    random = {name for name, facts in sources.items() if RANDOM in (name, facts.get("halving"))}
    rivals = {name: name in free for name in sources if name in random | set(free) - looked_up}
    rows = []
    for name in sources:
        early = name == EARLY or sources[name].get("kind") == EarlyStop.__name__
        if early or name in (*free, TRUTH, AGAIN) or name not in scores:
            continue
        columns = {one: scores[one] for one in (name, *rivals, TRUTH) if one in scores}
        table = pd.DataFrame(columns).dropna()
        if TRUTH in table and len(table) >= 2:
            values = {str(one): table[one].to_numpy(dtype=float) for one in table}
            others = set(values) - (random if name in random else {name})
            there = {one: costs for one, costs in rivals.items() if one in others}
            verdict = judge(name, values, values[TRUTH], there, seed, _again(scores, table.index))
            rows.append({"name": name, "grade": verdict.grade, "why": verdict.why})
    return rows


def _again(scores: MeanScores, names: "pd.Index[str]") -> Scores | None:
    """The truth under another seed; None where some of the architectures lack it, as in a run that was stopped."""
    again = scores[AGAIN].reindex(names) if AGAIN in scores else pd.Series(dtype=float)
    return again.to_numpy(dtype=float) if len(again) and again.notna().all() else None


def _best(scores: "pd.Series[float]", k: int, truth: "pd.Series[float]") -> dict[str, Any]:
    """The best by the truth among the k best by `scores`; empty where none of them has a truth."""
    chosen = scores.sort_values(ascending=False, kind="stable").index[:k]
    known = truth[truth.index.intersection(chosen, sort=False)]
    return {"best": str(known.idxmax()), "accuracy": float(known.max())} if len(known) else {}


def _ceiling(rows: list[Row], names: list[str], repeats: int) -> dict[str, float]:
    """How well the whole set under another seed ranks as the whole set does, each by the mean of `repeats`."""
    scores = mean_scores(rows, names, repeats)
    nothing = pd.Series(dtype=float)
    both = scores.get(AGAIN, nothing).index.intersection(scores.get(TRUTH, nothing).index)
    if len(both) < 2:
        return {"repeats": repeats, "spearman": float("nan")}
    again, truth = (scores[name][both].to_numpy() for name in (AGAIN, TRUTH))
    return {"repeats": repeats, "spearman": float(spearman(again, truth))}


def without_nan(value: Any) -> Any:
    """For JSON, in which NaN has no place: None."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
