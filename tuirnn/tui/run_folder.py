"""The folder of runs as the dashboard knows it."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from tuirnn.runlog.feed import RunFeed
from tuirnn.runlog.folder import FolderWatch
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.theme import LINES

KEPT_FEEDS = 10


class RunFolder:
    """The runs of a folder as last read; for each run its mark, the style of its line and its log.

    Args:
        path: the folder; need not exist.
        wait: called between two pieces of a long log; may block for a moment.
        smoothing: of the training loss, from 0 to 1; None selects it by the number of points.

    Attributes:
        runs: the newest first.
        was_read: whether the folder has been read at all.
        marked: names of the marked runs, in the order in which they were marked.
        smoothing: as above; may be changed.
    """

    def __init__(self, path: Path, wait: Callable[[], None], smoothing: float | None = None) -> None:
        self.path = path
        self.runs: list[RunSummary] = []
        self.was_read = False
        self.marked: dict[str, None] = {}
        self.smoothing = smoothing
        self._watch = FolderWatch(path)
        self._wait = wait
        self._lines: dict[str, int] = {}
        self._feeds: OrderedDict[Path, RunFeed] = OrderedDict()

    def paths(self, name: str) -> RunPaths:
        """The run of a name."""
        return RunPaths(self.path / name)

    def read(self) -> list[RunSummary]:
        """Read the folder; may run in any thread, one call at a time. `update` stores the result."""
        return self._watch.scan()

    def update(self, runs: list[RunSummary]) -> bool:
        """Store the runs that were read; returns whether anything is different."""
        same = len(runs) == len(self.runs) and all(new is old for new, old in zip(runs, self.runs, strict=True))
        if same and self.was_read:
            return False
        self.runs, self.was_read = runs, True
        for run in sorted(runs, key=lambda run: run.record.created if run.record else 0.0):
            self._lines.setdefault(run.name, len(self._lines))
        return True

    def named(self, names: list[str]) -> list[RunSummary]:
        """The runs with these names, in this order; unknown names are left out."""
        known = {run.name: run for run in self.runs}
        return [known[name] for name in names if name in known]

    def feed(self, paths: RunPaths) -> RunFeed:
        """The log of a run; those of the most recent runs are kept."""
        feed = self._feeds.pop(paths.root, None) or RunFeed(paths, rest=self._wait)
        feed.beta = self.smoothing
        self._feeds[paths.root] = feed
        while len(self._feeds) > KEPT_FEEDS:
            self._feeds.popitem(last=False)
        return feed

    def line_style(self, name: str) -> str:
        """The style of a run's line, the same in all charts."""
        return LINES[self._lines.setdefault(name, len(self._lines)) % len(LINES)]

    def toggle_mark(self, name: str) -> None:
        """Mark a run, or remove its mark."""
        if name in self.marked:
            del self.marked[name]
        else:
            self.marked[name] = None

    def carry_style(self, old: str, new: str) -> None:
        """Give the style and the mark of the run `old` to the run `new`, which is about to replace it."""
        if old in self._lines:
            self._lines[new] = self._lines[old]
        if old in self.marked:
            self.marked[new] = None

    def forget(self, paths: RunPaths) -> None:
        """Drop log and mark of a run that was removed."""
        self._feeds.pop(paths.root, None)
        self.marked.pop(paths.name, None)
