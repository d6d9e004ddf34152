"""The dashboard: tabs over one folder of runs, the frame around them, and what they ask of it."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Input, Static

from tuirnn.errors import TuirnnError
from tuirnn.preferences import Preferences
from tuirnn.runlog.memory import keep_memory_small
from tuirnn.text import visible_line
from tuirnn.tui import theme
from tuirnn.tui.commands import Commands
from tuirnn.tui.copying import COPY_KEYS
from tuirnn.tui.input_priority import InputPriority
from tuirnn.tui.keys import key, named
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.tabs import TITLES, tab_class
from tuirnn.tui.terminal import exit_with_terminal
from tuirnn.tui.widgets.frame import KeyLine, TopLine

if TYPE_CHECKING:
    from tuirnn.runs.layout import RunPaths
    from tuirnn.runs.listing import RunSummary
    from tuirnn.tui.context import Result
    from tuirnn.tui.run_folder import RunFolder
    from tuirnn.tui.screens.runs import RunsTab
    from tuirnn.tui.screens.tour import Tour
    from tuirnn.tui.screens.train import TrainTab

AnyTab = TypeVar("AnyTab", bound=Tab)
# What takes long to import, NumPy among it, is imported after the first frame.

TICK = 0.15
"""Seconds between two looks at the logs of the open tab; a look is a few calls of stat."""

SCAN_EVERY = 1.0
SCAN_SHARE = 20
"""A folder that takes t seconds to read is read every SCAN_SHARE × t seconds at most."""

SMALLEST = (60, 16)
"""Columns and rows below which only a message is shown."""

MOUNT_EVERY = 0.3
"""Seconds between two tabs that are mounted while no key is pressed, so that opening a tab is always quick."""

SWITCH_INTERVAL = 0.001
"""Seconds after which a thread that reads a long log yields; Python's default of 5 ms delays keys noticeably."""


class FolderRead(Message):
    """The folder of runs has been read."""

    def __init__(self, runs: list[RunSummary], seconds: float) -> None:
        super().__init__()
        self.runs = runs
        self.seconds = seconds


