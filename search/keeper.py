"""Each trial kept as it comes, and shown."""

from proxyset.progress import Progress, ProgressLine
from search.folder import RunFolder
from search.trial import Row
from search.within import Limit


class Keeper:
    """Keeps each row as it comes, and shows how far the trials are."""

    def __init__(self, folder: RunFolder, total: int, line: Progress, limit: Limit | None = None) -> None:
        self.folder, self.total, self.line, self.limit = folder, total, line, limit
        self.done = 0
        self.best: tuple[float, str] | None = None

    def __call__(self, row: Row, running: int) -> None:
        """
        Args:
            running: trials that still run.

        Raises:
            TimeIsUp: no further one should begin.
        """
        self.folder.append(row)
        self.done += 1
        if row["accuracy"] is not None and (self.best is None or row["accuracy"] > self.best[0]):
            self.best = (row["accuracy"], f"{row['name']} by {row['source']}")
        if isinstance(self.line, ProgressLine):
            best = f", best {100 * self.best[0]:.1f} % {self.best[1]}" if self.best else ""
            self.line.title = f"trials ({running} running{best})"
        self.line(self.done, self.total)
        if self.limit is not None and self.done < self.total:
            self.limit.left_for_trials()
