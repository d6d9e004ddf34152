"""The charts of the Train tab: one measure large, the others small, all with the same axis, zoom and cursor."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from textual.app import ComposeResult
from textual.containers import Horizontal

from tuirnn import text
from tuirnn.charts import measures
from tuirnn.charts.measures import LOSS, Facts
from tuirnn.charts.plot import LOSS_UNITS, RANGES, UNITS, Options, Series
from tuirnn.charts.window import Window
from tuirnn.figures import UNKNOWN, Judgement
from tuirnn.runlog.snapshot import Curves, Snapshot
from tuirnn.runs.reader import ELAPSED
from tuirnn.tui.theme import FAINT
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.titles import entitle

SMALL_CHARTS = 3

RATE = "lr"
"""The measure whose every value is meant."""

AXIS_NAMES = {"wall": "wall clock", "relative": "time"}
"""Of the axes whose names are not words already."""


@dataclass(frozen=True)
class RunCurves:
    """What is known about a run for its charts.

    Attributes:
        name: of the run.
        snapshot: its logs.
        facts: what a step stands for.
        judgement: the metrics of its held-out data.
        smoothing: of the training loss; None for automatic, 0 for none.
        style: of the run's lines, the same in every chart; '' for that of a run alone.
    """

    name: str = "no run"
    snapshot: Snapshot = field(default_factory=Snapshot)
    facts: Facts = field(default_factory=Facts)
    judgement: Judgement = UNKNOWN
    smoothing: float | None = None
    style: str = ""

    def coloured(self, lines: Iterable[Series]) -> list[Series]:
        """Lines of the training in the colour of the run; those of held-out data stay as they are."""
        styles = {"train": self.style, "raw": f"{self.style}{FAINT}"} if self.style else {}
        return [dataclasses.replace(one, style=styles[one.style]) if one.style in styles else one for one in lines]


class RunChart(Chart):
    """One measure of one run.

    Attributes:
        curves: the run.
        cursor: a step; None for the newest, without a cursor.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("waiting for the first step", id=id)
        self.curves = RunCurves()
        self.cursor: float | None = None
        self._log_x, self._shown_range = False, next(iter(RANGES))
        self._axis, self._measure, self._unit = "step", LOSS, "nats"
        self._window = Window()

    def reset(self) -> None:
        """Return to all of the loss by step, without a cursor: another run is about to be shown."""
        self.cursor, self._window = None, Window()
        self._axis, self._measure = "step", LOSS

    def show_run(self, curves: RunCurves) -> None:
        """Draw this run."""
        self.curves = curves
        if self._axis not in measures.axes(curves.snapshot, curves.facts):
            self._axis, self._window = "step", Window()
        self._renew()

    # ── drawing ───────────────────────────────────────────────────────────────

    def _renew(self) -> None:
        snapshot, facts, judged = self.curves.snapshot, self.curves.facts, self.curves.judgement
        measure = self._measure if self._measure in measures.measures(snapshot, facts) else LOSS
        options = dataclasses.replace(
            self.common_options(),
            log=self._shown_range == "log",
            robust=self._shown_range == "robust" and measure != RATE,
            log_x=self._log_x and self._axis in ("step", "epoch"),
            unit=measures.unit_of(measure, judged, self._unit),
        )
        smooth = self.curves.smoothing != 0
        reading = self.values_at_cursor()
        lines = measures.series_of(measure, snapshot, self._axis, facts, smooth)
        self.show(self.curves.coloured(lines), options, reading)
        title = measures.title(measure, judged, self._unit, facts.counted)
        entitle(self, f"{self.curves.name} · {title}", " · ".join(self._described(options)))

    def _described(self, options: Options) -> list[str]:
        """How the chart is drawn, in words."""
        snapshot, beta = self.curves.snapshot, self.curves.smoothing
        words = [f"by {AXIS_NAMES.get(self._axis, self._axis)}"]
        words += [f"smooth {'auto' if beta is None else beta or 'off'}"]
        words += [RANGES[self._shown_range]]
        words += ["log x"] if options.log_x else []
        words += [] if self._window.whole else ["zoomed"]
        words += [f"{snapshot.damaged} damaged lines"] if snapshot.damaged else []
        if not len(snapshot.train):
            return []
        return [f"preview, {100 * snapshot.share:.0f} % read", *words] if snapshot.share < 1 else words

    def values_at_cursor(self) -> list[str]:
        """The values at the cursor, a line each; nothing without a cursor."""
        if self.cursor is None:
            return []
        snapshot, step, unit = self.curves.snapshot, self.cursor, self.unit
        lines = [f"step {text.count(step)}"]
        shown = [("train", snapshot.train, snapshot.smooth), ("val", snapshot.val, snapshot.val[LOSS])]
        shown += [
            (measures.NAMES.get(n, n), snapshot.train, c)
            for n, c in snapshot.train.values.items()
            if n not in (LOSS, ELAPSED)
        ]
        for name, curves, values in shown:
            at = curves.step.upto(step) - 1
            if 0 <= at < len(values):
                value = values.at(slice(at, at + 1))
                loss = name in ("train", "val")
                figure = float((UNITS[unit](value) if loss else value)[0])
                lines.append(f"{name} {text.loss(figure) if loss else text.figure(figure)}")
        return lines

    # ── what all charts of the run share ──────────────────────────────────────

    def common_options(self) -> Options:
        """Axis, zoom and cursor."""
        snapshot, facts = self.curves.snapshot, self.curves.facts
        x_from, x_to = self._window.bounds(*self._ends())
        axis = measures.axis_of(self._axis, snapshot, facts)
        return Options(x_from=x_from, x_to=x_to, cursor=self._cursor_x(), axis=axis)

    def other_measures(self) -> list[tuple[str, list[Series]]]:
        """The measures that this chart does not show, with their lines."""
        snapshot, facts = self.curves.snapshot, self.curves.facts
        others = [measure for measure in measures.measures(snapshot, facts) if measure != self._measure]
        lines = [measures.series_of(one, snapshot, self._axis, facts) for one in others[:SMALL_CHARTS]]
        return [(one, self.curves.coloured(its)) for one, its in zip(others, lines, strict=False)]

    def _ends(self) -> tuple[float, float]:
        """First and last value on the axis."""
        return _ends_of(self.curves.snapshot.train, self._axis)

    def _cursor_x(self) -> float:
        """The cursor's place on the axis; NaN if there is no cursor."""
        if self.cursor is None:
            return math.nan
        return measures.position(self.curves.snapshot.train, self._axis, self.cursor)

    # ── cursor and zoom ───────────────────────────────────────────────────────

    @property
    def is_zoomed(self) -> bool:
        """Whether only a part is shown."""
        return not self._window.whole

    def move_cursor(self, step: float | None) -> None:
        """Move the cursor to a step; None removes it."""
        self.cursor = step
        self._renew()

    def point_at(self, x: float) -> None:
        """Move the cursor to the step nearest to a place on the axis."""
        self.move_cursor(measures.step_at(self.curves.snapshot.train, self._axis, x))

    def nudge(self, cells: int) -> None:
        """Move the cursor by some cells of the chart; without a cursor it starts at the right end."""
        area = self.canvas().area
        if area is None:
            return
        x, train = self._cursor_x(), self.curves.snapshot.train
        share = 1.0 if math.isnan(x) else area.scale.share(x)
        step = measures.step_at(train, self._axis, area.scale.x_at(min(max(share + cells / area.W, 0), 1)))
        if step == self.cursor:  # fewer points than cells: go to the next point
            at = train.step.before(step) + cells
            step = float(train.step.values[min(max(at, 0), len(train.step) - 1)])
        self.move_cursor(step)

    def zoom(self, by: int, around: float = math.nan) -> None:
        """Show half as much (1) or twice as much (-1).

        Args:
            by: 1 or -1.
            around: place on the axis that keeps its position; NaN for the cursor, or the end without a cursor.
        """
        low, high = self._ends()
        around = self._cursor_x() if math.isnan(around) else around
        self._window = self._window.zoomed(by, high if math.isnan(around) else around, low, high)
        self._renew()

    def pan(self, share: float) -> None:
        """Move the part that is shown by a share of its width."""
        self._window = self._window.panned(share, *self._ends())
        self._renew()

    def show_all(self) -> None:
        """Show everything, without a cursor."""
        self._window = Window()
        self.move_cursor(None)

    # ── what is drawn ─────────────────────────────────────────────────────────

    def next_axis(self) -> None:
        """Draw against the next axis."""
        known = measures.axes(self.curves.snapshot, self.curves.facts)
        self._change_axis(known[(known.index(self._axis) + 1) % len(known)] if self._axis in known else "step")
        self._renew()

    def _change_axis(self, axis: str) -> None:
        """Draw against another axis; the same part of the run stays on the screen."""
        before, train = self._axis, self.curves.snapshot.train
        self._axis = axis
        if not self._window.whole and len(train):
            shown = self._window.bounds(*_ends_of(train, before))
            low, high = (measures.position(train, axis, measures.step_at(train, before, x)) for x in shown)
            follows = math.isinf(self._window.end)
            self._window = Window(high - low, math.inf if follows else high) if high > low else Window()

    def next_measure(self) -> None:
        """Draw the next measure."""
        known = measures.measures(self.curves.snapshot, self.curves.facts)
        self._measure = known[(known.index(self._measure) + 1) % len(known)] if self._measure in known else LOSS
        self._renew()

    def next_unit(self) -> None:
        """Draw the loss in the next unit."""
        self._unit = following(self._unit, LOSS_UNITS)
        self._renew()

    @property
    def unit(self) -> str:
        """What the loss is shown in, one of `plot.UNITS`."""
        return measures.unit_of(LOSS, self.curves.judgement, self._unit)

    def play(self, share: float) -> bool:
        """Move the cursor on by a share of what is shown, from its beginning if there is none.

        Returns:
            Whether there is more; at the end the cursor is removed.
        """
        train = self.curves.snapshot.train
        low, high = self._ends()
        if not self._window.whole:
            low, high = self._window.bounds(low, high)
        x = low if self.cursor is None else self._cursor_x() + share * (high - low)
        if not len(train) or not x < high:
            self.move_cursor(None)
            return False
        to = measures.step_at(train, self._axis, x)
        if to == self.cursor:  # fewer points than moves
            to = float(train.step.values[min(train.step.upto(to), len(train) - 1)])
        self.move_cursor(to)
        return True

    def next_range(self) -> None:
        """Draw the next range of y."""
        self._shown_range = following(self._shown_range, RANGES)
        self._renew()

    def toggle_log_x(self) -> None:
        """Switch between linear and logarithmic x; only steps and epochs can be logarithmic."""
        self._log_x = not self._log_x
        if self._log_x and self._axis not in ("step", "epoch"):
            self._change_axis("step")
        self._renew()


