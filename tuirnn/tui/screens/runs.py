"""The Runs tab: all runs of the folder, and a closer look at the one under the cursor."""

import numpy as np
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from tuirnn.errors import RunError
from tuirnn.runs.housekeeping import remove
from tuirnn.runs.listing import RunSummary
from tuirnn.tui import text
from tuirnn.tui.feed import last_text
from tuirnn.tui.plot import Series
from tuirnn.tui.screens.base import POLL, FeedRead, Follower, Tab
from tuirnn.tui.screens.dialogs import Confirm
from tuirnn.tui.widgets.chart import Chart

COLUMNS = {"name": 14, "cell": 10, "data": 12, "state": 10, "step": 8, "done": 5, "best val": 8, "tok/s": 6, "age": 5}
"""Title and least width of each column."""

NARROW = ("name", "cell", "data", "state", "done", "best val", "age")
"""The columns that there is room for in 80."""

RIGHT = {"step", "done", "best val", "tok/s", "age"}

WIDE, ROOMY = 118, 100
"""Widths from which all columns are shown, and from which names are shown at length."""

WELCOME = """\
No runs here yet.

Press  n  to train your first network: two minutes on a text that comes along,
and you watch it learn to write.

Runs will live in {folder}
"""


class RunsTab(Tab):
    """Table of runs, chart and details of the highlighted one."""

    def compose(self) -> ComposeResult:
        """The table above, chart and details below; a first step where there are no runs."""
        yield Static("", id="welcome", markup=False)
        table: DataTable[Text] = DataTable(id="runs-table", cursor_type="row", cell_padding=1)
        table.border_title = "runs"
        yield table
        with Horizontal(id="runs-below"):
            chart = Chart("no evaluation yet", id="runs-chart")
            chart.border_title = "validation loss"
            yield chart
            details = Static("", id="runs-details", markup=False)
            details.border_title = "details"
            yield details

    def on_mount(self) -> None:
        """Columns, and a look at the logs every now and then."""
        self._runs: list[RunSummary] = []
        self._cells: dict[str, list[Text]] = {}
        self._details: Content | None = None
        self._follower = Follower(self, self._draw_details)
        self._columns: tuple[str, ...] = ()
        self._roomy = True
        self.set_interval(POLL, self._tick)
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
        run = self.highlighted if action in ("open", "generate", "delete") else None
        if action == "delete":
            return run is not None and not run.status.live
        return run is not None or action in ("new", "refresh")

    def opened(self) -> None:
        """Look at once."""
        self._tick()

    def _tick(self) -> None:
        if self.is_open:
            self._follower.poll()

    # ── the table ─────────────────────────────────────────────────────────────

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Show the runs, the cursor on the same one as before."""
        before = self.highlighted
        same_order = [run.name for run in runs] == [run.name for run in self._runs]
        self._runs = runs
        self.set_class(not runs, "-empty")
        self.query_one("#welcome", Static).update(WELCOME.format(folder=text.visible_line(str(self.dashboard.folder))))
        if same_order and self._columns:
            self._refill()
        else:
            self._rebuild(before.name if before else self.dashboard.wanted)
        self._follow()

    def on_resize(self, event: events.Resize) -> None:
        """Fewer columns where there is no room for all."""
        if (self._columns, self._roomy) != (self._fitting(), self.size.width >= ROOMY):
            self._rebuild(self.highlighted.name if self.highlighted else None)

    def _fitting(self) -> tuple[str, ...]:
        return NARROW if self.size.width < WIDE else tuple(COLUMNS)

    def _rebuild(self, keep: str | None) -> None:
        table = self.query_one(DataTable)
        self._columns, self._roomy = self._fitting(), self.size.width >= ROOMY
        table.clear(columns=True)
        for title in self._columns:
            label = Text(title)
            if title in RIGHT:
                label.align("right", COLUMNS[title])
            table.add_column(label, key=title)
        self._cells = {run.name: self._row(run) for run in self._runs}
        for name, cells in self._cells.items():
            table.add_row(*cells, key=name)
        names = [run.name for run in self._runs]
        if keep in names:
            table.move_cursor(row=names.index(keep), animate=False)

    def _refill(self) -> None:
        """Write only the cells that changed."""
        table = self.query_one(DataTable)
        for run in self._runs:
            row = self._row(run)
            for title, old, new in zip(self._columns, self._cells[run.name], row, strict=True):
                if old != new or old.style != new.style:
                    table.update_cell(run.name, title, new, update_width=True)
            self._cells[run.name] = row

    def _row(self, run: RunSummary) -> list[Text]:
        status, record = run.status, run.record
        data = text.visible_line(str(record.data.get("name", ""))) if record else "–"
        best = status.best_val_loss if status.best_step else float("nan")
        values = {
            "name": run.name,
            "cell": run.cell,
            "data": data,
            "state": text.state_label(status.state),
            "step": text.count(status.step),
            "best val": text.loss(best),
            "done": f"{100 * status.progress:.0f} %" if 0 <= status.progress <= 1 else "–",
            "tok/s": text.short(status.tokens_per_s) if status.live else "–",
            "age": text.age(record.created if record else 0.0),
        }
        longest = {"name": 20, "data": 24} if self.size.width >= ROOMY else {"name": 14, "data": 12}
        cells = []
        for title in self._columns:
            cell = Text(values[title], style=self._state_style(status.state) if title == "state" else "", no_wrap=True)
            if title in longest:
                cell.truncate(longest[title], overflow="ellipsis")
            cell.align("right" if title in RIGHT else "left", max(COLUMNS[title], cell.cell_len))
            cells.append(cell)
        return cells

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

    def _follow(self) -> None:
        run = self.highlighted
        self.app.refresh_bindings()
        if self.is_open:
            self._follower.follow(run.paths if run else None)
            self._draw_details()

    def on_feed_read(self, message: FeedRead) -> None:
        """More of the logs is there."""
        self._follower.received(message)

    def _draw_details(self) -> None:
        run, snapshot = self.highlighted, self._follower.snapshot
        chart = self.query_one(Chart)
        shown = snapshot.val_loss
        old = chart.series[0].y if chart.series else np.zeros(0)
        if not (old is shown or (len(old) == len(shown) and np.array_equal(old, shown, equal_nan=True))):
            line = Series("", snapshot.val_step, shown, "val")
            points = Series("validation", snapshot.val_step, shown, "val", mark="◇")
            chart.show([line, points] if len(shown) else [])
        content = self._describe(run, last_text(snapshot)) if run else Content("")
        details = self.query_one("#runs-details", Static)
        title = run.name if run else "details"
        if details.border_title != title:
            details.border_title = Content(title)
        if self._details is None or content.markup != self._details.markup:
            self._details = content
            details.update(content)

    def _describe(self, run: RunSummary, sample: str) -> Content:
        record, status = run.record, run.status
        if record is None:
            return Content.styled(text.visible_line(run.problem), "$text-error")
        train = record.config.train
        tokens = record.data.get("train", 0)
        size = f" of {text.short(tokens)} {record.vocab.kind}s" if isinstance(tokens, int) else ""
        facts = [
            f"{text.short(record.parameters)} parameters",
            f"batch {train.batch_size} × {train.seq_len}{size}",
            f"{train.optimizer} {text.rate(train.lr)} {train.schedule}",
            f"started {text.clock(record.created)}",
        ]
        if status.live and status.eta:
            facts.append(f"{text.duration(status.eta)} left")
        if status.best_step:
            facts.append(f"best {text.loss(status.best_val_loss)} at step {text.count(status.best_step)}")
        lines = [Content(" · ".join(facts))]
        if status.message:
            lines.append(Content.styled(status.message, "$text-warning"))
        if sample:
            lines.append(Content.styled(f"“{text.visible_line(sample.strip(), ' ')}”", "italic $text-muted"))
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

    def do_refresh(self) -> None:
        """Read the folder now."""
        self.dashboard.scan()

    def do_delete(self) -> None:
        """Ask, then delete."""
        run = self.highlighted
        if run is None or run.status.live:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(lambda: self._delete(run), thread=True, group="delete")

        self.app.push_screen(
            Confirm(
                f"Delete run '{run.name}'?",
                "Its curves, samples and checkpoints are removed for good; exported cells stay.",
                "delete",
            ),
            answered,
        )

    def _delete(self, run: RunSummary) -> None:
        try:
            remove(run.paths)
        except RunError as error:
            self.app.call_from_thread(self.dashboard.say, str(error), error=True)
        else:
            self.app.call_from_thread(self.dashboard.forget, run.paths)
