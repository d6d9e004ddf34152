"""The Train tab: one run as it learns."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from tuirnn.charts import measures
from tuirnn.figures import UNKNOWN
from tuirnn.runlog.snapshot import Evaluation, Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.keys import key
from tuirnn.tui.screens.logs import LogRead, LogReader
from tuirnn.tui.screens.steering import Steering
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.held_out import HeldOut
from tuirnn.tui.widgets.run_chart import RunChart, RunCurves, SmallCharts
from tuirnn.tui.widgets.status_panel import StatusPanel

SMOOTHINGS: tuple[float | None, ...] = (None, 0.8, 0.95, 0.99, 0.0)
"""None selects the smoothing by the number of points."""

PAN = 0.2
"""Share of the chart by which a key moves it."""


class TrainTab(Steering):
    """Charts, status, samples and mistakes of a run."""

    NAME = "train"
    TITLE = "Train"
    KEYS = (
        key("p,space", "pause", "pause/go", "pause the training after this step, or continue (also: space)"),
        key("S", "stop", "stop…", "write a checkpoint and end the training, after confirmation"),
        key("R", "resume", "resume", "resume a run that has ended, as a process of its own"),
        key("v", "evaluate", "evaluate", "evaluate and write a sample now"),
        key("c", "checkpoint", "checkpoint", "write a checkpoint now"),
        key("[", "earlier", "earlier", "sample of the previous evaluation"),
        key("]", "later", "later", "sample of the next evaluation"),
        key("left", "left", "cursor", "move the cursor to the left; the sample follows (mouse: click)"),
        key("right", "right", "", "move the cursor to the right"),
        key("0,end", "newest", "all", "remove cursor and zoom: the whole curve, the newest sample"),
        key("w", "panel", "panel", "switch between the two lower panels (small windows)"),
        key(">", "faster", "lr up", "multiply the learning rate by 1.25"),
        key("<", "slower", "lr down", "multiply the learning rate by 0.8"),
        key("+,=", "zoom_in", "zoom", "zoom in at the cursor (mouse: wheel)"),
        key("-", "zoom_out", "", "zoom out"),
        key("h,shift+left", "pan_left", "", "move the zoomed part to the left (mouse: drag)"),
        key("l,shift+right", "pan_right", "", "move the zoomed part to the right"),
        key("m", "measure", "measure", "next measure: loss, learning rate, gradient norm, speed, …"),
        key("x", "axis", "axis", "x axis: steps, epochs, time since the start, or wall clock"),
        key("u", "unit", "unit", "unit of the loss: nats, bits, or perplexity"),
        key("y", "log", "log y", "logarithmic or linear y"),
        key("X", "log_x", "", "logarithmic or linear x"),
        key("s", "smooth", "smooth", "next smoothing of the training loss"),
        key("g", "generate", "generate", "generate with the run"),
        key("K", "kill", "", "kill the training without a checkpoint, after confirmation"),
        key("i", "xray", "", "open the run on the X-ray tab"),
        key("up", "scroll_up", "", "scroll the texts up; previous column of a forecast"),
        key("down", "scroll_down", "", "scroll the texts down; next column of a forecast"),
        key("n", "new", "", "start a new run"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """Chart and status above, small charts in the middle, below what the network writes or answers."""
        with Horizontal(id="train-top"):
            yield RunChart(id="train-chart")
            status = StatusPanel(id="train-status")
            status.border_title = "now"
            yield status
        yield SmallCharts(id="train-small")
        yield HeldOut(id="train-texts")

    def setup(self) -> None:
        """No run is followed yet."""
        self._reader = LogReader(self, self._draw)
        self._draw()

    @property
    def _chart(self) -> RunChart:
        return self.query_one(RunChart)

    # ── following ─────────────────────────────────────────────────────────────

    def open_run(self, paths: RunPaths) -> None:
        """Show this run."""
        if self.paths != paths:
            self.paths, self.summary = paths, None
            self._chart.reset()
            self.runs_changed(self.context.folder.runs)
        self._reader.follow(paths)

    def close_run(self) -> None:
        """Show no run."""
        self.paths, self.summary = None, None
        self._reader.follow(None)
        self._draw()

    def opened(self) -> None:
        """Show the highlighted run if no run is shown."""
        if self.paths is None and (run := self.context.highlighted):
            self.open_run(run.paths)
        self.tick()

    def tick(self) -> None:
        """Look for news in the logs."""
        self._reader.poll()

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Display the run's status."""
        new = next((run for run in runs if run.paths == self.paths), None)
        if new is not self.summary:
            known, self.summary = self.summary is not None, new
            if not known:
                self._draw()  # the units are in the record
            self.query_one(StatusPanel).show(*((new.status, new.task) if new else (None,)))
            self.app.refresh_bindings()

    def on_log_read(self, message: LogRead) -> None:
        """Draw what was read."""
        self._reader.received(message)

    def on_resize(self, event: events.Resize) -> None:
        """Draw again: other charts may be visible now."""
        if self.is_set_up:
            self.call_after_refresh(self._draw)

    @property
    def snapshot(self) -> Snapshot:
        """The run's logs as last read."""
        return self._reader.snapshot

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        name = self.paths.name if self.paths else "no run"
        judged = self.summary.judgement if self.summary else UNKNOWN
        facts, smoothing = measures.facts(self.summary), self.context.folder.smoothing
        self._chart.show_run(RunCurves(name, self.snapshot, facts, judged, smoothing))
        self._draw_rest()

    def _draw_rest(self) -> None:
        """All but the large chart, which comes first."""
        self._draw_texts()
        self.call_after_refresh(lambda: self.query_one(SmallCharts).show(self._chart))

    def _evaluation(self) -> Evaluation | None:
        """The last evaluation up to the cursor; without a cursor the newest."""
        known, cursor = self.snapshot.evaluations, self._chart.cursor
        if cursor is None:
            return known[-1] if known else None
        return next((one for one in reversed(known) if one.step <= cursor), known[0] if known else None)

    def _draw_texts(self) -> None:
        task = self.summary.task if self.summary else None
        self.query_one(HeldOut).show(self.snapshot, self._evaluation(), task)

    # ── cursor and zoom ───────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Most actions need a run; some need more."""
        if action in ("earlier", "later"):
            return len(self.snapshot.evaluations) > 1
        if action == "newest":
            return self._chart.cursor is not None or self._chart.is_zoomed
        if action == "panel":
            return self.screen.has_class("-narrow") and self.query_one(HeldOut).has_second
        return action == "new" or (self.paths is not None and super().can(action))

    def action_earlier(self) -> None:
        """Go to the previous evaluation."""
        self._go_to_evaluation(-1)

    def action_later(self) -> None:
        """Go to the next evaluation."""
        self._go_to_evaluation(1)

    def _go_to_evaluation(self, by: int) -> None:
        chosen, steps = self._evaluation(), [one.step for one in self.snapshot.evaluations]
        if chosen is not None:
            to = min(max(steps.index(chosen.step) + by, 0), len(steps) - 1)
            self._chart.move_cursor(None if to == len(steps) - 1 else float(steps[to]))
            self._cursor_moved()

    def _cursor_moved(self) -> None:
        """Show the texts and small charts at the cursor; another key may work now."""
        self._draw_rest()
        self.app.refresh_bindings()

    def action_left(self) -> None:
        """Move the cursor to the left."""
        self._chart.nudge(-1)
        self._cursor_moved()

    def action_right(self) -> None:
        """Move the cursor to the right."""
        self._chart.nudge(1)
        self._cursor_moved()

    def action_newest(self) -> None:
        """Remove cursor and zoom."""
        self._chart.show_all()
        self._cursor_moved()

    def action_zoom_in(self) -> None:
        """Zoom in at the cursor."""
        self._chart.zoom(1)
        self._cursor_moved()

    def action_zoom_out(self) -> None:
        """Zoom out at the cursor."""
        self._chart.zoom(-1)
        self._cursor_moved()

    def action_pan_left(self) -> None:
        """Move the zoomed part to the left."""
        self._chart.pan(-PAN)
        self._draw_rest()

    def action_pan_right(self) -> None:
        """Move the zoomed part to the right."""
        self._chart.pan(PAN)
        self._draw_rest()

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        """Move the cursor to the mouse."""
        self._chart.point_at(event.x)
        self._cursor_moved()

    def on_chart_turned(self, event: Chart.Turned) -> None:
        """Zoom at the mouse."""
        self._chart.zoom(event.by, event.x)
        self._cursor_moved()

    def on_chart_dragged(self, event: Chart.Dragged) -> None:
        """Move the zoomed part with the mouse."""
        self._chart.pan(-event.share)
        self._draw_rest()

    # ── other keys ────────────────────────────────────────────────────────────

    def action_axis(self) -> None:
        """Draw against the next axis."""
        self._chart.next_axis()
        self._draw_rest()

    def action_measure(self) -> None:
        """Draw the next measure on the large chart."""
        self._chart.next_measure()
        self._draw_rest()

    def action_unit(self) -> None:
        """Draw the loss in the next unit."""
        self._chart.next_unit()

    def action_log(self) -> None:
        """Switch between linear and logarithmic y."""
        self._chart.toggle_log()

    def action_log_x(self) -> None:
        """Switch between linear and logarithmic x."""
        self._chart.toggle_log_x()
        self._draw_rest()

    def action_smooth(self) -> None:
        """Smooth the training loss differently."""
        folder = self.context.folder
        folder.smoothing = SMOOTHINGS[(SMOOTHINGS.index(folder.smoothing) + 1) % len(SMOOTHINGS)]
        if self._reader.feed:
            self._reader.feed.beta = folder.smoothing
            self._reader.poll()
        self._draw()

    def action_panel(self) -> None:
        """Switch between the two lower panels."""
        self.query_one(HeldOut).toggle_class("-second")

    def action_scroll_up(self) -> None:
        """Scroll the texts up."""
        self.query_one(HeldOut).scroll_texts(-1)

    def action_scroll_down(self) -> None:
        """Scroll the texts down."""
        self.query_one(HeldOut).scroll_texts(1)

    def action_generate(self) -> None:
        """Open the run on the Generate tab."""
        if self.paths:
            self.context.generate_with(self.paths.name)

    def action_xray(self) -> None:
        """Open the run on the X-ray tab."""
        if self.paths:
            self.context.look_inside(self.paths.name)

    def action_new(self) -> None:
        """Open the form for a new run."""
        self.context.new_run()
