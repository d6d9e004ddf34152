"""The Runs tab: all runs of the folder, and a closer look at the one under the cursor."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from tuirnn import tasks, text
from tuirnn.charts.plot import Series
from tuirnn.errors import RunError
from tuirnn.figures import UNKNOWN
from tuirnn.runlog.snapshot import last_text
from tuirnn.runs.layout import check_name
from tuirnn.runs.listing import RunSummary
from tuirnn.tui import look
from tuirnn.tui.runs_table import PADDING, RIGHT, fitting
from tuirnn.tui.screens.base import Crew, FeedRead, Tab
from tuirnn.tui.screens.dialogs import Ask, Confirm
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.paint import variables

MOST_LINES = 8
"""Runs that are overlaid in one chart."""

FRAME = 3
"""Columns of the screen that the table's frame and scroll bar take."""

ROOMY, WIDE = 112, 140
"""Widths from which long names are shown longer, and from which names of data are."""

SORTS: dict[str, Callable[[RunSummary], Any]] = {
    "newest": lambda run: -(run.record.created if run.record else 0.0),
    "name": lambda run: run.name,
    "best val": lambda run: (
        run.judgement.loss.unit,  # figures of one unit together
        run.status.best_val_loss if run.status.best_step else math.inf,
    ),
    "state": lambda run: (not run.status.live, run.status.state),
    "cell": lambda run: run.cell,
    "done": lambda run: -run.status.progress,
}
"""Ways to sort, the first one at the start."""

WELCOME = """\
No runs here yet.

Press  n  to train your first network: two minutes on a text that comes along,
and you watch it learn to write.

Press  4  to play with one that is trained already.

Runs will live in {folder}
"""


