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
from tuirnn.tui.screens.asides import Asides
from tuirnn.tui.screens.charting import CHART_KEYS, ChartKeys
from tuirnn.tui.screens.dialogs import Findings
from tuirnn.tui.screens.logs import LogRead, LogReader
from tuirnn.tui.screens.steering import Steering
from tuirnn.tui.widgets.held_out import HeldOut
from tuirnn.tui.widgets.run_chart import RunChart, RunCurves, SmallCharts, following
from tuirnn.tui.widgets.status_panel import StatusPanel

WIDE = 112
"""Width from which two panels stand side by side."""

SECOND = "-second"
PAGES, NARROW_PAGES = ("-first", "-log"), ("-first", SECOND, "-log", "-system")
"""Classes of the tab for what stands at its bottom."""


class TrainTab(ChartKeys, Steering):
    """Charts, status, samples and mistakes of a run."""

    NAME = "train"
    KEYS = (
        key("p,space", "pause", "pause/go", "pause the training after this step, or continue (also: space)"),
        key("S", "stop", "stop…", "write a checkpoint and end the training, after confirmation"),
        key("R", "resume", "resume", "resume a run that has ended, as a process of its own"),
        key("V", "evaluate", "evaluate", "evaluate and write a sample now"),
        key("c", "checkpoint", "checkpoint", "write a checkpoint now"),
        key("[", "earlier", "earlier", "sample of the previous evaluation"),
        key("]", "later", "later", "sample of the next evaluation"),
        key("v", "panel", "panel", "next panel: what it writes, what it gets wrong, the run's log, the machine"),
        key("D", "findings", "findings", "what is found in the run's curves, with the evidence and what to try"),
        key(">", "faster", "lr up", "multiply the learning rate by 1.25"),
        key("<", "slower", "lr down", "multiply the learning rate by 0.8"),
        key("g", "generate", "generate", "generate with the run"),
        key("K", "kill", "", "kill the training without a checkpoint, after confirmation"),
        key("X", "xray", "", "open the run on the X-ray tab"),
        *CHART_KEYS,
        key("up", "scroll_up", "", "scroll the texts up; previous column of a forecast"),
        key("down", "scroll_down", "", "scroll the texts down; next column of a forecast"),
        key("n", "new", "", "start a new run"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """Chart and status above, small charts in the middle, below what the network writes or answers."""
        self._asides = Asides(self)
        with Horizontal(id="train-top"):
            yield RunChart(id="train-chart")
            status = StatusPanel(id="train-status")
            status.border_title = "now"
            yield status
        yield self._asides.found
        yield SmallCharts(id="train-small")
        yield HeldOut(id="train-texts")
        yield self._asides.behind

    def setup(self) -> None:
        """No run is followed yet."""
        self._reader = LogReader(self, self._draw)
        self._page = PAGES[0]
        self._draw()

    @property
    def chart(self) -> RunChart:
        """The large chart."""
        return self.query_one(RunChart)

    # ── following ─────────────────────────────────────────────────────────────

    def open_run(self, paths: RunPaths) -> None:
        """Show this run."""
        if self.paths != paths:
            self.paths, self.summary = paths, None
            self.chart.reset()
            self._asides.follow(None, paths)
            self.runs_changed(self.context.folder.runs)
        self._reader.follow(paths)

    def close_run(self) -> None:
        """Show no run."""
        self.paths, self.summary = None, None
        self._reader.follow(None)
        self._asides.follow(None, None)
        self._draw()

    def opened(self) -> None:
        """Show the highlighted run if no run is shown."""
        if self.paths is None and (run := self.context.highlighted):
            self.open_run(run.paths)
        self.tick()

    def tick(self) -> None:
        """Look for news in the logs."""
        self._reader.poll()
        self._asides.tick(self.snapshot)

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Display the run's status."""
        new = next((run for run in runs if run.paths == self.paths), None)
        if new is not self.summary:
            known, live, self.summary = self.summary is not None, self.status.live, new
            if known and live != self.status.live:
                self._draw_texts()  # what it says of requests
            if not known:
                self._draw()  # the units are in the record
            self.show_status()
            self._asides.follow(new, self.paths)
            self.app.refresh_bindings()

    def show_status(self) -> None:
        """Display the run's status, losses in the unit of the chart."""
        new = self.summary
        self.query_one(StatusPanel).show(*((new.status, new.task, self.chart.unit) if new else (None,)))

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
        self.chart.empty = self._why_empty()
        judged = self.summary.judgement if self.summary else UNKNOWN
        facts, smoothing = measures.facts(self.summary), self.context.folder.smoothing
        style = self.context.folder.line_style(name) if self.paths else ""
        self.chart.show_run(RunCurves(name, self.snapshot, facts, judged, smoothing, style))
        self.draw_rest()

    def draw_rest(self) -> None:
        """All but the large chart, which comes first."""
        self._draw_texts()
        self.call_after_refresh(lambda: self.query_one(SmallCharts).show(self.chart))

    def _why_empty(self) -> str:
        """What the chart says while it has no curve."""
        if self.paths is None:
            return "no run is open: 1 lists the runs, n starts a new one"
        if self.summary is not None and not self.status.live:
            return f"no step was recorded: the run is {self.status.state}"
        return "waiting for the first step"

    def _evaluation(self) -> Evaluation | None:
        """The last evaluation up to the cursor; without a cursor the newest."""
        known, cursor = self.snapshot.evaluations, self.chart.cursor
        if cursor is None:
            return known[-1] if known else None
        return next((one for one in reversed(known) if one.step <= cursor), known[0] if known else None)

    def _draw_texts(self) -> None:
        task = self.summary.task if self.summary else None
        self.query_one(HeldOut).show(self.snapshot, self._evaluation(), task, self.status.live)

    # ── cursor and zoom ───────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Most actions need a run; some need more."""
        if action in ("earlier", "later"):
            return len(self.snapshot.evaluations) > 1
        if action == "newest":
            return self.chart.cursor is not None or self.chart.is_zoomed
        if action == "findings":
            return bool(self._asides.findings)
        return action == "new" or (self.paths is not None and super().can(action))

    def smoothing_changed(self) -> None:
        """Smooth the training loss by the folder's factor."""
        if self._reader.feed:
            self._reader.feed.beta = self.context.folder.smoothing
            self._reader.poll()
        self._draw()

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
            self.chart.move_cursor(None if to == len(steps) - 1 else float(steps[to]))
            self.cursor_moved()

    # ── other keys ────────────────────────────────────────────────────────────

    def action_panel(self) -> None:
        """Show the next panel."""
        pages = PAGES if self.app.size.width >= WIDE else NARROW_PAGES
        held_out = self.query_one(HeldOut)
        known = [page for page in pages if page != SECOND or held_out.has_second]
        self._page = following(self._page if self._page in known else known[0], known)
        for page in NARROW_PAGES:
            self.set_class(page == self._page, page)
        held_out.set_class(self._page == SECOND, SECOND)
        self._asides.now()
        self.refit()

    def action_findings(self) -> None:
        """Show what was found in the run."""
        self.app.push_screen(Findings(self.paths.name if self.paths else "", self._asides.findings))

    def copies(self) -> dict[str, str]:
        """The sample at the cursor, the figures there, the findings, and where the run is."""
        chosen = self._evaluation()
        found = "\n".join(f"{one.what}: {one.evidence} {one.advice}" for one in self._asides.findings)
        return {
            "sample": chosen.text.strip("\n") if chosen else "",
            "figures at the cursor": "\n".join(self.chart.values_at_cursor()),
            "findings": found,
            "path": str(self.paths.root) if self.paths else "",
        }

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
