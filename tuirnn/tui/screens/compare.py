"""The Compare tab: marked runs over one another, and what sets them apart."""

import dataclasses
import subprocess
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.charts.plot import Axis, Options, Series
from tuirnn.comparison import ALIGNMENTS, KEY, Compared, Group, Row, apart, differing, groups, results
from tuirnn.errors import one_line
from tuirnn.figures import PERCENT, Figure
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.screens.base import Crew, FeedRead, Tab
from tuirnn.tui.screens.dialogs import Ask
from tuirnn.tui.widgets.chart import Chart

FIRST = 4
"""Without marks, the newest so many runs are compared."""

MOST = 8
WIDEST = 24
"""Characters of a column."""

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

    def furnish(self) -> None:
        """Nothing is compared yet."""
        self._alignment, self._log = ALIGNMENTS[0], False
        self._kind: Hashable = None  # of the group on show
        self._measure = 0  # a place in `_measures`
        self._crew = Crew(self, self._draw)
        self._table: tuple[tuple[Row, ...], ...] = ()
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

    def _groups(self) -> tuple[Group, ...]:
        """The runs, those of one unit together."""
        return groups([Compared(run, self._crew.snapshot(run.paths)) for run in self.runs()])

    def _chosen(self, found: tuple[Group, ...]) -> Group | None:
        """The group on show; the largest where it is gone, or none where there is nothing to compare."""
        if sum(len(group.runs) for group in found) < 2:
            return None
        largest = max(found, key=lambda group: len(group.runs))
        return next((group for group in found if group.kind == self._kind), largest)

    def _measures(self, group: Group) -> list[Figure | None]:
        """What can be drawn of a group: the figures that its logs hold, and the training loss."""
        held = [figure for figure in group.figures if any(len(one.y(figure)) for one in group.runs)]
        return [*(held or [group.loss]), None]

    def _draw(self) -> None:
        found = self._groups()
        group = self._chosen(found)
        self._draw_chart(group, found)
        ordered = [one for one in found if group and one is group] + [
            one for one in found if group and one is not group
        ]
        tables = tuple((Row("", one.names), *results(one), *differing(one)) for one in ordered)
        if tables != self._table:
            self._table = tables
            self._draw_tables(ordered)
            self.app.refresh_bindings()

    def _draw_chart(self, group: Group | None, found: tuple[Group, ...]) -> None:
        chart = self.query_one("#compare-chart", Chart)
        if group is None:
            chart.show([])
            chart.border_title = chart.border_subtitle = Content("")
            return
        known = self._measures(group)
        figure = known[self._measure % len(known)]
        lines = [
            Series(
                one.run.name, one.x(self._alignment, figure), one.y(figure), self.dashboard.line_of(one.run.name)
            )
            for one in group.runs
            if one.knows(figure)
        ]  # fmt: skip
        unit = PERCENT if figure is not None and figure.unit == PERCENT else "nats"
        chart.show(lines, Options(log=self._log, axis=AXES[self._alignment], unit=unit))
        training = dataclasses.replace(group.loss, name=f"training {group.loss.kind}, smoothed")
        chart.border_title = Content(f"validation {figure.directed}" if figure else training.directed)
        others = [one for one in found if one is not group]
        kept = apart(others) if others else ""
        chart.border_subtitle = Content(
            f"{BY[self._alignment]} · {'log' if self._log else 'linear'} y · "
            + (f"{kept}: u" if kept else self._which())
        )

    def _which(self) -> str:
        """Which runs these are."""
        marked = len(self.dashboard.marked)
        if marked > MOST:
            return f"{MOST} of {marked} marked runs"
        return "marked runs" if marked > 1 else "newest runs; mark others with space on the Runs tab"

    def _draw_tables(self, found: Sequence[Group]) -> None:
        """A table for each unit, that of the chart first."""
        lines: list[Content] = []
        for group, rows in zip(found, self._table, strict=True):
            if len(found) > 1:
                lines += [Content("")] * bool(lines) + [Content.styled(group.loss.titled, "bold $accent")]
            unit = f" ({group.loss.unit})"  # said once, above: at 80 columns the values need the room
            lines += _table([dataclasses.replace(row, name=row.name.replace(unit, "")) for row in rows])
        self.query_one("#compare-table", Static).update(Content("\n").join(lines))
        self.query_one("#compare-table-frame").border_subtitle = Content(KEY if lines else "")

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """There is something to compare; and more than one unit to choose from."""
        return len(self._table) > (action == "unit")

    def do_unit(self) -> None:
        """The runs of the next unit."""
        found = self._groups()
        if group := self._chosen(found):
            self._kind, self._measure = found[(found.index(group) + 1) % len(found)].kind, 0
            self._draw()
            self.query_one("#compare-table-frame").scroll_home(animate=False)

    def do_align(self) -> None:
        """Against something else."""
        self._alignment = ALIGNMENTS[(ALIGNMENTS.index(self._alignment) + 1) % len(ALIGNMENTS)]
        self._draw()

    def do_measure(self) -> None:
        """The other loss."""
        group = self._chosen(self._groups())
        self._measure = (self._measure + 1) % len(self._measures(group)) if group else 0
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


def _table(rows: Sequence[Row]) -> list[Content]:
    """A table in columns, names and the first figure bold."""
    wide = max(len(row.name) for row in rows)
    widths = [max(min(len(row.cells[k]), WIDEST) for row in rows) for k in range(len(rows[0].values))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            (f"  {text.visible_line(cell)[:WIDEST].rjust(width)}", "bold" if number in (0, 1) else "")
            for cell, width in zip(row.cells, widths, strict=True)
        ]
        lines.append(Content.assemble((row.name.replace("_", " ").ljust(wide), "$text-muted"), *cells))
    return lines
