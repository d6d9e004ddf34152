"""Line charts in braille: series in, a grid of characters out, with its axes. numpy only, nothing of Textual."""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tuirnn.charts import ranges
from tuirnn.charts.columns import Columns, Floats, Ints, Scale, Stretch, draw_dots, gather, to_braille
from tuirnn.charts.ticks import (
    axis_labels,
    clock_labels,
    elapsed_label,
    linear_ticks,
    log_ticks,
    step_label,
    time_ticks,
)
from tuirnn.runlog.track import Curve

ABOVE, BELOW = "▲", "▼"
CURSOR = "┊"
CROWDED = 3
"""Marks closer than this many cells on average are drawn as a line instead."""


@dataclass(frozen=True)
class Series:
    """One line. `mark` draws each point as that character; `faint` gives way to other lines in a cell."""

    name: str
    x: Curve
    y: Curve
    style: str
    mark: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Axis:
    """How x is written: shown = (x - origin) × factor, as 'count', 'number', 'time' (seconds), 'clock' or 'name'.

    As 'name' what is shown is the place of one of `names`, counted from 0.
    """

    origin: float = 0.0
    factor: float = 1.0
    kind: str = "count"
    names: tuple[str, ...] = ()

    @property
    def wide(self) -> int:
        """Cells that a figure of the axis takes, with a gap."""
        return max(12, max(map(len, self.names[:1] + self.names[-1:]), default=0) + 4)

    def _name(self, number: int) -> str:
        return self.names[number] if 0 <= number < len(self.names) else ""

    def ticks(self, low: float, high: float, most: int, log: bool) -> list[tuple[float, str]]:
        """(x, label) of some round figures between low and high."""
        origin = 0.0 if self.kind == "clock" else self.origin
        a, b = (low - origin) * self.factor, (high - origin) * self.factor
        if log and 0 < a < b:
            shown = log_ticks(a, b, most)
        elif self.kind in ("time", "clock"):
            shown = time_ticks(a, b, most)
        else:
            shown = linear_ticks(a, b, most, whole=self.kind in ("count", "name"))
        labels = {
            "count": lambda: [step_label(tick) for tick in shown],
            "number": lambda: axis_labels(shown),
            "time": lambda: [elapsed_label(tick) for tick in shown],
            "clock": lambda: clock_labels(shown),
            "name": lambda: [self._name(round(tick)) for tick in shown],
        }[self.kind]()
        return [(tick / self.factor + origin, label) for tick, label in zip(shown, labels, strict=True)]


@dataclass(frozen=True)
class Options:
    """How to draw.

    Attributes:
        log, log_x: logarithmic y, x.
        x_from, x_to: draw only what lies between.
        cursor: x of a line across the plot; NaN: none.
        axis: how x is written.
        unit: what y is shown as, one of `UNITS`.
        robust: leave out of the range of y what is rare: a first steep fall, single spikes; a logarithmic scale where
            the values span decades. What lies beyond is drawn at the edge.
        margin: cells at the right that are left to the names of the lines.
    """

    log: bool = False
    x_from: float = -math.inf
    cursor: float = math.nan
    x_to: float = math.inf
    log_x: bool = False
    axis: Axis = Axis()
    unit: str = "nats"
    robust: bool = False
    margin: int = 0


UNITS: dict[str, Callable[[Floats], Floats]] = {
    "nats": lambda y: y,
    "bits": lambda y: y / math.log(2),
    "perplexity": lambda y: np.exp(np.minimum(y, 700.0)),
    "%": lambda y: 100 * np.clip(y, -1e300, 1e300),
}
"""Ways to write y, each an ascending function of it: extremes stay extremes."""

LOSS_UNITS = ("nats", "bits", "perplexity")
"""Those of a loss in nats."""

RANGES = {"robust": "robust y", "linear": "linear y", "log": "log y"}
"""What is shown of y: what is usual, everything, everything on a logarithmic scale. The first one is the default."""


