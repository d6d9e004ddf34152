"""How a tab follows the logs of runs: reading in threads, a message for each piece that was read."""

import time
from collections.abc import Callable, Sequence

from textual.message import Message
from textual.worker import get_current_worker

from tuirnn.runlog.feed import RunFeed
from tuirnn.runlog.folder import Signature
from tuirnn.runlog.snapshot import Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.screens.base import Tab

REDRAW = 0.25
"""Seconds between two drawings while a long log is being read."""


class LogRead(Message):
    """A piece of a run's logs has been read; `ended`: everything has."""

    def __init__(self, feed: RunFeed, ended: bool) -> None:
        super().__init__()
        self.feed = feed
        self.ended = ended


class LogReader:
    """Keeps the snapshot of one run's logs up to date; reads in a thread, and only what is new.

    Args:
        tab: receives `LogRead` and passes it to `received`; calls `poll` regularly.
        changed: called after each piece.
    """

    def __init__(self, tab: Tab, changed: Callable[[], None]) -> None:
        self.tab = tab
        self.changed = changed
        self.feed: RunFeed | None = None
        self._reading = False
        self._seen: tuple[Signature, float | None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What has been read so far."""
        return self.feed.snapshot if self.feed else Snapshot()

    def follow(self, paths: RunPaths | None) -> None:
        """Follow this run instead of the present one; None follows no run."""
        if paths is not None and self.feed is not None and self.feed.paths == paths:
            return
        self.feed = self.tab.context.folder.feed(paths) if paths else None
        self._reading, self._seen = False, None
        self.changed()
        self.poll()

    def poll(self) -> None:
        """Start reading if the logs have changed."""
        if self.feed is None or self._reading:
            return
        now = (self.feed.signature(), self.feed.beta)
        if now == self._seen:
            return
        feed, self._seen, self._reading = self.feed, now, True
        self.tab.run_worker(lambda: self._read(feed), thread=True, exclusive=True, group=f"log-{id(self)}")

    def _read(self, feed: RunFeed) -> None:
        worker, due, more = get_current_worker(), 0.0, True
        while more and not worker.is_cancelled:
            more = feed.advance()
            if not more or time.monotonic() >= due:
                self.tab.post_message(LogRead(feed, not more))
                due = time.monotonic() + REDRAW

    def received(self, message: LogRead) -> None:
        """Take a message about the present run; messages about earlier runs are dropped."""
        if message.feed is self.feed and self.tab.is_running and self.tab.children:
            self._reading = not message.ended
            self.changed()


class LogReaders:
    """A `LogReader` for each of several runs.

    Args:
        tab, changed: as for `LogReader`.
    """

    def __init__(self, tab: Tab, changed: Callable[[], None]) -> None:
        self.tab = tab
        self.changed = changed
        self._readers: dict[RunPaths, LogReader] = {}

    def follow(self, runs: Sequence[RunPaths]) -> None:
        """Follow these runs and no others."""
        self._readers = {paths: self._readers.get(paths) or LogReader(self.tab, self.changed) for paths in runs}
        for paths, reader in self._readers.items():
            reader.follow(paths)

    def poll(self) -> None:
        """Start reading the logs that have changed."""
        for reader in self._readers.values():
            reader.poll()

    def received(self, message: LogRead) -> None:
        """Pass a message to the reader that it is for."""
        for reader in self._readers.values():
            reader.received(message)

    def snapshot(self, paths: RunPaths) -> Snapshot:
        """What has been read of a run so far."""
        return self._readers[paths].snapshot if paths in self._readers else Snapshot()
