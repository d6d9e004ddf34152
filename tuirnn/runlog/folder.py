"""Watching a folder of runs: each run is read again only when its files have changed."""

import dataclasses
import os
from pathlib import Path

from tuirnn.runlog.log_sampling import spark
from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.runs.reader import read_status

Signature = tuple[tuple[int, int, int], ...]


def signature(*files: Path) -> Signature:
    """Time, size and identity of files; changes whenever one of the files does."""
    parts = []
    for file in files:
        try:
            stat = os.stat(file)
            parts.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            parts.append((0, -1, 0))
    return tuple(parts)


class FolderWatch:
    """The runs of a folder. A run is read again only when its files have changed, or while it may be live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Signature, RunSummary]] = {}

    def scan(self) -> list[RunSummary]:
        """All runs, the newest first, damaged ones last; runs that have not changed are the same objects as before."""
        known = self._known
        self._known = {name: self._look(name, known.get(name)) for name in run_names(self.folder)}
        runs = [summary for _, summary in self._known.values()]
        return sorted(runs, key=lambda run: -(run.record.created if run.record else 0.0))

    def _look(self, name: str, before: tuple[Signature, RunSummary] | None) -> tuple[Signature, RunSummary]:
        paths = RunPaths(self.folder / name)
        record, status = signature(paths.record, paths.notes), signature(paths.status)
        if before is None or before[0][:2] != record:
            return record + status, dataclasses.replace(summarize(paths), spark=spark(paths.metrics))
        if before[0] != record + status or before[1].status.live:
            summary = before[1]
            now = read_status(paths) if summary.record is not None else summary.status
            if not _same(now, summary.status):
                summary = dataclasses.replace(summary, status=now, spark=spark(paths.metrics))
            return record + status, summary
        return before


def _same(a: object, b: object) -> bool:
    """Equality under which NaN equals NaN."""
    return repr(a) == repr(b)
