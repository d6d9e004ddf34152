"""The dashboard itself: the frame around the tabs, and what they share."""

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.command import CommandList, CommandPalette
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import ContentSwitcher, Static

from tuirnn.errors import RunError
from tuirnn.runlog.feed import Manners, RunFeed
from tuirnn.runlog.folder import FolderWatch
from tuirnn.runlog.memory import keep_memory_small
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.text import visible_line
from tuirnn.tui import look
from tuirnn.tui.errands import Errands
from tuirnn.tui.keys import KEYS, TABS, Key
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.compare import CompareTab
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.runs import RunsTab
from tuirnn.tui.screens.train import SMOOTHINGS, TrainTab
from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.terminal import leave_when_asked
from tuirnn.tui.widgets.chart import LINES
from tuirnn.tui.widgets.frame import KeyLine, TabName, TopLine

BEAT = 0.15
"""Seconds between two looks at the logs on the screen: a few calls of stat."""

SCAN_EVERY = 1.0
SCAN_SHARE = 20
"""A folder so large that looking through it takes t is looked through every SCAN_SHARE × t at most."""

SMALLEST = (60, 16)
KEPT_FEEDS = 10

SETTLE = 0.3
"""Seconds between two tabs that are made ready while nobody presses a key: the first look at one is as quick as any."""

SWITCH = 0.001
"""Seconds after which a thread that reads a long log lets another one on; Python's own 5 ms can be felt in keys."""


class FolderRead(Message):
    """The folder of runs has been looked through."""

    def __init__(self, runs: list[RunSummary], seconds: float) -> None:
        super().__init__()
        self.runs = runs
        self.seconds = seconds


class Palette(CommandPalette):
    """The command palette; keys that come before its list is laid out are let go."""

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).size.height:
            super()._action_command_list(action)


