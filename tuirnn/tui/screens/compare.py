"""The Compare tab: marked runs over one another, and what sets them apart."""

import subprocess
import sys
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuirnn.comparison import ALIGNMENTS, Compared, Row, differing, results
from tuirnn.errors import one_line
from tuirnn.runs.listing import RunSummary
from tuirnn.tui import text
from tuirnn.tui.plot import Axis, Options, Series
from tuirnn.tui.screens.base import Crew, FeedRead, Tab
from tuirnn.tui.screens.dialogs import Ask
from tuirnn.tui.widgets.chart import Chart

FIRST = 4
"""Without marks, the newest so many runs are compared."""

MOST = 8
AXES = {"step": Axis(), "tokens": Axis(), "time": Axis(kind="time")}
BY = {"step": "by step", "tokens": "by tokens trained on", "time": "by time since the start"}


class CompareTab(Tab):
    """Curves of several runs, a table of their results and of the settings that differ."""

    def compose(self) -> ComposeResult:
        """The curves above, the table below."""
        with Vertical():
            yield Chart("two runs make a comparison: mark them with space on the Runs tab", id="compare-chart")
            with VerticalScroll(id="compare-table-frame", can_focus=False):
                yield Static("", id="compare-table", markup=False)

    def on_mount(self) -> None:
        """Nothing is compared yet."""
        self._alignment, self._validation, self._log = ALIGNMENTS[0], True, False
        self._crew = Crew(self, self._draw)
        self._table: tuple[Row, ...] = ()
        self.query_one("#compare-table-frame").border_title = "results, and settings that differ"

    def runs(self) -> list[RunSummary]:
        """The marked runs; the newest few where fewer than two are marked."""
        known = {run.name: run for run in self.dashboard.runs if run.record is not None}
        marked = [known[name] for name in self.dashboard.marked if name in known]
        return marked[:MOST] if len(marked) > 1 else list(known.values())[:FIRST]

    def opened(self) -> None:
        """Follow what is marked now."""
        self._crew.follow([run.paths for run in self.runs()])
        self._table = ()
        self._draw()

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Results may be different."""
        if self.is_open:
            self._crew.follow([run.paths for run in self.runs()])
            self._draw()

    def tick(self) -> None:
        """Look at the logs on the screen."""
        self._crew.poll()

    def on_feed_read(self, message: FeedRead) -> None:
        """More of a log is there."""
        self._crew.received(message)

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        runs = self.runs()
        compared = [Compared(run, self._crew.snapshot(run.paths)) for run in runs]
        lines = [
            Series(
                one.run.name, one.x(self._alignment, self._validation), one.y(self._validation),
                self.dashboard.line_of(one.run.name),
            )
            for one in compared
        ]  # fmt: skip
        chart = self.query_one("#compare-chart", Chart)
        chart.show(lines if len(lines) > 1 else [], Options(log=self._log, axis=AXES[self._alignment]))
        measure = "validation loss" if self._validation else "training loss, smoothed"
        chart.border_title = Content(f"{measure}, {_unit(runs)}")
        marked = len(self.dashboard.marked) > 1
        chart.border_subtitle = Content(
            f"{BY[self._alignment]} · {'log' if self._log else 'linear'} y · "
            + ("marked runs" if marked else "newest runs; mark others with space on the Runs tab")
        )
        rows = (*results(compared), *differing(compared)) if len(compared) > 1 else ()
        named = (("", tuple(one.run.name for one in compared)), *rows)
        if named != self._table:
            self._table = named
            self._draw_table(named)
            self.app.refresh_bindings()

    def _draw_table(self, rows: tuple[Row, ...]) -> None:
        wide = max(len(name) for name, _ in rows)
        widths = [max(min(len(values[k]), 24) for _, values in rows) for k in range(len(rows[0][1]))]
        lines = []
        for number, (name, values) in enumerate(rows):
            cells = [
                (f"  {text.visible_line(value)[:24].rjust(width)}", "bold" if number in (0, 1) else "")
                for value, width in zip(values, widths, strict=True)
            ]
            lines.append(Content.assemble((name.replace("_", " ").ljust(wide), "$text-muted"), *cells))
        self.query_one("#compare-table", Static).update(Content("\n").join(lines) if len(rows) > 1 else Content(""))

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """There is something to compare."""
        return len(self._table) > 1

    def do_align(self) -> None:
        """Against something else."""
        self._alignment = ALIGNMENTS[(ALIGNMENTS.index(self._alignment) + 1) % len(ALIGNMENTS)]
        self._draw()

    def do_measure(self) -> None:
        """The other loss."""
        self._validation = not self._validation
        self._draw()

    def do_log(self) -> None:
        """Logarithmic, or linear."""
        self._log = not self._log
        self._draw()

    def do_scroll_up(self) -> None:
        """Scroll the table."""
        self.query_one("#compare-table-frame").scroll_up(animate=False)

    def do_scroll_down(self) -> None:
        """Scroll the table."""
        self.query_one("#compare-table-frame").scroll_down(animate=False)

    def do_write(self) -> None:
        """Ask for a folder, and write the report there."""
        names = [run.name for run in self.runs()]

        def answered(folder: str | None) -> None:
            if folder:
                self.dashboard.say("writing the report …")
                self.run_worker(lambda: self._write(names, folder), thread=True, group="report")

        hint = "A folder; it gets report.md, and curves.svg and curves.png if matplotlib is installed."
        self.app.push_screen(Ask("write a report into", "report", hint), answered)

    def _write(self, names: list[str], folder: str) -> None:
        """The command does it, in a process of its own: its libraries are not kept in this one."""
        words = ["compare", *names, "-o", folder, "--by", self._alignment, "--runs", str(self.dashboard.folder)]
        done = subprocess.run(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "tuirnn", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = one_line((done.stderr.strip().splitlines() or ["it failed"])[-1].removeprefix("tuirnn: "))
        else:
            wrote = [line.removeprefix("wrote ") for line in done.stdout.splitlines() if line.startswith("wrote ")]
            said = "wrote " + ", ".join(wrote) + (
                "" if len(wrote) > 1 else "; pictures need matplotlib: pip install 'tuirnn[plots]'"
            )  # fmt: skip
            folder = str(Path(folder))
        self.app.call_from_thread(self.dashboard.say, said, error=bool(done.returncode))


def _unit(runs: list[RunSummary]) -> str:
    """What the losses are in."""
    tasks = {run.record.config.data.task for run in runs if run.record}
    return {"lm": "nats per token", "classify": "nats per sequence", "forecast": "squared error"}.get(
        "".join(tasks), "each in its task's unit"
    )
