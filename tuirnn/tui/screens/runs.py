"""The Runs tab: all runs of the folder, chart and details of the highlighted one."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input

from tuirnn.charts.plot import Options, Series
from tuirnn.errors import RunError
from tuirnn.figures import UNKNOWN
from tuirnn.runlog.snapshot import last_text
from tuirnn.runs.filtering import matches
from tuirnn.runs.layout import check_name
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.notes import as_line, parse_notes
from tuirnn.tui.background_actions import BackgroundActions
from tuirnn.tui.cell_files import find_cell_files
from tuirnn.tui.keys import key
from tuirnn.tui.run_facts import describe
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask, Confirm
from tuirnn.tui.screens.logs import LogRead, LogReaders
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.run_details import RunDetails
from tuirnn.tui.widgets.runs_table import RunsTable
from tuirnn.tui.widgets.titles import entitle
from tuirnn.tui.widgets.welcome import Welcome

MOST_LINES = 8
"""Runs in one chart."""

SORTS: dict[str, Callable[[RunSummary], Any]] = {
    "newest": lambda run: -(run.record.created if run.record else 0.0),
    "name": lambda run: run.name,
    "best val": lambda run: (
        run.judgement.loss.unit,  # losses of one unit together
        str(run.judgement.scale),
        run.status.best_val_loss if run.status.best_step else math.inf,
    ),
    "state": lambda run: (not run.status.live, run.status.state),
    "cell": lambda run: run.cell,
    "done": lambda run: -run.status.progress,
}
"""Sort keys by name; the first one is the default."""


class RunsTab(Tab):
    """Table of runs; below it chart and details of the highlighted one."""

    NAME = "runs"
    KEYS = (
        key("n", "new", "new", "start a new run"),
        key("enter", "open", "open", "open the run on the Train tab"),
        key("space", "mark", "mark", "mark the run: its curve is added to this chart and to the Compare tab"),
        key("g", "generate", "generate", "generate with the run"),
        key(
            "/",
            "filter",
            "filter",
            "show only some runs: by parts of names, #tags, or settings as in lr>0.001 cell=gru",
        ),
        key("s", "sort", "sort", "sort by the next column"),
        key("e", "export", "export", "write the run's best checkpoint as a cell file into export/cells"),
        key("#", "note", "tag", "give the run tags and a note: '#night ran on the old data'"),
        key("N", "rename", "rename", "rename the run"),
        key("d", "delete", "delete", "delete the run, after confirmation"),
        key("X", "xray", "", "open the run on the X-ray tab"),
        key("U", "unmark", "", "remove all marks"),
        key("r", "refresh", "", "read the folder again now"),
        key("h", "tour", "", "two minutes, step by step: train a network, look inside, let it write"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]
    _wanted = ""  # name of a run that the cursor is going to be put on

    def compose(self) -> ComposeResult:
        """The table above, chart and details below; instructions if there are no runs."""
        yield Welcome(id="welcome")
        table = RunsTable(id="runs-table")
        table.border_title = "runs"
        yield table
        yield Input(
            placeholder="a part of a name, #tag, lr>0.001, cell=gru …  (⏎ keep, esc all)",
            id="runs-filter",
            compact=True,
        )
        with Horizontal(id="runs-below"):
            yield Chart("no evaluation yet", id="runs-chart")
            yield RunDetails(id="runs-details")

    def setup(self) -> None:
        """Nothing is known about the runs yet."""
        self._readers = LogReaders(self, self._draw_below)
        preferred = str(self.context.preferred.dashboard["sort"])
        self._sort = preferred if preferred in SORTS else next(iter(SORTS))
        self._shown_lines: list[tuple[str, str, bytes]] = []
        self._actions = BackgroundActions(self.context)
        self.set_interval(10.0, self._table.renew)  # the ages
        self.app.theme_changed_signal.subscribe(self, lambda _: self._table.renew())

    @property
    def _table(self) -> RunsTable:
        return self.query_one(RunsTable)

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor."""
        return self._table.highlighted

    def allow_focus(self) -> bool:
        """Leave the focus to the table, or to the doors if there are no runs."""
        return False

    def focus_target(self) -> Widget:
        """The table, if there are runs."""
        return self.query_one(Welcome) if self.has_class("-empty") else self._table

    def can(self, action: str) -> bool:
        """Most actions need a run."""
        if action == "unmark":
            return bool(self.context.folder.marked)
        if action in ("filter", "sort"):
            return bool(self.context.folder.runs)
        return action in ("new", "refresh", "tour") or self.highlighted is not None

    def opened(self) -> None:
        """Look at the logs at once."""
        self._follow()
        self.tick()

    def tick(self) -> None:
        """Look for news in the logs of the runs in the chart."""
        self._readers.poll()

    # ── the table ─────────────────────────────────────────────────────────────

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Display the runs."""
        if self.has_class("-empty") == bool(runs):
            self.set_class(not runs, "-empty")
            if self.is_open:
                self.context.leave_field()  # to what has taken the place of the focused widget
        folder = self.context.folder
        self.query_one(Welcome).show_folder(str(folder.path))
        styles = {run.name: folder.line_style(run.name) for run in runs}
        self._table.show(self._selected(runs), styles, frozenset(folder.marked), self.context.current)
        if self._wanted and self._table.put_cursor(self._wanted):
            self._wanted = ""
        self._follow()

    def await_run(self, name: str) -> None:
        """Put the cursor on a run as soon as it is listed."""
        self._wanted = name

    def _selected(self, runs: list[RunSummary]) -> list[RunSummary]:
        """The runs that pass the filter, sorted."""
        typed = self.query_one("#runs-filter", Input).value
        passed = [run for run in runs if matches(run, typed)]
        table = self._table
        entitle(
            table,
            "runs" if len(passed) == len(runs) else f"runs · {len(passed)} of {len(runs)}",
            f"sorted by {self._sort}" if self._sort != "newest" else "newest first",
        )
        tasks = list(dict.fromkeys(run.task.name if run.task else "" for run in runs))  # that of the newest run first
        return sorted(passed, key=lambda run: (tasks.index(run.task.name if run.task else ""), SORTS[self._sort](run)))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as the user types."""
        event.stop()
        self.runs_changed(self.context.folder.runs)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, return to the table."""
        event.stop()
        self.context.leave_field()

    def on_escape(self) -> None:
        """Remove the filter."""
        field = self.query_one("#runs-filter", Input)
        if field.value or field.display:
            field.value = ""
            field.display = False
            self.runs_changed(self.context.folder.runs)

    # ── the highlighted run ───────────────────────────────────────────────────

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Display the run under the cursor."""
        self._follow()

    def on_resize(self) -> None:
        """Show as much of the table of a run's answers as there is room for now."""
        if self.is_set_up:
            self.call_after_refresh(self._draw_below)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the run that was clicked."""
        self.action_open()

    def _overlaid(self) -> list[RunSummary]:
        """The marked runs and the highlighted one."""
        names = dict.fromkeys(self.context.folder.marked)
        if run := self.highlighted:
            names.setdefault(run.name)
        return self.context.folder.named(list(names))

    def _comparable(self) -> list[RunSummary]:
        """Those of them whose losses share an axis with the highlighted run's."""
        run = self.highlighted
        return [one for one in self._overlaid() if run and one.judgement.kind == run.judgement.kind][-MOST_LINES:]

    def _follow(self) -> None:
        self.app.refresh_bindings()
        if self.is_open:
            self._readers.follow([run.paths for run in self._comparable()])
            self._draw_below()

    def on_log_read(self, message: LogRead) -> None:
        """Draw what was read."""
        self._readers.received(message)

    def _draw_below(self) -> None:
        run, details = self.highlighted, self.query_one(RunDetails)
        self._draw_chart()
        if run is None:
            details.show("details", Content(""), "", table=False)
            return
        table = run.task is not None and not run.task.writes
        written = last_text(self._readers.snapshot(run.paths)).strip("\n")
        details.show(run.name, describe(run), written, table)

    def _draw_chart(self) -> None:
        """The validation losses of the comparable runs; laid out again only if one of them is different."""
        chart, runs = self.query_one("#runs-chart", Chart), self._comparable()
        lines: list[Series] = []
        for run in runs:
            val = self._readers.snapshot(run.paths).val
            if len(runs) == 1:
                style = self.context.folder.line_style(run.name)
                lines += [Series("", val.step, val["loss"], style), Series("", val.step, val["loss"], style, mark="◆")]
            elif len(val):
                lines.append(Series(run.name, val.step, val["loss"], self.context.folder.line_style(run.name)))
        shown = [(one.name, one.style, one.y.values.tobytes()) for one in lines]
        if shown != self._shown_lines:
            self._shown_lines = shown
            chart.show(lines if any(len(one.x) for one in lines) else [], Options(robust=True))
        loss = runs[0].judgement.loss if runs else UNKNOWN.loss
        missing = [run for run in self._overlaid() if run not in runs]
        others = sum(run.judgement.kind != runs[0].judgement.kind for run in missing)
        notes = [f"{others} not drawn: other units"] * bool(others)
        notes += [f"{len(missing) - others} more"] * (len(missing) > others)
        entitle(chart, f"validation {dataclasses.replace(loss, name=loss.kind).titled}", " · ".join(notes))

    def on_welcome_chosen(self, event: Welcome.Chosen) -> None:
        """Open the door that was chosen."""
        if event.door == "play":
            self.context.generate_with(str(next(iter(find_cell_files()), "")))
        else:
            (self.action_new if event.door == "train" else self.action_tour)()

    # ── keys ──────────────────────────────────────────────────────────────────

    def action_new(self) -> None:
        """Open the form for a new run."""
        self.context.new_run()

    def action_tour(self) -> None:
        """Start the tour."""
        self.context.start_tour()

    def action_open(self) -> None:
        """Open the run on the Train tab."""
        if run := self.highlighted:
            self.context.open_run(run.paths)

    def action_generate(self) -> None:
        """Open the run on the Generate tab."""
        if run := self.highlighted:
            self.context.generate_with(run.name)

    def action_xray(self) -> None:
        """Open the run on the X-ray tab."""
        if run := self.highlighted:
            self.context.look_inside(run.name)

    def action_mark(self) -> None:
        """Mark the run, or remove its mark; then move to the next run."""
        if run := self.highlighted:
            self.context.folder.toggle_mark(run.name)
            self._table.action_cursor_down()
            self.runs_changed(self.context.folder.runs)

    def action_unmark(self) -> None:
        """Remove all marks."""
        self.context.folder.marked.clear()
        self.runs_changed(self.context.folder.runs)

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one("#runs-filter", Input)
        field.display = True
        field.focus()

    def action_sort(self) -> None:
        """Sort by the next key."""
        names = list(SORTS)
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self.context.remember("sort", self._sort)
        self.runs_changed(self.context.folder.runs)

    def action_export(self) -> None:
        """Write the cell file of the run."""
        if run := self.highlighted:
            self._actions.export(run.name)

    def copies(self) -> dict[str, str]:
        """The highlighted run: where it is, its row of the table, what is known about it, and what it wrote last."""
        if (run := self.highlighted) is None:
            return {}
        written = last_text(self._readers.snapshot(run.paths)).strip("\n")
        row = self._table.row_of(run)
        return {"path": str(run.paths.root), "row": row, "details": describe(run).plain, "sample": written}

    def action_refresh(self) -> None:
        """Read the folder now."""
        self.context.scan()

    def action_note(self) -> None:
        """Ask for tags and a note, then write them."""
        if run := self.highlighted:

            def answered(line: str | None) -> None:
                if line:
                    self._actions.note(run.paths, parse_notes("" if line == "-" else line))

            hint = "#tags, and a note in words; - takes both away. / finds runs by them."
            self.app.push_screen(Ask(f"tags and note of {run.name}", as_line(run.notes), hint, parse_notes), answered)

    def action_rename(self) -> None:
        """Ask for a name, then rename the run."""
        run = self.highlighted
        if run is None:
            return
        if run.status.live:
            self.context.notice(f"{run.name} is training; it can be renamed after the training has ended")
            return

        def check(name: str) -> None:
            if check_name(name) != run.name and (self.context.folder.path / name).exists():
                raise RunError(f"'{name}' already exists; choose another name")

        def answered(name: str | None) -> None:
            if name and name != run.name:
                self._actions.rename(run.paths, name)

        hint = "Letters, digits, '.', '_' and '-'. Cell files that were exported keep their names."
        self.app.push_screen(Ask(f"rename {run.name}", run.name, hint, check), answered)

    def action_delete(self) -> None:
        """Ask for confirmation, then delete the run."""
        run = self.highlighted
        if run is None:
            return
        if run.status.live:
            self.context.notice(f"{run.name} is training; stop it first: ⏎ opens it, S stops it")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._actions.delete(run.paths)

        self.app.push_screen(
            Confirm(
                f"Delete run '{run.name}'?",
                "Its curves, samples and checkpoints are deleted permanently; cell files that were exported stay.",
                "delete",
            ),
            answered,
        )