class DashboardApp(Commands):
    """The dashboard; implements `Context` for its screens.

    Args:
        folder: of runs; need not exist.
        run: name of the run to open.
        ascii: draw ASCII characters only.
        preferred: what the user prefers; changes are kept in the file. None: defaults, and nothing is kept.
    """

    CSS_PATH = "app.tcss"
    TITLE = "tuirnn"
    AUTO_FOCUS = None  # the focus of a field after a dialog would divert the tab's keys
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (112, "-wide"), (160, "-huge")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall"), (38, "-high")]  # noqa: RUF012
    KEYS: ClassVar[tuple[Binding, ...]] = named("app", (
        *(
            key(str(number), f"show('{name}')", "", f"open the {title} tab")
            for number, (name, title) in enumerate(TITLES.items(), 1)
        ),
        key("escape", "leave", "", "leave a field or close a dialog"),
        key("T", "theme", "", "next theme: dark, light, the terminal's own colours, …"),
        key("ctrl+p", "command_palette", "", "command palette: all actions by name"),
        *COPY_KEYS,
        key("?", "help", "help", "show this help"),
        key("q", "quit", "quit", "close the dashboard; trainings continue"),
    ))  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def __init__(
        self, folder: Path, run: str | None = None, ascii: bool = False, preferred: Preferences | None = None
    ) -> None:
        super().__init__(preferred)
        sys.setswitchinterval(SWITCH_INTERVAL)
        keep_memory_small()
        self.ascii = ascii or bool(self.preferred.dashboard["ascii"])
        self.use_keys(self.every_key)
        self.too_small = False
        self._run = run
        self._input = InputPriority()
        self._path = folder
        self._scanning = False
        self._next_scan = 0.0
        self.tab = "runs" if run is None else "train"
        self.tabs: dict[str, Tab] = {}
        self._tour: Tour | None = None

    def compose(self) -> ComposeResult:
        """The frame; the tabs are mounted later."""
        yield TopLine(TITLES, id="top")
        yield ContentSwitcher(id="body")
        yield KeyLine(id="keys")
        yield Static("", id="too-small", markup=False)

    def on_mount(self) -> None:
        """Draw a first frame; the open tab follows, and the runs when they have been read."""
        self.query_one(TopLine).show_tab(self.tab)
        if not self.is_headless:
            exit_with_terminal(self)
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        await self._mount_tab(self._made(self.tab))
        if self._run is not None:
            self._train_tab.open_run(self.folder.paths(self._run))
        self.query_one("#body", ContentSwitcher).current = self.tab
        if not gc.isenabled():
            gc.freeze()  # a collection that walks all that was imported would delay a key by some 20 ms
            gc.enable()
        self.set_interval(TICK, self._tick)
        self.set_interval(SCAN_EVERY, self._scan_if_due)
        self.scan()
        self.leave_field()
        self.set_timer(MOUNT_EVERY, self._mount_next_tab)

    async def on_event(self, event: events.Event) -> None:
        """Give input priority over the reading of logs."""
        if isinstance(event, events.InputEvent):
            self._input.received()
        await super().on_event(event)

    def get_css_variables(self) -> dict[str, str]:
        """The theme's variables and the dashboard's own."""
        variables, now = super().get_css_variables(), self.current_theme
        return variables | theme.css_variables(variables, now.ansi, now.dark)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """ASCII characters only, if requested."""
        return [*super().get_line_filters(), *([theme.AsciiFilter()] if self.ascii else [])]

    # ── tabs ──────────────────────────────────────────────────────────────────

    @property
    def _runs_tab(self) -> RunsTab:
        from tuirnn.tui.screens.runs import RunsTab

        return self._tab(RunsTab)

    @property
    def _train_tab(self) -> TrainTab:
        from tuirnn.tui.screens.train import TrainTab

        return self._tab(TrainTab)

    def _made(self, name: str) -> Tab:
        if name not in self.tabs:
            self.tabs[name] = tab_class(name)(self)
        return self.tabs[name]

    def _tab(self, kind: type[AnyTab]) -> AnyTab:
        tab = self._made(kind.NAME)
        assert isinstance(tab, kind)
        return tab

    async def _mount_tab(self, tab: Tab) -> None:
        """Mount a tab, hidden, unless it is mounted."""
        if not tab.is_mounted:
            tab.display = False
            await self.query_one("#body", ContentSwitcher).mount(tab)
            if tab.is_set_up:
                tab.runs_changed(self.folder.runs)

    async def _mount_next_tab(self) -> None:
        """Mount the next tab that is not mounted, unless keys are being pressed."""
        if not self.query("#body"):  # a dialog is open, or the dashboard is closing
            pass
        elif self._input.is_idle or not self._runs_tab.is_mounted:
            waiting = [name for name in TITLES if name not in self.tabs or not self.tabs[name].is_mounted]
            if not waiting:
                return
            await self._mount_tab(self._made(waiting[0]))
        self.set_timer(MOUNT_EVERY, self._mount_next_tab)

    def _tick(self) -> None:
        if (tab := self._made(self.tab)).is_set_up:
            tab.tick()

    def _open(self, kind: type[AnyTab], prepare: Callable[[AnyTab], None]) -> None:
        """Mount a tab, prepare it, then bring it to the screen."""

        async def show() -> None:
            tab = self._tab(kind)
            await self._mount_tab(tab)
            prepare(tab)
            await self.action_show(kind.NAME)

        self.call_later(show)

    # ── reading the folder ────────────────────────────────────────────────────

    @functools.cached_property
    def folder(self) -> RunFolder:
        """The runs with their marks, line styles and logs."""
        from tuirnn.tui.run_folder import RunFolder

        smoothing = float(self.preferred.dashboard["smoothing"])
        return RunFolder(self._path, self._input.wait, None if smoothing < 0 else smoothing)

    def scan(self) -> None:
        """Read the folder now, in a thread."""
        if not self._scanning:
            self._scanning = True
            self.run_worker(self._scan, thread=True, group="scan")

    def _scan_if_due(self) -> None:
        if time.monotonic() >= self._next_scan:
            self.scan()

    def _scan(self) -> None:
        began = time.monotonic()
        runs = self.folder.read()
        self.post_message(FolderRead(runs, time.monotonic() - began))

    def on_folder_read(self, message: FolderRead) -> None:
        """Tell the tabs if anything is different."""
        self._scanning = False
        self._next_scan = time.monotonic() + SCAN_SHARE * message.seconds
        before = self.folder.runs
        busy = len(self.screen_stack) != 1 or not self.screen.children  # a dialog is open, or the dashboard closes
        if busy or not self.folder.update(message.runs):
            return
        self.tell_ends(before, runs := self.folder.runs)
        self.query_one(TopLine).show_live(sum(run.status.live for run in runs), len(runs))
        for tab in self.tabs.values():
            if tab.is_set_up:
                tab.runs_changed(runs)
        self.refresh_bindings()

    # ── what screens ask for: see `Context` ───────────────────────────────────

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor of the Runs tab."""
        tab = self._runs_tab
        return tab.highlighted if tab.is_set_up else next(iter(self.folder.runs), None)

    @property
    def current(self) -> str:
        """Name of the run on the Train tab, or else of the highlighted one; '' if there is no run."""
        watched = self._train_tab.paths
        return watched.name if watched else self.highlighted.name if self.highlighted else ""

    def notice(self, line: str, error: bool = False) -> None:
        """Show a notice in the corner for some seconds."""
        self.notify(
            visible_line(line), severity="error" if error else "information", timeout=8 if error else 3, markup=False
        )

    def leave_field(self) -> None:
        """Move the focus from an input field to the open tab."""
        if (tab := self.tabs.get(self.tab)) is not None:
            self.screen_stack[0].set_focus(tab.focus_target(), scroll_visible=False)

    def open_run(self, paths: RunPaths) -> None:
        """Open the Train tab on a run."""
        from tuirnn.tui.screens.train import TrainTab

        self._open(TrainTab, lambda tab: tab.open_run(paths))

    def look_inside(self, name: str) -> None:
        """Open the X-ray tab on a run."""
        from tuirnn.tui.screens.xray import XrayTab

        self._open(XrayTab, lambda tab: tab.look_inside(name))

    def generate_with(self, name: str) -> None:
        """Open the Generate tab on a run."""
        from tuirnn.tui.screens.generate import GenerateTab

        self._open(GenerateTab, lambda tab: tab.open_cell(name))

    def new_run(self) -> None:
        """Open the form for a new run."""
        from tuirnn.tui.screens.new_run import NewRun

        self.push_screen(NewRun(self))

    def start_tour(self) -> None:
        """Start the tour."""
        from tuirnn.tui.screens.tour import Tour

        async def start() -> None:
            if self._tour is None:
                await self.screen_stack[0].mount(tour := Tour(self, id="tour"), before="#keys")
                self._tour = tour
            self._tour.start()

        self.call_later(start)

    def run_started(self, name: str) -> None:
        """Open a run whose training was started from the dashboard."""
        if isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        self._runs_tab.await_run(name)
        self.scan()
        self.open_run(self.folder.paths(name))
        if self._tour is None or not self._tour.is_on:  # which says so, below the place of notices
            self.notice(f"{name} is training; it continues when the dashboard is closed")

    def run_removed(self, paths: RunPaths) -> None:
        """Forget a run that was deleted or renamed."""
        self.folder.forget(paths)
        if self._train_tab.paths == paths:
            self._train_tab.close_run()
        self.scan()

    def in_background(
        self,
        group: str,
        work: Callable[[], Result],
        then: Callable[[Result], None],
        failed: Callable[[TuirnnError], None] | None = None,
    ) -> None:
        """Do some work in a thread; see `Context.in_background`."""

        def run() -> None:
            try:
                result = work()
            except TuirnnError as error:
                if failed is not None:
                    self.call_from_thread(failed, error)
                else:
                    self.call_from_thread(self.notice, str(error), error=True)
            else:
                self.call_from_thread(then, result)

        self.run_worker(run, thread=True, group=group)

    # ── keys ──────────────────────────────────────────────────────────────────

    async def action_show(self, tab: str) -> None:
        """Bring a tab to the screen, as it was left."""
        await self._mount_tab(self._made(tab))
        if tab != self.tab:
            self._made(self.tab).closed()
            self.tab = tab
            self.query_one("#body", ContentSwitcher).current = tab
            self.query_one(TopLine).show_tab(tab)
        self.leave_field()
        self.tabs[tab].opened()
        self.refresh_bindings()

    def action_leave(self) -> None:
        """Leave an input field, or else the tour."""
        if self._tour is not None and not isinstance(self.focused, Input):
            self._tour.leave()
        self._made(self.tab).on_escape()
        self.leave_field()

    # ── frame ─────────────────────────────────────────────────────────────────

    def on_resize(self, event: events.Resize) -> None:
        """Show only a message in a window that is too small; what was hidden then has lost the focus."""
        width, height = event.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self.too_small, base = small, self.screen_stack[0]
        for screen in self.screen_stack:
            screen.set_class(small, "-too-small")
        if small:
            base.query_one("#too-small", Static).update(
                f"tuirnn needs {SMALLEST[0]} × {SMALLEST[1]} characters;\nthis window has {width} × {height}."
                "\n\nEnlarge it, or press q."
            )
            return
        if base.focused is None:
            self.leave_field()
        if isinstance(self.screen, ModalScreen) and self.screen.focused is None:
            self.screen.focus_next()