class DashboardApp(App[None]):
    """Tabs over one folder of runs.

    Args:
        folder: of runs; need not exist.
        run: to open at once.
        ascii: draw with plain characters only.
    """

    CSS_PATH = "app.tcss"
    TITLE = "tuirnn"
    AUTO_FOCUS = None  # a field that takes the focus by itself, after a dialog, would take the keys
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (112, "-wide"), (160, "-huge")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall"), (38, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in KEYS]

    def __init__(self, folder: Path, run: str | None = None, ascii: bool = False) -> None:
        super().__init__()
        sys.setswitchinterval(SWITCH)
        keep_memory_small()
        self.register_theme(look.SAFE_DARK)
        self.register_theme(look.SAFE_LIGHT)
        self.ascii = ascii
        self._plain = [look.Plain()] if ascii else []
        self._small = False
        self.folder = folder
        self.marked: dict[str, None] = {}
        self._lines: dict[str, int] = {}
        self.wanted = run
        self.runs: list[RunSummary] = []
        self.scanned = False
        self.smoothing: float | None = SMOOTHINGS[0]
        self.tab = "runs" if run is None else "train"
        self.tabs: dict[str, Tab] = {
            "runs": (runs := RunsTab(id="runs")),
            "train": (train := TrainTab(id="train")),
            "xray": (xray := XrayTab(id="xray")),
            "generate": (generate := GenerateTab(id="generate")),
            "compare": CompareTab(id="compare"),
        }
        self.runs_tab, self.train, self.xray, self.generate = runs, train, xray, generate
        self.errands = Errands(self)
        self._watch = FolderWatch(folder)
        self._manners = Manners()
        self._scanning = False
        self._next_scan = 0.0
        self._feeds: OrderedDict[Path, RunFeed] = OrderedDict()

    def compose(self) -> ComposeResult:
        """The frame."""
        yield TopLine(id="top")
        with ContentSwitcher(initial=self.tab, id="body"):
            yield self.tabs[self.tab]  # the others come when they are wanted
        yield KeyLine(id="keys")
        yield Static("", id="too-small", markup=False)

    def on_mount(self) -> None:
        """First frame first; the runs come as soon as they are read."""
        self.query_one(TopLine).show_tab(self.tab)
        if self.wanted is not None:
            self.train.open_run(RunPaths(self.folder / self.wanted))
        self.set_interval(BEAT, self._beat)
        self.set_interval(SCAN_EVERY, self._scan_if_due)
        if not self.is_headless:
            leave_when_asked(self)
        self.scan()
        self.leave_field()
        self.set_timer(SETTLE, self._mount_next)

    async def _mount_next(self) -> None:
        """Bring the tabs that are not open into being, one after the other, while nothing else is to be done."""
        if not self.query("#body"):  # a dialog is open, or the dashboard is closing
            pass
        elif self._manners.quiet or not self.runs_tab.is_mounted:
            waiting = [tab for tab in self.tabs.values() if not tab.is_mounted]
            if not waiting:
                return
            await self._mounted(waiting[0])
        self.set_timer(SETTLE, self._mount_next)

    async def on_event(self, event: events.Event) -> None:
        """What the hand does goes before all reading."""
        if isinstance(event, events.InputEvent):
            self._manners.touched()
        await super().on_event(event)

    def get_css_variables(self) -> dict[str, str]:
        """The theme's variables, and those of our own."""
        variables, theme = super().get_css_variables(), self.current_theme
        return variables | look.colours(variables, theme.ansi, theme.dark)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Plain characters, where they are asked for."""
        return [*super().get_line_filters(), *self._plain]

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers: every key, by what it does; and every theme."""
        for key in KEYS:
            if key.action not in ("leave", "command_palette") and not key.action.startswith("scroll"):
                title = f"{TABS[key.tab]}: {key.help}" if key.tab else key.help
                yield SystemCommand(title, f"key {key.shown}", partial(self._press, key))
        for theme in look.THEMES:
            yield SystemCommand(f"theme: {theme}", "colours", partial(setattr, self, "theme", theme))

    async def _press(self, key: Key) -> None:
        """Do what a key does, on its tab."""
        if key.tab:
            await self.action_show(key.tab)
            if self.check_action("do", (key.tab, key.action)):
                self.action_do(key.tab, key.action)
            else:
                self.say(f"not now: {key.help}")
        else:
            await self.run_action(key.action)

    # ── the folder ────────────────────────────────────────────────────────────

    def scan(self) -> None:
        """Look through the folder now, in a thread."""
        if not self._scanning:
            self._scanning = True
            self.run_worker(self._scan, thread=True, group="scan")

    def _beat(self) -> None:
        tab = self.tabs[self.tab]
        if tab.furnished:
            tab.tick()

    def _scan_if_due(self) -> None:
        if time.monotonic() >= self._next_scan:
            self.scan()

    def _scan(self) -> None:
        began = time.monotonic()
        runs = self._watch.scan()
        self.post_message(FolderRead(runs, time.monotonic() - began))

    def on_folder_read(self, message: FolderRead) -> None:
        """Tell the tabs, if anything is different."""
        self._scanning = False
        self._next_scan = time.monotonic() + SCAN_SHARE * message.seconds
        if not self.query(KeyLine):  # the dashboard is closing
            return
        same = len(message.runs) == len(self.runs) and all(
            new is old for new, old in zip(message.runs, self.runs, strict=True)
        )
        if same and self.scanned:
            return
        self.runs, self.scanned = message.runs, True
        for run in reversed(message.runs):
            self._lines.setdefault(run.name, len(self._lines))
        self.query_one(TopLine).show_live(sum(run.status.live for run in self.runs), len(self.runs))
        for tab in self.tabs.values():
            if tab.furnished:
                tab.runs_changed(self.runs)
        self.refresh_bindings()

    def feed(self, paths: RunPaths) -> RunFeed:
        """The feed of a run; those of the last few runs are kept."""
        feed = self._feeds.pop(paths.root, None) or RunFeed(paths, rest=self._manners.wait)
        feed.beta = self.smoothing
        self._feeds[paths.root] = feed
        while len(self._feeds) > KEPT_FEEDS:
            self._feeds.popitem(last=False)
        return feed

    # ── what the tabs ask for ─────────────────────────────────────────────────

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor of the Runs tab."""
        return self.runs_tab.highlighted if self.runs_tab.furnished else next(iter(self.runs), None)

    @property
    def current(self) -> str:
        """Name of the run that one is looking at; '' for none."""
        watched = self.train.paths
        return watched.name if watched else self.highlighted.name if self.highlighted else ""

    def line_of(self, name: str) -> str:
        """The style of a run's line, the same wherever it is drawn."""
        return LINES[self._lines.setdefault(name, len(self._lines)) % len(LINES)]

    def toggle_mark(self, name: str) -> None:
        """Mark a run, or take its mark away."""
        if name in self.marked:
            del self.marked[name]
        else:
            self.marked[name] = None

    def open_run(self, paths: RunPaths) -> None:
        """Watch a run."""
        self._turn_to(self.train, lambda: self.train.open_run(paths))

    def look_inside(self, name: str) -> None:
        """X-ray a run."""
        self._turn_to(self.xray, lambda: self.xray.look(name))

    def generate_with(self, name: str) -> None:
        """Write with a run."""
        self._turn_to(self.generate, lambda: self.generate.open_cell(name))

    def _turn_to(self, tab: Tab, then: Callable[[], None]) -> None:
        async def turn() -> None:
            await self._mounted(tab)
            then()
            await self.action_show(str(tab.id))

        self.call_later(turn)

    async def _mounted(self, tab: Tab) -> None:
        """Bring a tab into being."""
        if not tab.is_mounted:
            tab.display = False
            await self.query_one("#body", ContentSwitcher).mount(tab)
            if tab.furnished:
                tab.runs_changed(self.runs)

    def new_run(self) -> None:
        """The form for a new run."""
        from tuirnn.tui.screens.new_run import NewRun

        self.push_screen(NewRun(self.folder))

    def started(self, name: str) -> None:
        """A training has started from here: watch it."""
        if isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        self.scan()
        self.open_run(RunPaths(self.folder / name))
        self.say(f"{name} is training; closing the dashboard does not end it")

    def keep_look(self, old: str, new: str) -> None:
        """A run gets a new name: its line's style and its mark go with it."""
        if old in self._lines:
            self._lines[new] = self._lines[old]
        if old in self.marked:
            self.marked[new] = None

    def gone(self, paths: RunPaths) -> None:
        """A run is no longer where it was."""
        self._feeds.pop(paths.root, None)
        self.marked.pop(paths.name, None)
        if self.train.paths == paths:
            self.train.close_run()
        self.scan()

    def say(self, line: str, error: bool = False) -> None:
        """A short notice in the corner."""
        self.notify(
            visible_line(line), severity="error" if error else "information", timeout=8 if error else 3, markup=False
        )

    # ── keys and frame ────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A tab's key works where the tab is open and can."""
        if action != "do":
            return True
        name, what = (str(part) for part in parameters)
        if name != self.tab or not self.is_running:
            return False
        tab = self.tabs[name]
        return tab.furnished and tab.can(what)

    def action_do(self, tab: str, what: str) -> None:
        """Carry out a tab's key."""
        getattr(self.tabs[tab], f"do_{what}")()

    async def action_show(self, tab: str) -> None:
        """Bring a tab to the screen; it is where it was left."""
        await self._mounted(self.tabs[tab])
        if tab != self.tab:
            self.tabs[self.tab].closed()
            self.tab = tab
            self.query_one("#body", ContentSwitcher).current = tab
            self.query_one(TopLine).show_tab(tab)
        self.leave_field()
        self.tabs[tab].opened()
        self.refresh_bindings()

    def action_leave(self) -> None:
        """Out of a field: the keys are the tab's again."""
        self.tabs[self.tab].left()
        self.leave_field()

    def leave_field(self) -> None:
        """Give the keys back to the tab."""
        self.screen_stack[0].set_focus(self.tabs[self.tab].home())

    def action_help(self) -> None:
        """All keys."""
        from tuirnn.tui.screens.dialogs import Help

        self.push_screen(Help(self.tab))

    def action_command_palette(self) -> None:
        """Everything by name; in a window that is too small there is only the message."""
        if not self._small and not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette())

    def action_theme(self) -> None:
        """The next theme."""
        now = look.THEMES.index(self.theme) if self.theme in look.THEMES else -1
        self.theme = look.THEMES[(now + 1) % len(look.THEMES)]
        self.notify(self.theme, timeout=2)

    async def on_tab_name_chosen(self, event: TabName.Chosen) -> None:
        """A tab was clicked."""
        await self.action_show(event.tab)

    def on_resize(self, event: events.Resize) -> None:
        """Below the smallest size there is only a message."""
        width, height = event.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self._small, base = small, self.screen_stack[0]
        for screen in self.screen_stack:
            screen.set_class(small, "-too-small")
        if not small and isinstance(self.screen, ModalScreen) and self.screen.focused is None:
            self.screen.focus_next()  # what is hidden has lost the focus
        if small:
            base.query_one("#too-small", Static).update(
                f"tuirnn needs {SMALLEST[0]} × {SMALLEST[1]} characters;\nthis window has {width} × {height}."
                "\n\nEnlarge it, or press q."
            )


