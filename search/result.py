"""What a search has found."""

import base64
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from proxyset.errors import InputError
from search.figures import png, scatter
from search.finals import network_path
from search.folder import RunFolder
from search.network import Network
from search.report import write_report
from search.scores import frame, mean_scores
from search.sources.trained import TRUTH
from search.tables import lead_in_words


@dataclass(frozen=True, repr=False)
class Ranking:
    """Architectures ranked by several sources.

    Attributes:
        scores: a row per architecture, a column per source ("whole" is training on the whole set): the mean over the
            repeats of accuracy (0..1), or what a source that trains nothing ranks by; NaN where a trial failed or was
            not asked for. Higher is better.
        summary: what `summary.json` holds: how each ranking agrees with the whole set, what it took, the leads.
        trials: a row per trial, as in `results.csv`.
        folder: where the run is kept, with its figures (None: nowhere).
    """

    scores: pd.DataFrame
    summary: dict[str, Any]
    trials: pd.DataFrame
    folder: Path | None = None

    @classmethod
    def of(cls, folder: RunFolder, keep: bool = True) -> "Ranking":
        """The result of a finished run; its result files are written.

        Args:
            keep: whether the folder will stay.

        Raises:
            InputError, RunError: as `RunFolder.record` and `write_report`.
        """
        record = folder.record()
        summary, _ = write_report(record, folder.path)
        means = mean_scores(record.rows, record.names)
        columns = {source: means[source] for source in summary["sources"] if source in means}
        scores = pd.DataFrame(columns, index=record.names)
        return cls(scores, summary, frame(record.rows), folder.path if keep else None)

    @property
    def best(self) -> str:
        """The best architecture by training on the whole set; without that, by the first source that ranked any."""
        by = TRUTH if TRUTH in self.scores else self.scores.columns[0]
        return str(self.scores[by].idxmax())

    def network(self, name: str | None = None) -> Network:
        """A network that the run keeps, with its weights (None: the best by validation).

        Raises:
            InputError: nothing is kept: `promote` keeps networks, in a run that has a folder.
        """
        kept = self.summary["found"]
        if self.folder is None or not kept:
            raise InputError("no network is kept: `promote=1` keeps the best of each ranking, in a `folder`")
        return Network.load(network_path(self.folder, name or kept["name"]))

    def figure(self) -> Figure | None:
        """Whole-set accuracy against each ranking's score; None where nothing was trained on the whole set."""
        return scatter({str(name): self.scores[name].dropna() for name in self.scores}, self.summary)

    def __repr__(self) -> str:
        rho = {name: facts["spearman"] for name, facts in self.summary["sources"].items() if "spearman" in facts}
        words = ", ".join(f"{name} ρ {value:.2f}" for name, value in rho.items())
        return f"Ranking({len(self.scores)} architectures, best {self.best}{'; ' if words else ''}{words})"

    def _repr_html_(self) -> str:
        """In words, as a table and as a figure, for notebooks."""
        parts = [html.escape(repr(self)), *(html.escape(lead_in_words(row)) for row in self.summary["leads"])]
        order = TRUTH if TRUTH in self.scores else self.scores.columns[0]
        table = self.scores.sort_values(order, ascending=False).head(10).to_html(float_format="{:.3f}".format)
        figure = self.figure()
        if figure is not None:
            image = base64.b64encode(png(figure)).decode()
            table += f'<img src="data:image/png;base64,{image}">'
        return f"<div>{'<br>'.join(parts)}{table}</div>"
