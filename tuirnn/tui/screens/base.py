"""What every tab has, and how a tab follows the logs of a run."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from tuirnn.runlog.feed import RunFeed
from tuirnn.runlog.folder import Signature
from tuirnn.runlog.snapshot import Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary

if TYPE_CHECKING:
    from tuirnn.tui.app import DashboardApp

REDRAW = 0.25
"""Seconds between two drawings while a long log is read."""


class Tab(Container):
    """A tab: `do_<action>` for each of its keys, `can` for whether the key works now; nothing before `furnished`."""

    furnished = False

    @property
    def dashboard(self) -> "DashboardApp":
        """The app, by its own type."""
        return cast("DashboardApp", self.app)

    def on_mount(self) -> None:
        """Begin, unless the dashboard is closing already and nothing of the tab has come into being."""
        if self.children:
            self.furnish()
            self.furnished = True

    def furnish(self) -> None:
        """The tab's parts are there: what it shows before anything is known."""

    @property
    def is_open(self) -> bool:
        """Whether this tab is the one on the screen."""
        return self.dashboard.tab == self.id

    def can(self, action: str) -> bool:
        """Whether this action means something now."""
        return True

    def opened(self) -> None:
        """The tab has come to the screen."""

    def tick(self) -> None:
        """Called every `BEAT` while the tab is open: the place to look at logs."""

    def closed(self) -> None:
        """Another tab has come to the screen."""

    def left(self) -> None:
        """Esc was pressed."""

    def home(self) -> Widget | None:
        """The widget that takes the keys when no field does; None: the tab itself."""
        return None

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """The folder has changed."""


class FeedRead(Message):
    """More of a run's logs has been read; `ended` where nothing more is waiting."""

    def __init__(self, feed: RunFeed, ended: bool) -> None:
        super().__init__()
        self.feed = feed
        self.ended = ended


class Follower:
    """Keeps the snapshot of one run's logs fresh for a tab; reads in a thread, and only what is new.

    Args:
        tab: receives `FeedRead`, hands it to `received`, and calls `poll` every now and then.
        changed: called after each piece that was read.
    """

    def __init__(self, tab: Tab, changed: Callable[[], None]) -> None:
        self.tab = tab
        self.changed = changed
        self.feed: RunFeed | None = None
        self._reading = False
        self._seen: tuple[Signature, float | None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What has been read."""
        return self.feed.snapshot if self.feed else Snapshot()

    def follow(self, paths: RunPaths | None) -> None:
        """Follow another run, or none."""
        if paths is not None and self.feed is not None and self.feed.paths == paths:
            return
        self.feed = self.tab.dashboard.feed(paths) if paths else None
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
        self.tab.run_worker(lambda: self._read(feed), thread=True, exclusive=True, group=f"feed-{id(self)}")

    def _read(self, feed: RunFeed) -> None:
        worker, due, more = get_current_worker(), 0.0, True
        while more and not worker.is_cancelled:
            more = feed.advance()
            if not more or time.monotonic() >= due:
                self.tab.post_message(FeedRead(feed, not more))
                due = time.monotonic() + REDRAW

    def received(self, message: FeedRead) -> None:
        """Take a message of one's own reading; one of an earlier run is dropped."""
        if message.feed is self.feed and self.tab.is_running and self.tab.children:
            self._reading = not message.ended
            self.changed()


class Crew:
    """A follower for each of several runs.

    Args:
        tab, changed: as for `Follower`.
    """

    def __init__(self, tab: Tab, changed: Callable[[], None]) -> None:
        self.tab = tab
        self.changed = changed
        self._followers: dict[RunPaths, Follower] = {}

    def follow(self, runs: Sequence[RunPaths]) -> None:
        """Follow these runs and no others."""
        self._followers = {paths: self._followers.get(paths) or Follower(self.tab, self.changed) for paths in runs}
        for paths, follower in self._followers.items():
            follower.follow(paths)

    def poll(self) -> None:
        """Start reading where logs have changed."""
        for follower in self._followers.values():
            follower.poll()

    def received(self, message: FeedRead) -> None:
        """Hand a message to the follower whose it is."""
        for follower in self._followers.values():
            follower.received(message)

    def snapshot(self, paths: RunPaths) -> Snapshot:
        """What has been read of a run."""
        return self._followers[paths].snapshot if paths in self._followers else Snapshot()
