"""The Train tab: one run as it learns, and the keys that steer it."""

import dataclasses
import math

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from tuirnn import text
from tuirnn.charts import measures
from tuirnn.charts.measures import LOSS, Facts
from tuirnn.charts.plot import LOSS_UNITS, UNITS, Options
from tuirnn.charts.window import Window
from tuirnn.figures import UNKNOWN, Judgement
from tuirnn.runlog.snapshot import Evaluation, Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.screens.base import FeedRead, Follower
from tuirnn.tui.screens.steering import Steering
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.prose import Guesses, Prose, surprise_legend
from tuirnn.tui.widgets.vitals import Vitals

SMOOTHINGS: tuple[float | None, ...] = (None, 0.8, 0.95, 0.99, 0.0)
"""None: what suits the length of the curve."""

WIDE = 100
"""Width from which both texts are shown side by side."""

SMALL_CHARTS = 3
PAN = 0.2


class TrainTab(Steering):
    """Charts, figures, what the network writes and what it gets wrong."""

    def compose(self) -> ComposeResult:
        """Chart and figures above, small charts in the middle, the two texts below."""
        with Horizontal(id="train-top"):
            yield Chart("waiting for the first step", id="train-chart")
            vitals = Vitals(id="train-vitals")
            vitals.border_title = "now"
            yield vitals
        with Horizontal(id="train-small"):
            for number in range(SMALL_CHARTS):
                yield Chart("", id=f"train-small-{number}", classes="small")
        with Horizontal(id="train-texts"):
            yield Prose(id="train-sample")
            wrong = Guesses(id="train-wrong")
            wrong.border_title = "what it still gets wrong"
            yield wrong

    def furnish(self) -> None:
        """Nothing is followed yet."""
        self._shown: tuple[int, Evaluation | None] | None = None
        self._cursor: float | None = None  # a step; None: the newest
        self._log = self._log_x = False
        self._axis, self._measure, self._unit = "step", LOSS, "nats"
        self._window = Window()
        self._follower = Follower(self, self._draw)
        self.query_one(Guesses).border_subtitle = surprise_legend("cost", "nats · beneath: its own guess")
        self._draw()

    # ── following ─────────────────────────────────────────────────────────────

    def open_run(self, paths: RunPaths) -> None:
        """Show this run."""
        if self.paths != paths:
            self.paths, self.summary, self._cursor, self._shown = paths, None, None, None
            self._window, self._measure, self._axis = Window(), LOSS, "step"
            self.runs_changed(self.dashboard.runs)
        self._follower.follow(paths)

    def close_run(self) -> None:
        """Show no run."""
        self.paths, self.summary, self._shown = None, None, None
        self._follower.follow(None)
        self._draw()

    def opened(self) -> None:
        """Without a run of its own, the tab shows the one under the cursor."""
        if self.paths is None and (run := self.dashboard.highlighted):
            self.open_run(run.paths)
        self.tick()

    def tick(self) -> None:
        """Look at the logs on the screen."""
        self._follower.poll()

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """The status of the run may have changed."""
        new = next((run for run in runs if run.paths == self.paths), None)
        if new is not self.summary:
            known, self.summary = self.summary is not None, new
            if not known:
                self.set_class(new is not None and new.task is not None and not new.task.writes, "-judging")
                self._draw()  # what a token is called stands in the record
            self.query_one(Vitals).show(*((new.status, new.task) if new else (None,)))
            self.app.refresh_bindings()

    def on_feed_read(self, message: FeedRead) -> None:
        """More of the logs is there."""
        self._follower.received(message)

    def on_resize(self, event: events.Resize) -> None:
        """Other charts may have come into view."""
        if self.furnished:
            self.call_after_refresh(self._draw)

    @property
    def snapshot(self) -> Snapshot:
        """The run's logs as last read."""
        return self._follower.snapshot

    @property
    def facts(self) -> Facts:
        """What a step means."""
        return measures.facts(self.summary)

    @property
    def judgement(self) -> Judgement:
        """What the run is judged by."""
        return self.summary.judgement if self.summary else UNKNOWN

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        if self._axis not in measures.axes(self.snapshot, self.facts):
            self._axis, self._window = "step", Window()
        self._draw_chart()
        self._draw_texts()
        self.call_after_refresh(self._draw_small)  # what one looks at comes first

    def _draw_chart(self) -> None:
        snapshot, facts, beta = self.snapshot, self.facts, self.dashboard.smoothing
        known = measures.measures(snapshot, facts)
        measure = self._measure if self._measure in known else LOSS
        judged = self.judgement
        low, high = self._range()
        x_from, x_to = self._window.bounds(low, high)
        options = Options(
            self._log, x_from, self._cursor_x(), x_to, self._log_x and self._axis in ("step", "epoch"),
            measures.axis_of(self._axis, snapshot, facts), measures.unit_of(measure, judged, self._unit),
        )  # fmt: skip
        chart = self.query_one("#train-chart", Chart)
        reading = self._reading(measures.unit_of(LOSS, judged, self._unit))
        chart.show(measures.series_of(measure, snapshot, self._axis, facts, beta != 0), options, reading)
        name = self.paths.name if self.paths else "no run"
        chart.border_title = Content(f"{name} · {measures.title(measure, judged, self._unit, facts.counted)}")
        chart.border_subtitle = Content(" · ".join(self._how(snapshot, options)))

    def _how(self, snapshot: Snapshot, options: Options) -> list[str]:
        """How the chart is drawn, in words."""
        beta = self.dashboard.smoothing
        words = [f"by {'wall clock' if self._axis == 'wall' else 'time' if self._axis == 'relative' else self._axis}"]
        words += [f"smooth {'auto' if beta is None else beta or 'off'}"]
        words += ["log y" if options.log else "linear y"]
        words += ["log x"] if options.log_x else []
        words += [] if self._window.whole else ["part"]
        words += [f"{snapshot.damaged} damaged lines"] if snapshot.damaged else []
        if not len(snapshot.train):
            return []
        return [f"sketch, {100 * snapshot.share:.0f} % read", *words] if snapshot.share < 1 else words

    def _range(self) -> tuple[float, float]:
        """First and last place on the axis."""
        places = measures.place(self.snapshot.train, self._axis).values
        return (float(places[0]), float(places[-1])) if len(places) else (0.0, 1.0)

    def _cursor_x(self) -> float:
        if self._cursor is None:
            return math.nan
        return measures.position(self.snapshot.train, self._axis, self._cursor)

    def _reading(self, unit: str) -> list[str]:
        """The figures at the cursor."""
        if self._cursor is None:
            return []
        snapshot, step = self.snapshot, self._cursor
        lines = [f"step {text.count(step)}"]
        shown = [("train", snapshot.train, snapshot.smooth), ("val", snapshot.val, snapshot.val[LOSS])]
        shown += [(measures.NAMES.get(n, n), snapshot.train, c) for n, c in snapshot.train.values.items() if n != LOSS]
        for name, curves, values in shown:
            at = curves.step.upto(step) - 1
            if 0 <= at < len(values):
                value = values.at(slice(at, at + 1))
                loss = name in ("train", "val")
                figure = float((UNITS[unit](value) if loss else value)[0])
                lines.append(f"{name} {text.loss(figure) if loss else text.figure(figure)}")
        return lines

    def _draw_small(self) -> None:
        """The measures that the large chart does not show, as many as there is room for."""
        panel = self.query_one("#train-small")
        if not panel.display or not panel.size.height:
            return
        snapshot, facts = self.snapshot, self.facts
        others = [measure for measure in measures.measures(snapshot, facts) if measure != self._measure]
        x_from, x_to = self._window.bounds(*self._range())
        axis = measures.axis_of(self._axis, snapshot, facts)
        options = Options(x_from=x_from, x_to=x_to, cursor=self._cursor_x(), axis=axis)
        judged = self.judgement
        for number in range(SMALL_CHARTS):
            chart = self.query_one(f"#train-small-{number}", Chart)
            measure = others[number] if number < len(others) else ""
            chart.set_class(not measure, "-unused")
            chart.border_title = Content(measures.title(measure, judged, counted=facts.counted))
            chart.show(
                measures.series_of(measure, snapshot, self._axis, facts) if measure else [],
                dataclasses.replace(options, unit=measures.unit_of(measure, judged, "nats")),
            )

    def _evaluation(self) -> Evaluation | None:
        """The evaluation to show: the last one up to the cursor, or the newest."""
        known = self.snapshot.evaluations
        if self._cursor is None:
            return known[-1] if known else None
        return next((one for one in reversed(known) if one.step <= self._cursor), known[0] if known else None)

    def _draw_texts(self) -> None:
        snapshot, chosen = self.snapshot, self._evaluation()
        sample = self.query_one("#train-sample", Prose)
        total = snapshot.evaluations[-1].step if snapshot.evaluations else 0
        where = f" · [ step {text.count(chosen.step)} of {text.count(total)} ]" if chosen else ""
        title = f"{'what it says of held-out data' if self.has_class('-judging') else 'what it writes'}{where}"
        if str(sample.border_title) != title:
            sample.border_title = Content(title)
        if self._shown == (snapshot.generation, chosen):
            return
        self._shown = (snapshot.generation, chosen)
        written = chosen.text.lstrip("\n") if chosen else ""
        waiting = [("nothing yet: it writes at each evaluation; v asks for one now", "dim")]
        sample.show([(written, "plain")] if written else waiting)
        mistakes = chosen.mistakes if chosen else None
        self.query_one(Guesses).show(
            *((mistakes.symbols, mistakes.nats, mistakes.guesses) if mistakes else ((), (), ()))
        )

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """What there is to look at decides."""
        if action in ("earlier", "later"):
            return len(self.snapshot.evaluations) > 1
        if action == "newest":
            return self._cursor is not None or not self._window.whole
        if action == "panel":
            return self.app.size.width < WIDE and not self.has_class("-judging")
        return action == "new" or (self.paths is not None and super().can(action))

    def do_earlier(self) -> None:
        """One evaluation back."""
        self._scrub(-1)

    def do_later(self) -> None:
        """One evaluation on."""
        self._scrub(1)

    def _scrub(self, by: int) -> None:
        chosen, steps = self._evaluation(), [one.step for one in self.snapshot.evaluations]
        if chosen is not None:
            to = min(max(steps.index(chosen.step) + by, 0), len(steps) - 1)
            self._move(None if to == len(steps) - 1 else float(steps[to]))

    def do_left(self) -> None:
        """The cursor to the left."""
        self._nudge(-1)

    def do_right(self) -> None:
        """The cursor to the right."""
        self._nudge(1)

    def _nudge(self, cells: int) -> None:
        """Move the cursor by cells of the chart; it comes in at the end."""
        area = self.query_one("#train-chart", Chart).canvas().area
        if area is None:
            return
        x = self._cursor_x()
        share = 1.0 if math.isnan(x) else (area.scale.column(np.array([x]), area.W * 10)[0]) / (area.W * 10)
        step = measures.step_at(
            self.snapshot.train, self._axis, area.scale.x_at(min(max(share + cells / area.W, 0), 1))
        )
        if step == self._cursor:  # fewer points than cells: on to the next one
            steps = self.snapshot.train.step
            at = steps.before(step) + cells
            step = float(steps.values[min(max(at, 0), len(steps) - 1)])
        self._move(step)

    def _move(self, step: float | None) -> None:
        self._cursor = step
        self._draw()
        self.app.refresh_bindings()

    def do_newest(self) -> None:
        """All of it, at its newest."""
        self._window = Window()
        self._move(None)

    def do_zoom_in(self) -> None:
        """More detail."""
        self._zoom(1)

    def do_zoom_out(self) -> None:
        """Less."""
        self._zoom(-1)

    def _zoom(self, by: int, around: float = math.nan) -> None:
        low, high = self._range()
        around = self._cursor_x() if math.isnan(around) else around
        self._window = self._window.zoomed(by, high if math.isnan(around) else around, low, high)
        self._draw()
        self.app.refresh_bindings()

    def do_pan_left(self) -> None:
        """Back."""
        self._pan(-PAN)

    def do_pan_right(self) -> None:
        """On."""
        self._pan(PAN)

    def _pan(self, share: float) -> None:
        self._window = self._window.panned(share, *self._range())
        self._draw()

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        """The cursor comes to the mouse."""
        self._move(measures.step_at(self.snapshot.train, self._axis, event.x))

    def on_chart_turned(self, event: Chart.Turned) -> None:
        """The wheel zooms."""
        self._zoom(event.by, event.x)

    def on_chart_dragged(self, event: Chart.Dragged) -> None:
        """The plot follows the mouse."""
        self._pan(-event.share)

    def do_axis(self) -> None:
        """The next axis."""
        known = measures.axes(self.snapshot, self.facts)
        self._axis = known[(known.index(self._axis) + 1) % len(known)] if self._axis in known else "step"
        self._window = Window()
        self._draw()

    def do_measure(self) -> None:
        """The next measure on the large chart."""
        known = measures.measures(self.snapshot, self.facts)
        self._measure = known[(known.index(self._measure) + 1) % len(known)] if self._measure in known else LOSS
        self._draw()

    def do_unit(self) -> None:
        """The next unit of the loss."""
        self._unit = LOSS_UNITS[(LOSS_UNITS.index(self._unit) + 1) % len(LOSS_UNITS)]
        self._draw()

    def do_log(self) -> None:
        """Linear or logarithmic y."""
        self._log = not self._log
        self._draw()

    def do_log_x(self) -> None:
        """Linear or logarithmic x."""
        self._log_x = not self._log_x
        if self._log_x and self._axis not in ("step", "epoch"):
            self._axis, self._window = "step", Window()
        self._draw()

    def do_smooth(self) -> None:
        """The next smoothing."""
        self.dashboard.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.dashboard.smoothing) + 1) % len(SMOOTHINGS)]
        if self._follower.feed:
            self._follower.feed.beta = self.dashboard.smoothing
            self._follower.poll()
        self._draw()

    def do_panel(self) -> None:
        """The other of the two texts, where there is room for one."""
        self.toggle_class("-wrong")

    def do_scroll_up(self) -> None:
        """Scroll the texts up."""
        for panel in self.query("Lines"):
            panel.scroll_up(animate=False)

    def do_scroll_down(self) -> None:
        """Scroll the texts down."""
        for panel in self.query("Lines"):
            panel.scroll_down(animate=False)

    def do_generate(self) -> None:
        """Write with this run."""
        if self.paths:
            self.dashboard.generate_with(self.paths.name)

    def do_xray(self) -> None:
        """Look inside this run."""
        if self.paths:
            self.dashboard.look_inside(self.paths.name)

    def do_new(self) -> None:
        """The form for a new run."""
        self.dashboard.new_run()
