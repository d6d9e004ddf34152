"""The Compare tab: curves, results and differing settings of several runs."""

import dataclasses
import math
import subprocess
import sys
from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.charts.plot import UNITS, Axis, Options, Series
from tuirnn.comparison import (
    ALIGNMENTS,
    COMMON,
    KEY,
    Compared,
    Group,
    Row,
    apart,
    common,
    differing,
    groups,
    results,
)  # fmt: skip
from tuirnn.errors import RunError, one_line
from tuirnn.figures import PERCENT, Figure
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.keys import key
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask
from tuirnn.tui.screens.logs import LogRead, LogReaders
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.titles import FRAME, entitle

FIRST = 4
"""Number of runs, the newest, that are compared if none are marked."""

MOST = 8
"""Number of marked runs that are compared."""

PANELS = 3
"""Charts side by side, one for each unit, where there is room."""

WIDEST = 24
"""Width of a column in cells."""

AXES = {"step": Axis(), "tokens": Axis(), "time": Axis(kind="time")}
BY = {"step": "by step", "tokens": "by tokens trained on", "time": "by time of training"}


class CompareTab(Tab):
    """Curves of several runs, above a table of their results and of the settings that differ."""

    NAME = "compare"
    KEYS = (
        key("x", "align", "align", "x axis: steps, tokens, or time of training"),
        key("u", "unit", "unit", "runs whose loss has the next unit; each unit is compared separately"),
        key("m", "measure", "measure", "next metric of held-out data, or the smoothed training loss"),
        key("y", "log", "log y", "logarithmic or linear y"),
        key("w", "write", "write report", "write a report: Markdown, and the curves as SVG and PNG"),
        key("left", "left", "cursor", "move the cursor in all charts to the left (mouse: click)"),
        key("right", "right", "", "move the cursor in all charts to the right"),
        key("0,end", "newest", "all", "remove the cursor"),
        key("up", "scroll_up", "", "scroll the table up"),
        key("down", "scroll_down", "", "scroll the table down"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """The curves above, the table below."""
        with Vertical():
            with Horizontal(id="compare-charts"):
                yield Chart("mark at least two runs with space on the Runs tab", id="compare-chart")
                for number in range(1, PANELS):
                    yield Chart("", id=f"compare-chart-{number}", classes="other")
            with VerticalScroll(id="compare-table-frame", can_focus=False):
                yield Static("", id="compare-table", markup=False)

    def setup(self) -> None:
        """Nothing is compared yet."""
        self._alignment, self._log = ALIGNMENTS[0], False
        self._cursor = math.nan  # its place on the x axis; NaN without one
        self._kind: Hashable = None  # of the group in the chart
        self._measure = 0  # index in `_measures`
        self._readers = LogReaders(self, self._draw)
        self._table: tuple[tuple[Row, ...], ...] = ()
        for frame in self.query("#compare-table-frame"):  # none where the dashboard is closing already
            entitle(frame, "results, and settings that differ")

    def runs(self) -> list[RunSummary]:
        """The marked runs; the newest ones if fewer than two are marked."""
        folder = self.context.folder
        marked = [run for run in folder.named(list(folder.marked)) if run.record is not None]
        return marked[:MOST] if len(marked) > 1 else [run for run in folder.runs if run.record is not None][:FIRST]

    def opened(self) -> None:
        """Follow the runs that are marked now."""
        self._readers.follow([run.paths for run in self.runs()])
        self._table = ()
        self._draw()

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Update the results."""
        if self.is_open:
            self._readers.follow([run.paths for run in self.runs()])
            self._draw()

    def tick(self) -> None:
        """Look for news in the logs."""
        self._readers.poll()

    def on_log_read(self, message: LogRead) -> None:
        """Draw what was read."""
        self._readers.received(message)

    # ── drawing ───────────────────────────────────────────────────────────────

    def _groups(self) -> tuple[Group, ...]:
        """The runs, grouped by the unit of their loss."""
        return groups([Compared(run, self._readers.snapshot(run.paths)) for run in self.runs()])

    def _chosen(self, found: tuple[Group, ...]) -> Group | None:
        """The group in the chart; the largest if that one no longer exists, None if there are fewer than two runs."""
        if sum(len(group.runs) for group in found) < 2:
            return None
        largest = max(found, key=lambda group: len(group.runs))
        return next((group for group in found if group.kind == self._kind), largest)

    def _measures(self, group: Group) -> list[Figure | None]:
        """What can be drawn of a group: the metrics in its logs, and None for the training loss."""
        held = [figure for figure in group.figures if any(len(one.y(figure)) for one in group.runs)]
        return [*(held or [group.loss]), None]

    def _draw(self) -> None:
        found = self._groups()
        group = self._chosen(found)
        ordered = [one for one in found if group and one is group] + [
            one for one in found if group and one is not group
        ]
        self._draw_chart(self.query_one("#compare-chart", Chart), group, found)
        for number in range(1, PANELS):
            chart = self.query_one(f"#compare-chart-{number}", Chart)
            chart.set_class(number >= len(ordered), "-unused")
            if number < len(ordered):
                self._draw_chart(chart, ordered[number], found)
        tables = tuple((Row("", one.names), *results(one), *differing(one)) for one in ordered)
        if tables != self._table:
            self._table = tables
            self._draw_tables(ordered)
            self.app.refresh_bindings()

    def _draw_chart(self, chart: Chart, group: Group | None, found: tuple[Group, ...]) -> None:
        style = self.context.folder.line_style
        if group is None:
            chart.show([])
            entitle(chart, "", "")
            return
        known = self._measures(group)
        figure = known[self._measure % len(known)]
        lines = [
            Series(
                one.run.name, one.x(self._alignment, figure), one.y(figure), style(one.run.name)
            )
            for one in group.runs
            if one.knows(figure)
        ]  # fmt: skip
        unit = PERCENT if figure is not None and figure.unit == PERCENT else "nats"
        options = Options(log=self._log, robust=not self._log, axis=AXES[self._alignment], unit=unit)
        reading = _reading(lines, self._cursor, self._alignment, unit)
        chart.show(lines, dataclasses.replace(options, cursor=self._cursor), reading)
        training = dataclasses.replace(group.loss, name=f"training {group.loss.kind}, smoothed")
        others = [one for one in found if one is not group]
        kept = apart(others).partition(": in")[0] if others else ""  # the tables below say which units
        drawn = f"{BY[self._alignment]} · {'log' if self._log else 'linear'} y"
        title = f"validation {figure.directed}" if figure else training.directed
        if figure and 0 < chart.outer_size.width < cell_len(title) + FRAME:  # the unit matters more
            title = figure.directed
        entitle(chart, title, f"{kept}: u · {drawn}" if kept else f"{drawn} · {self._which()}")

    def _which(self) -> str:
        """Which runs are compared, in words."""
        marked = len(self.context.folder.marked)
        if marked > MOST:
            return f"{MOST} of {marked} marked runs"
        return "marked runs" if marked > 1 else "newest runs; mark others with space on the Runs tab"

    def _draw_tables(self, found: Sequence[Group]) -> None:
        """Display a table for each unit, that of the chart first."""
        lines: list[Content] = []
        for group, rows in zip(found, self._table, strict=True):
            if len(found) > 1:
                lines += [Content("")] * bool(lines) + [Content.styled(group.loss.titled, "bold $accent")]
            unit = f" ({group.loss.unit})"  # stated once, above: at 80 columns the values need the space
            colours = [f"bold ${self.context.folder.line_style(name)}" for name in group.names]
            lines += _table([dataclasses.replace(row, name=row.name.replace(unit, "")) for row in rows], colours)
            lines += [Content.styled(note, "$warning") for note in group.notes]
        if (shared := common(found)) is not None:
            lines += [Content(""), Content.styled(COMMON, "bold $accent")]
            colours = [f"bold ${self.context.folder.line_style(name)}" for name in shared[0].names]
            lines += _table([Row("", shared[0].names), *shared[1]], colours)
        self.query_one("#compare-table", Static).update(Content("\n").join(lines))
        entitle(self.query_one("#compare-table-frame"), subtitle=KEY if lines else "")

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """There must be something to compare; for the unit, a second one; for all, a cursor."""
        if action == "newest":
            return not math.isnan(self._cursor)
        return len(self._table) > (action == "unit")

    def action_unit(self) -> None:
        """Show the runs of the next unit."""
        found = self._groups()
        if group := self._chosen(found):
            self._kind, self._measure = found[(found.index(group) + 1) % len(found)].kind, 0
            self._draw()
            self.query_one("#compare-table-frame").scroll_home(animate=False)

    def action_align(self) -> None:
        """Draw against the next x axis."""
        self._alignment = ALIGNMENTS[(ALIGNMENTS.index(self._alignment) + 1) % len(ALIGNMENTS)]
        self._point_at(math.nan)

    def _point_at(self, x: float) -> None:
        """Put the cursor of all charts on a place of the x axis; NaN removes it."""
        self._cursor = x
        self._draw()
        self.app.refresh_bindings()

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        """Move the cursor to the mouse."""
        self._point_at(event.x)

    def _nudge(self, cells: int) -> None:
        """Move the cursor by some cells of the first chart; without a cursor it starts at the right end."""
        area = self.query_one("#compare-chart", Chart).canvas().area
        if area is not None:
            at = 1.0 if math.isnan(self._cursor) else area.scale.share(self._cursor)
            self._point_at(area.scale.x_at(min(max(at + cells / area.W, 0.0), 1.0)))

    def action_left(self) -> None:
        """Move the cursor to the left."""
        self._nudge(-1)

    def action_right(self) -> None:
        """Move the cursor to the right."""
        self._nudge(1)

    def action_newest(self) -> None:
        """Remove the cursor."""
        self._point_at(math.nan)

    def action_measure(self) -> None:
        """Draw the next metric."""
        group = self._chosen(self._groups())
        self._measure = (self._measure + 1) % len(self._measures(group)) if group else 0
        self._draw()

    def action_log(self) -> None:
        """Switch between linear and logarithmic y."""
        self._log = not self._log
        self._draw()

    def copies(self) -> dict[str, str]:
        """The table, its cells between tabs; the names of the runs."""
        rows = [row for table in self._table for row in table]
        table = "\n".join("\t".join((row.name, *row.cells)) for row in rows)
        return {"table": table, "names of the runs": " ".join(run.name for run in self.runs())}

    def action_scroll_up(self) -> None:
        """Scroll the table up."""
        self.query_one("#compare-table-frame").scroll_up(animate=False)

    def action_scroll_down(self) -> None:
        """Scroll the table down."""
        self.query_one("#compare-table-frame").scroll_down(animate=False)

    def action_write(self) -> None:
        """Ask for a folder, then write the report there."""
        names = [run.name for run in self.runs()]

        def answered(folder: str | None) -> None:
            if folder:
                self.context.notice("writing the report …")
                words = [*names, "-o", folder, "--by", self._alignment, "--runs", str(self.context.folder.path)]
                self.context.in_background("report", lambda: write_report(words), self.context.notice)

        hint = "A folder for report.md, and for curves.svg and curves.png if matplotlib is installed."
        self.app.push_screen(Ask("write a report into", "report", hint), answered)


def write_report(words: Sequence[str]) -> str:
    """Run `tuirnn compare` in a process of its own, so that this one does not keep its libraries in memory.

    Args:
        words: of the command line, after `compare`.
    Returns:
        Which files were written, in words.
    Raises:
        RunError: the command failed.
    """
    done = subprocess.run(  # noqa: S603 (our own interpreter and module)
        [sys.executable, "-m", "tuirnn", "compare", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RunError(one_line((done.stderr.strip().splitlines() or ["it failed"])[-1].removeprefix("tuirnn: ")))
    wrote = [line.removeprefix("wrote ") for line in done.stdout.splitlines() if line.startswith("wrote ")]
    without = "" if len(wrote) > 1 else "; pictures need matplotlib: pip install 'tuirnn[plots]'"
    return "wrote " + ", ".join(wrote) + without


def _reading(lines: Sequence[Series], x: float, alignment: str, unit: str) -> list[str]:
    """The values at the cursor, a line each; nothing without a cursor."""
    if math.isnan(x):
        return []
    where = {"step": text.count(x), "tokens": f"{text.short(x)} tokens", "time": text.duration(x)}[alignment]
    read = ["step " * (alignment == "step") + where]
    for line in lines:
        at = line.x.upto(x) - 1
        if 0 <= at < len(line.y):
            value = float(UNITS[unit](line.y.at(slice(at, at + 1)))[0])
            read.append(f"{line.name[:WIDEST]} {text.figure(value)}{' %' * (unit == PERCENT)}")
    return read


def _table(rows: Sequence[Row], colours: Sequence[str]) -> list[Content]:
    """A table in columns; names of runs in the colours of their curves, results with how far they are apart."""
    wide = max(len(row.name) for row in rows)
    count = len(rows[0].values)
    widths = [max(min(len(row.cells[k]), WIDEST) for row in rows) for k in range(count)]
    deltas = [row.delta for row in rows]
    apart = max(map(len, deltas))
    lines = []
    for number, row in enumerate(rows):
        cells = [
            (
                f"  {text.visible_line(cell)[:WIDEST].rjust(width)}",
                colour if not number else "bold" if number == 1 else "",
            )
            for cell, width, colour in zip(row.cells, widths, colours, strict=True)
        ]
        delta = ("Δ" if not number else row.delta).rjust(apart)
        last = [(f"  {delta}", "$text-muted")] if apart else []
        lines.append(Content.assemble((row.name.replace("_", " ").ljust(wide), "$text-muted"), *cells, *last))
    return lines