class RunsTab(Tab):
    """Table of runs, chart and details of the highlighted one."""

    def compose(self) -> ComposeResult:
        """The table above, chart and details below; a first step where there are no runs."""
        yield Static("", id="welcome", markup=False)
        table: DataTable[Text] = DataTable(id="runs-table", cursor_type="row", cell_padding=PADDING)
        table.border_title = "runs"
        yield table
        yield Input(placeholder="show only runs with …  (⏎ keep, esc all)", id="runs-filter", compact=True)
        with Horizontal(id="runs-below"):
            yield Chart("no evaluation yet", id="runs-chart")
            with Vertical(id="runs-details") as details:
                details.border_title = "details"
                yield Static("", id="runs-facts", markup=False)
                yield Static("", id="runs-sample", markup=False)

    def furnish(self) -> None:
        """Columns, and a look at the logs every now and then."""
        self._runs: list[RunSummary] = []
        self._cells: dict[str, list[Text]] = {}
        self._details: tuple[str, str] = ("", "")
        self._crew = Crew(self, self._draw_details)
        self._columns: dict[str, int] = {}  # title and width of those that are shown
        self._sort = next(iter(SORTS))
        self._shown_lines: list[tuple[str, str, bytes]] = []
        self.set_interval(10.0, self._refill)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._refill())

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor."""
        row = self.query_one(DataTable).cursor_row
        return self._runs[row] if 0 <= row < len(self._runs) else None

    def home(self) -> Widget:
        """The table takes the keys."""
        return self.query_one(DataTable)

    def can(self, action: str) -> bool:
        """Without a run there is only a new one to make."""
        if action == "unmark":
            return bool(self.dashboard.marked)
        if action in ("filter", "sort"):
            return bool(self.dashboard.runs)
        return action in ("new", "refresh") or self.highlighted is not None

    def opened(self) -> None:
        """Look at once."""
        self._follow()
        self.tick()

    def tick(self) -> None:
        """Look at the logs on the screen."""
        self._crew.poll()

    # ── the table ─────────────────────────────────────────────────────────────

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Show the runs, the cursor on the same one as before."""
        before = self.highlighted
        names = [run.name for run in self._runs]
        self._runs = self._chosen(runs)
        self.set_class(not runs, "-empty")
        self.query_one("#welcome", Static).update(WELCOME.format(folder=text.visible_line(str(self.dashboard.folder))))
        if names == [run.name for run in self._runs] and self._columns:
            self._refill()
        else:
            self._rebuild(before.name if before else self.dashboard.wanted)
        self._follow()

    def _chosen(self, runs: list[RunSummary]) -> list[RunSummary]:
        """The runs that pass the filter, sorted."""
        typed = self.query_one("#runs-filter", Input).value.casefold().split()
        passed = [run for run in runs if all(word in _described(run) for word in typed)]
        table = self.query_one(DataTable)
        table.border_title = Content("runs" if len(passed) == len(runs) else f"runs · {len(passed)} of {len(runs)}")
        table.border_subtitle = Content(f"sorted by {self._sort}" if self._sort != "newest" else "newest first")
        return sorted(passed, key=SORTS[self._sort])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        event.stop()
        self.runs_changed(self.dashboard.runs)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, back to the table."""
        event.stop()
        self.dashboard.leave_field()

    def left(self) -> None:
        """Esc shows all runs again."""
        field = self.query_one("#runs-filter", Input)
        if field.value or field.display:
            field.value = ""
            field.display = False
            self.runs_changed(self.dashboard.runs)

    def on_resize(self, event: events.Resize) -> None:
        """Fewer columns where there is no room for all, and shorter names."""
        if self.furnished:
            self._refill()

    def _rebuild(self, keep: str | None) -> None:
        """Lay out columns and rows anew, the cursor on the run named `keep`."""
        table = self.query_one(DataTable)
        rows = {run.name: self._row(run) for run in self._runs}
        self._columns = fitting(list(rows.values()), self.size.width - FRAME)
        table.clear(columns=True)
        for title, width in self._columns.items():
            label = Text(title)
            if title in RIGHT:
                label.align("right", width)
            elif title == "name":
                label.pad_left(2)
            table.add_column(label, key=title, width=width)
        self._cells = {name: self._aligned(row) for name, row in rows.items()}
        for name, cells in self._cells.items():
            table.add_row(*cells, key=name)
        names = list(rows)
        if keep in names:
            table.move_cursor(row=names.index(keep), animate=False)

    def _refill(self) -> None:
        """Write only the cells that changed; all of them where columns come, go or change their width."""
        rows = {run.name: self._row(run) for run in self._runs}
        if self._columns != fitting(list(rows.values()), self.size.width - FRAME):
            self._rebuild(self.highlighted.name if self.highlighted else None)
            return
        table = self.query_one(DataTable)
        for name, row in rows.items():
            cells = self._aligned(row)
            for title, old, new in zip(self._columns, self._cells[name], cells, strict=True):
                if old != new or old.style != new.style or old.spans != new.spans:
                    table.update_cell(name, title, new)
            self._cells[name] = cells

    def _aligned(self, row: dict[str, Text]) -> list[Text]:
        """The cells that are shown, as wide as their columns."""
        cells = []
        for title, width in self._columns.items():
            cell = row[title].copy()
            cell.align("right" if title in RIGHT else "left", width)
            cells.append(cell)
        return cells

    def _row(self, run: RunSummary) -> dict[str, Text]:
        """What a run's row says, by the title of the column."""
        status, record = run.status, run.record
        best = status.best_val_loss if status.best_step else float("nan")
        total = f"/{text.count(status.total)}" if status.total else ""
        marked = run.name in self.dashboard.marked
        name, data = Text(run.name), Text(text.visible_line(str(record.data.get("name", ""))) if record else "–")
        name.truncate(24 if self.size.width >= ROOMY else 16, overflow="ellipsis")
        data.truncate(24 if self.size.width >= WIDE else 13, overflow="ellipsis")
        return {
            "name": Text.assemble(("● " if marked else "  ", self._line_style(run.name) if marked else ""), name),
            "cell": Text(run.cell),
            "data": data,
            "state": Text(text.state_label(status.state), self._state_style(status.state)),
            "step": Text(text.count(status.step) + total),
            "done": Text(f"{100 * status.progress:.0f} %" if 0 <= status.progress <= 1 else "–"),
            "best val": Text(text.held_out(best, run.leaky)),
            "speed": Text(text.speed(status.tokens_per_s, run.speed_in) if status.live else "–"),
            "left": Text(text.duration(status.eta) if status.live and status.eta else "–"),
            "age": Text(text.age(record.created if record else 0.0)),
            "loss": Text(text.sparkline(run.spark)),
        }

    def _line_style(self, name: str) -> Style:
        """The colour of a run's line, as it is in the chart."""
        return look.paint(self.dashboard.line_of(name), variables(self.app))

    def _state_style(self, state: str) -> str:
        name = text.STATE_STYLES.get(state, "muted")
        if name == "muted":
            return "dim"
        colour = Color.parse(self.app.theme_variables[f"text-{name}"])
        return "" if colour.auto else colour.rich_color.name

    # ── the run under the cursor ──────────────────────────────────────────────

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """The cursor has moved."""
        self._follow()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter or a click."""
        self.do_open()

    def _overlaid(self) -> list[RunSummary]:
        """Whose lines one wants to see: the runs that are marked, and the one under the cursor."""
        names = dict.fromkeys(self.dashboard.marked)
        if run := self.highlighted:
            names.setdefault(run.name)
        known = {run.name: run for run in self.dashboard.runs}
        return [known[name] for name in names if name in known]

    def _alike(self) -> list[RunSummary]:
        """Those of them that stand on one axis with the run under the cursor."""
        run = self.highlighted
        return [one for one in self._overlaid() if run and one.judgement.kind == run.judgement.kind][-MOST_LINES:]

    def _follow(self) -> None:
        self.app.refresh_bindings()
        if self.is_open:
            self._crew.follow([run.paths for run in self._alike()])
            self._draw_details()

    def on_feed_read(self, message: FeedRead) -> None:
        """More of the logs is there."""
        self._crew.received(message)

    def _draw_details(self) -> None:
        run = self.highlighted
        self._draw_chart()
        details = self.query_one("#runs-details", Vertical)
        title = run.name if run else "details"
        if details.border_title != title:
            details.border_title = Content(title)
        facts = self._describe(run) if run else Content("")
        sample = self._sample(run) if run else Content("")
        if self._details != (shown := (facts.markup, sample.markup)):
            self._details = shown
            self.query_one("#runs-facts", Static).update(facts)
            self.query_one("#runs-sample", Static).update(sample)

    def _draw_chart(self) -> None:
        """The validation losses of the runs that are overlaid, laid down again only where one is different."""
        chart, runs = self.query_one("#runs-chart", Chart), self._alike()
        lines: list[Series] = []
        for run in runs:
            val = self._crew.snapshot(run.paths).val
            if len(runs) == 1:
                lines += [Series("", val.step, val["loss"], "val"), Series("", val.step, val["loss"], "val", mark="◇")]
            elif len(val):
                lines.append(Series(run.name, val.step, val["loss"], self.dashboard.line_of(run.name)))
        shown = [(one.name, one.style, one.y.values.tobytes()) for one in lines]
        if shown != self._shown_lines:
            self._shown_lines = shown
            chart.show(lines if any(len(one.x) for one in lines) else [])
        loss = runs[0].judgement.loss if runs else UNKNOWN.loss
        chart.border_title = Content(f"validation {dataclasses.replace(loss, name=loss.kind).titled}")
        left = [run for run in self._overlaid() if run not in runs]
        others = sum(run.judgement.kind != runs[0].judgement.kind for run in left)
        said = [f"{others} kept apart: other units"] * bool(others)
        said += [f"{len(left) - others} more"] * (len(left) > others)
        chart.border_subtitle = Content(" · ".join(said))

    def _sample(self, run: RunSummary) -> Content:
        """What the run last wrote, as a quotation; of a network that writes no text the table of its answers."""
        written = last_text(self._crew.snapshot(run.paths)).strip("\n")
        table = run.task is not None and not run.task.writes
        self.query_one("#runs-sample", Static).set_class(table, "-table")
        if table:
            return Content(text.visible(written))
        quoted = text.visible_line(written.strip(), " ")
        return Content.styled(f"“{quoted}”", "italic $text-muted") if quoted else Content("")

    def _describe(self, run: RunSummary) -> Content:
        record, status = run.record, run.status
        if record is None:
            return Content.styled(text.visible_line(run.problem), "$text-error")
        train, task = record.config.train, record.config.task
        there, noun = record.data.get("train"), task.counted(record.vocab.kind)
        size = f" of {text.short(there)} {noun}" if isinstance(there, int) else ""
        length = f" × {train.seq_len}" if tasks.reads(task, "seq_len") else ""
        facts = [
            f"{text.short(record.parameters)} parameters",
            f"batch {train.batch_size}{length}{size}",
            f"{train.optimizer} {text.rate(train.lr)} {train.schedule}",
            f"started {text.clock(record.created)}",
        ]
        if status.live and status.eta:
            facts.append(f"{text.duration(status.eta)} left")
        if status.best_step:
            best = f"{text.held_out(status.best_val_loss, run.leaky)} {run.judgement.loss.unit}"
            facts.append(f"best {best} at step {text.count(status.best_step)}")
        lines = [Content(" · ".join(facts))]
        if status.message:
            lines.append(Content.styled(status.message, "$text-warning"))
        return Content("\n").join(lines)

    # ── keys ──────────────────────────────────────────────────────────────────

    def do_new(self) -> None:
        """The form for a new run."""
        self.dashboard.new_run()

    def do_open(self) -> None:
        """Watch the run."""
        if run := self.highlighted:
            self.dashboard.open_run(run.paths)

    def do_generate(self) -> None:
        """Write with the run."""
        if run := self.highlighted:
            self.dashboard.generate_with(run.name)

    def do_xray(self) -> None:
        """Look inside the run."""
        if run := self.highlighted:
            self.dashboard.look_inside(run.name)

    def do_mark(self) -> None:
        """Mark the run, or take its mark away; on to the next."""
        if run := self.highlighted:
            self.dashboard.toggle_mark(run.name)
            self._refill()
            self.query_one(DataTable).action_cursor_down()
            self._follow()

    def do_unmark(self) -> None:
        """No marks."""
        self.dashboard.marked.clear()
        self._refill()
        self._follow()

    def do_filter(self) -> None:
        """To the filter."""
        field = self.query_one("#runs-filter", Input)
        field.display = True
        field.focus()

    def do_sort(self) -> None:
        """The next way to sort."""
        ways = list(SORTS)
        self._sort = ways[(ways.index(self._sort) + 1) % len(ways)]
        self.runs_changed(self.dashboard.runs)

    def do_export(self) -> None:
        """Write the cell file."""
        if run := self.highlighted:
            self.dashboard.errands.export(run.name)

    def do_refresh(self) -> None:
        """Read the folder now."""
        self.dashboard.scan()

    def do_rename(self) -> None:
        """Ask for a name."""
        run = self.highlighted
        if run is None:
            return
        if run.status.live:
            self.dashboard.say(f"{run.name} is training; it can be renamed when it has ended")
            return

        def check(name: str) -> None:
            if check_name(name) != run.name and (self.dashboard.folder / name).exists():
                raise RunError(f"'{name}' is already there; choose another name")

        def answered(name: str | None) -> None:
            if name and name != run.name:
                self.dashboard.errands.rename(run.paths, name)

        hint = "Letters, digits, '.', '_' and '-'. Exported cells keep their names."
        self.app.push_screen(Ask(f"rename {run.name}", run.name, hint, check), answered)

    def do_delete(self) -> None:
        """Ask, then delete."""
        run = self.highlighted
        if run is None:
            return
        if run.status.live:
            self.dashboard.say(f"{run.name} is training; stop it first: ⏎ opens it, S stops it")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dashboard.errands.delete(run.paths)

        self.app.push_screen(
            Confirm(
                f"Delete run '{run.name}'?",
                "Its curves, samples and checkpoints are removed for good; exported cells stay.",
                "delete",
            ),
            answered,
        )


def _described(run: RunSummary) -> str:
    """What the filter looks through."""
    data = str(run.record.data.get("name", "")) if run.record else ""
    return f"{run.name} {run.cell} {data} {run.status.state}".casefold()