def following(name: str, names: Iterable[str]) -> str:
    """The one after `name`, and after the last the first one."""
    known = list(names)
    return known[(known.index(name) + 1) % len(known)]


def _ends_of(train: Curves, axis: str) -> tuple[float, float]:
    """First and last place of a run on an axis."""
    places = measures.place(train, axis).values
    return (float(places[0]), float(places[-1])) if len(places) else (0.0, 1.0)


class SmallCharts(Horizontal):
    """The measures that the large chart does not show, as far as there is space."""

    def compose(self) -> ComposeResult:
        """The charts, side by side."""
        for number in range(SMALL_CHARTS):
            yield Chart("", id=f"train-small-{number}", classes="small")

    def show(self, large: RunChart) -> None:
        """Draw what the large chart does not."""
        if not self.display or not self.size.height:
            return
        options, judged, others = large.common_options(), large.curves.judgement, large.other_measures()
        for number, chart in enumerate(self.query(Chart)):
            measure, lines = others[number] if number < len(others) else ("", [])
            chart.set_class(not measure, "-unused")
            unit = measures.unit_of(measure, judged, "nats")
            chart.show(lines, dataclasses.replace(options, unit=unit, robust=measure != RATE))
            title = measures.title(measure, judged, counted=large.curves.facts.counted)
            entitle(chart, title, _value_at(lines[0], options.cursor, unit) if lines else "")


def _value_at(line: Series, x: float, unit: str) -> str:
    """The value of a line at the cursor, or its newest one."""
    at = len(line.x) - 1 if math.isnan(x) else line.x.upto(x) - 1
    if not 0 <= at < len(line.y):
        return ""
    value = float(UNITS[unit](line.y.at(slice(at, at + 1)))[0])
    return text.short(value) if abs(value) >= 1000 else f"{text.figure(value)}{' %' * (unit == '%')}"