def run(folder: Path, run: str | None = None, ascii: bool = False, theme: str | None = None) -> int:
    """Open the dashboard and stay until it is closed.

    Args:
        folder: of runs; need not exist.
        run: name of the run to open on.
        ascii: draw with plain characters only.
        theme: one of `look.THEMES`.
    Returns:
        The exit status for the shell.
    """
    app = DashboardApp(folder, run, ascii)
    app.theme = theme or app.theme
    app.run()
    return app.return_code or 0


def screenshot(
    folder: Path, run: str | None, path: Path, size: tuple[int, int] = (120, 40), theme: str | None = None
) -> None:
    """Write a picture of the dashboard as SVG: a run's Train tab, or the Runs tab without one.

    Args:
        folder: of runs.
        run: name of a run, or None.
        path: of the picture.
        size: columns and rows.
        theme: one of `look.THEMES`.
    Raises:
        RunError: the picture cannot be written.
    """

    async def draw() -> str:
        app = DashboardApp(folder, run)
        app.theme = theme or app.theme
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause(0.7)  # the next look at the logs, and its drawing
            await app.workers.wait_for_complete()
            await pilot.pause()
            return app.export_screenshot(title="tuirnn")

    picture = asyncio.run(draw())
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {visible_line(str(path))}: {error.strerror}") from None