class Canvas:
    """A grid of characters with the name of a style for each."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [[" "] * width for _ in range(height)]
        self.styles = [[""] * width for _ in range(height)]
        self.area: Area | None = None

    def put(self, row: int, column: int, text: str, style: str) -> None:
        """Write text from a cell on; what falls outside is cut."""
        if not 0 <= row < self.height:
            return
        for at, character in enumerate(text, column):
            if 0 <= at < self.width:
                self.rows[row][at], self.styles[row][at] = character, style

    def spans(self, row: int) -> list[tuple[str, str]]:
        """One row as (text, style) pieces."""
        pieces: list[tuple[str, str]] = []
        begin = 0
        styles, text = self.styles[row], "".join(self.rows[row])
        for at in range(1, self.width + 1):
            if at == self.width or styles[at] != styles[begin]:
                pieces.append((text[begin:at], styles[begin]))
                begin = at
        return pieces

    def text(self) -> str:
        """All rows, for tests and eyes."""
        return "\n".join("".join(row) for row in self.rows)


def x_range(series: Sequence[Series], options: Options) -> tuple[float, float] | None:
    """The smallest and largest x to show; None where there is no point."""
    low, high = math.inf, -math.inf
    for one in series:
        x = one.x
        if not x.sorted or len(x.odd):
            x = Curve.of(np.sort(x.values[np.isfinite(x.values)]))
        floor = math.nextafter(0, 1) if options.log_x else -math.inf
        begin, end = x.before(max(options.x_from, floor)), x.upto(options.x_to)
        if begin < end:
            low, high = min(low, float(x.values[begin])), max(high, float(x.values[end - 1]))
    if low > high:
        return None
    if math.isfinite(options.x_from):
        low = min(low, max(options.x_from, math.nextafter(0, 1) if options.log_x else -math.inf))
    if math.isfinite(options.x_to):
        high = max(high, options.x_to)
    return low, high


def fit_scale(series: Sequence[Series], options: Options) -> Scale | None:
    """The scale that shows every finite point; None where there is none to show."""
    found = _fit(series, options)
    return found[0] if found else None


def _fit(series: Sequence[Series], options: Options) -> tuple[Scale, list[Stretch]] | None:
    """The scale that shows every finite point, and the part of each line that it shows."""
    found = x_range(series, options)
    if found is None:
        return None
    log = options.log and options.unit != "perplexity"  # positive whatever the loss: nothing is lost on a log scale
    parts = [Stretch.of(one.x, one.y, *found, log) for one in series]
    low, high = min(part.extremes()[0] for part in parts), max(part.extremes()[1] for part in parts)
    log = options.log
    if low > high:
        low, high = (1.0, 10.0) if options.log else (0.0, 1.0)
    else:
        if options.robust:
            low, high = ranges.robust(parts, low, high)
        low, high = (float(y) for y in UNITS[options.unit](np.array([low, high])))
        if options.robust and not log and ranges.spans_decades(low, high):
            log = True
    return Scale(*found, *_open(low, high, log), log, options.log_x), parts


def _in_unit(gathered: Columns, unit: str) -> Columns:
    """The same columns in the unit that is shown."""
    shown = UNITS[unit]
    return dataclasses.replace(
        gathered,
        low=shown(gathered.low),
        high=shown(gathered.high),
        first=shown(gathered.first),
        last=shown(gathered.last),
    )


def _open(low: float, high: float, log: bool) -> tuple[float, float]:
    """Bounds with some room between them even for a flat curve."""
    if low < high:
        return low, high
    limit = np.finfo(np.float64).max
    room = abs(low) * 0.05 or 1.0
    if log:
        return max(low * 0.8, low / 2, 5e-324), min(high * 1.25, limit) if high < limit / 2 else limit
    return max(low - room, -limit), min(high + room, limit)


def draw(series: Sequence[Series], width: int, height: int, options: Options | None = None) -> Canvas:
    """Draw a chart of width × height cells: labels on the left and below, lines in the rest."""
    options = options or Options()
    canvas = Canvas(max(width, 0), max(height, 0))
    if width < 12 or height < 4:
        return canvas
    fitted = _fit(series, options)
    if fitted is None:
        return canvas
    scale, parts = fitted
    plot_height = height - 2
    most = max(2, plot_height // 3)
    ticks = (log_ticks if scale.log else linear_ticks)(scale.y0, scale.y1, most)
    labels = axis_labels(ticks, log=scale.log)
    left = max(map(len, labels), default=0) + 2
    W = width - left - options.margin
    if W < 4:
        return canvas
    area = Area(canvas, scale, left, W, plot_height)
    area.axes(ticks, labels, options.axis)
    known: dict[int, Ints] = {}
    gathered = [_in_unit(gather(part, scale, 2 * W, known), options.unit) for part in parts]
    area.lines(series, gathered)
    area.ends = area.find_ends(series, gathered)
    canvas.area = area
    if math.isfinite(options.cursor):
        area.cursor(options.cursor)
    return canvas


def with_cursor(canvas: Canvas, x: float) -> Canvas:
    """A copy of a chart with the cursor at x; without one where x is not a number."""
    copied = copy.copy(canvas)
    copied.rows, copied.styles = [row[:] for row in canvas.rows], [row[:] for row in canvas.styles]
    if canvas.area is not None:
        copied.area = area = copy.copy(canvas.area)
        area.canvas = copied
        if math.isfinite(x):
            area.cursor(x)
    return copied


class Area:
    """The part of a canvas inside the axes, W × H cells from column `left`."""

    def __init__(self, canvas: Canvas, scale: Scale, left: int, W: int, H: int) -> None:
        self.canvas, self.scale, self.left, self.W, self.H = canvas, scale, left, W, H
        self.ends: dict[str, int] = {}  # row in which each named series ends

    def x_at(self, column: int) -> float:
        """The x that a column of the canvas stands for."""
        return self.scale.x_at(min(max((column - self.left + 0.5) / self.W, 0.0), 1.0))

    def cell(self, x: float) -> int:
        """The column of the canvas that shows x."""
        return self.left + int(self.scale.column(np.array([x]), self.W * 2)[0]) // 2

    def axes(self, ticks: Sequence[float], labels: Sequence[str], axis: Axis) -> None:
        """The frame on the left and below, with its figures."""
        canvas, left = self.canvas, self.left
        for row in range(self.H):
            canvas.put(row, left - 1, "│", "axis")
        rows = self.scale.row(np.array(ticks, np.float64), self.H * 4) // 4
        for row, label in zip(rows, labels, strict=True):
            canvas.put(int(row), 0, label.rjust(left - 2), "label")
            canvas.put(int(row), left - 1, "┤", "axis")
        canvas.put(self.H, left - 1, "└" + "─" * self.W, "axis")
        free = 0
        for x, label in self._x_ticks(axis):
            begin = self._label_begin(x, label)
            if begin >= free:
                canvas.put(self.H, self.cell(x), "┬", "axis")
                canvas.put(self.H + 1, begin, label, "label")
                free = begin + len(label) + 2

    def _x_ticks(self, axis: Axis) -> list[tuple[float, str]]:
        """Figures of the x axis, as many as fit; at least two where two fit at all."""
        scale, most = self.scale, max(2, self.W // axis.wide)
        found = axis.ticks(scale.x0, scale.x1, most, scale.log_x)
        for more in (2 * most, 4 * most):
            if len(found) > 1 and self._fits(found[0], found[-1]):
                return found
            denser = axis.ticks(scale.x0, scale.x1, more, scale.log_x)
            found = [denser[0], denser[-1]] if len(denser) > 1 else found
        return found

    def _label_begin(self, x: float, label: str) -> int:
        return min(max(self.cell(x) - len(label) // 2, 0), self.canvas.width - len(label))

    def _fits(self, first: tuple[float, str], last: tuple[float, str]) -> bool:
        return self._label_begin(*first) + len(first[1]) + 2 <= self._label_begin(*last)

    def lines(self, series: Sequence[Series], gathered: Sequence[Columns]) -> None:
        """All series, later ones over earlier ones; marks last, over all lines."""
        styles = np.full((self.H, self.W), -1)
        dots = np.zeros((self.H * 4, self.W * 2), np.bool_)
        faint = [number for number, one in enumerate(series) if one.faint]
        for number, (one, curve) in enumerate(zip(series, gathered, strict=True)):
            if self._sparse(one, curve):
                continue
            own = draw_dots(curve, self.scale, self.W * 2, self.H * 4)
            cells = own.reshape(self.H, 4, self.W, 2).any((1, 3))
            over = cells & np.isin(styles, faint)
            dots[np.repeat(np.repeat(over, 4, 0), 2, 1)] = False
            dots |= own
            styles[cells] = number
        codes = to_braille(dots)
        names = [one.style for one in series]
        for row in np.flatnonzero((styles >= 0).any(1)):
            characters, shown = self.canvas.rows[row], self.canvas.styles[row]
            for column in np.flatnonzero(styles[row] >= 0):
                at = self.left + int(column)
                characters[at], shown[at] = chr(codes[row, column]), names[styles[row, column]]
        for one, curve in zip(series, gathered, strict=True):
            self._marks(one, curve)

    def find_ends(self, series: Sequence[Series], gathered: Sequence[Columns]) -> dict[str, int]:
        """The row in which each named series ends, [0, H)."""
        found = {}
        for one, curve in zip(series, gathered, strict=True):
            if one.name and len(curve.column):
                found[one.name] = int(self.scale.row(curve.last[-1:], self.H * 4)[0]) // 4
        return found

    def _sparse(self, one: Series, curve: Columns) -> bool:
        """Whether the points of a series are drawn as marks: it has a mark, and there is room."""
        return bool(one.mark) and len(np.unique(curve.column // 2)) * CROWDED <= max(self.W, 2 * CROWDED)

    def _marks(self, one: Series, curve: Columns) -> None:
        if self._sparse(one, curve):
            rows = self.scale.row(curve.last, self.H * 4) // 4
            for row, column in zip(rows, curve.column // 2, strict=True):
                self.canvas.put(int(row), self.left + int(column), one.mark, one.style)
        for row, columns, mark in ((0, curve.above, ABOVE), (self.H - 1, curve.below, BELOW)):
            for column in columns:
                self.canvas.put(row, self.left + int(column) // 2, mark, "alarm")

    def cursor(self, x: float) -> None:
        """A line at x, behind the curves."""
        at = self.cell(x)
        for row in range(self.H):
            if self.canvas.rows[row][at] == " ":
                self.canvas.put(row, at, CURSOR, "cursor")
