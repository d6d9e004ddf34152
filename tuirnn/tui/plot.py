"""Line charts in braille: points in, a grid of characters out. numpy only, nothing of Textual.

Each cell holds 2 × 4 dots. For every dot column the exact smallest and largest point in it are drawn, and
everything between them, so that a spike is seen however many points share the column. A point that is not
a number leaves a gap; an infinite one leaves a mark at the edge.

Legend of shapes: N points, W × H cells, C = 2 W dot columns, R = 4 H dot rows (row 0 on top).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.tui.ticks import (
    axis_labels,
    clock_labels,
    elapsed_label,
    linear_ticks,
    log_ticks,
    step_label,
    time_ticks,
)
from tuirnn.tui.track import Curve

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Dots = npt.NDArray[np.bool_]

_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BRAILLE = 0x2800

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
class Scale:
    """What the plot area shows: x from `x0` to `x1`, y from `y0` to `y1`, each logarithmic or not."""

    x0: float
    x1: float
    y0: float = 0.0
    y1: float = 1.0
    log: bool = False
    log_x: bool = False

    def column(self, x: Floats, columns: int) -> Ints:
        """Dot column of each x, clipped to the plot area."""
        return _spread(x, self.x0, self.x1, columns, self.log_x)

    def row(self, y: Floats, rows: int) -> Ints:
        """Dot row of each finite y, the largest on top, clipped to the plot area."""
        return rows - 1 - _spread(y, self.y0, self.y1, rows, self.log)

    def x_at(self, share: float) -> float:
        """The x at a share of the width."""
        if self.log_x:
            return float(math.exp(math.log(self.x0) + share * (math.log(self.x1) - math.log(self.x0))))
        return self.x0 + share * (self.x1 - self.x0)


def _spread(values: Floats, low: float, high: float, count: int, log: bool) -> Ints:
    """Index 0..count-1 of each value between low and high; halves first where the span overflows."""
    if log:
        values, low, high = np.log(np.maximum(values, low)), math.log(low), math.log(high)
    factor = 1.0 if math.isfinite(high - low) else 0.5
    span = high * factor - low * factor
    if span <= 0 or count <= 1:
        return np.zeros(len(values), np.int64)
    with np.errstate(over="ignore"):  # a span near the smallest numbers: infinity is clipped like all else
        share = np.clip((values * factor - low * factor) / span, 0.0, 1.0)
    return np.floor(share * (count - 1) + 0.5).astype(np.int64)


@dataclass(frozen=True)
class Columns:
    """A line by the dot columns that hold finite points of it, left to right, each array [K].

    Attributes:
        column: the dot column.
        low, high: smallest and largest y in it.
        first, last: y of the first and the last point in it.
        joined: whether nothing but consecutive finite points lies between this column and the next, [K - 1].
        above, below: dot columns that hold an infinite (or, on a log scale, undrawable) point.
    """

    column: Ints
    low: Floats
    high: Floats
    first: Floats
    last: Floats
    joined: Dots
    above: Ints
    below: Ints


def into_columns(x: Curve, y: Curve, scale: Scale, columns: int) -> Columns:
    """Gather points into dot columns. Points outside the scale's x range are left out."""
    return _gather(Stretch.of(x, y, scale.x0, scale.x1, scale.log), scale, columns, {})


@dataclass(frozen=True)
class Stretch:
    """The points of a line between two places on the x axis: `begin` to `end` of x and y, x ascending.

    Attributes:
        y: without the points that a logarithmic scale cannot show.
        odd: positions of the points that are not finite or left out, ascending.
        above, below: positions of those that lie beyond the upper, the lower edge.
    """

    x: Curve
    y: Curve
    begin: int
    end: int
    odd: Ints
    above: Ints
    below: Ints

    @classmethod
    def of(cls, x: Curve, y: Curve, x0: float, x1: float, log: bool) -> "Stretch":
        """Cut the points from x0 to x1 out of a line."""
        x, y = _ascending(x, y)
        begin, end = x.before(x0), x.upto(x1)
        odd = y.odd[np.searchsorted(y.odd, begin) : np.searchsorted(y.odd, end)]
        infinite = y.values[odd]
        above, below = odd[infinite == np.inf], odd[infinite == -np.inf]
        if log and (y.extremes(np.array([begin]), np.array([end]))[0] <= 0).any():
            below = begin + np.flatnonzero(y.values[begin:end] <= 0)
            y = y.positive()
            odd = y.odd[np.searchsorted(y.odd, begin) : np.searchsorted(y.odd, end)]
        return cls(x, y, begin, end, odd, above, below)

    def extremes(self) -> tuple[float, float]:
        """Smallest and largest finite y; inf and -inf where there is none."""
        low, high = self.y.extremes(np.array([self.begin]), np.array([self.end]))
        return float(low[0]), float(high[0])


def _gather(part: Stretch, scale: Scale, columns: int, known: dict[int, Ints]) -> Columns:
    """Gather a stretch into dot columns; lines over the same x share where their columns begin through `known`."""
    x, y = part.x, part.y
    bounds = known.get(id(x))
    if bounds is None:
        bounds = known[id(x)] = _bounds(x, part.begin, part.end, scale, columns)
    full = np.flatnonzero(bounds[1:] > bounds[:-1])
    starts, ends = bounds[:-1][full], bounds[1:][full]
    low, high = y.extremes(starts, ends)
    first, last = starts.copy(), ends - 1
    for k in np.flatnonzero(np.searchsorted(part.odd, ends) > np.searchsorted(part.odd, starts)):
        finite = np.flatnonzero(np.isfinite(y.values[starts[k] : ends[k]]))
        if len(finite):
            first[k], last[k] = starts[k] + finite[0], starts[k] + finite[-1]
    some = np.flatnonzero(low <= high)
    first, last = first[some], last[some]
    return Columns(
        column=full[some],
        low=low[some],
        high=high[some],
        first=y.at(first),
        last=y.at(last),
        joined=first[1:] == last[:-1] + 1,
        above=np.unique(scale.column(x.at(part.above), columns)),
        below=np.unique(scale.column(x.at(part.below), columns)),
    )


def _ascending(x: Curve, y: Curve) -> tuple[Curve, Curve]:
    """The same points in the order of x, those without a place left out."""
    if x.sorted and not len(x.odd) and len(x) == len(y):
        return x, y
    length = min(len(x), len(y))
    placed = np.flatnonzero(np.isfinite(x.values[:length]))
    order = placed[np.argsort(x.values[placed], kind="stable")]
    return Curve.of(x.values[order]), Curve.of(y.values[order])


def _bounds(x: Curve, begin: int, end: int, scale: Scale, columns: int) -> Ints:
    """Where each dot column begins among x[begin:end], and the end of the last: [C + 1], by bisection."""
    target = np.arange(columns + 1)
    low, high = np.full(columns + 1, begin), np.full(columns + 1, end)
    high[0], low[-1] = begin, end
    while (open_ := low < high).any():
        middle = (low + high) // 2
        before = scale.column(x.at(np.minimum(middle, len(x) - 1)), columns) < target
        low = np.where(open_ & before, middle + 1, low)
        high = np.where(open_ & ~before, middle, high)
    return low


def draw_dots(curve: Columns, scale: Scale, columns: int, rows: int) -> Dots:
    """The line as dots [R, C]: each column from its smallest to its largest point, neighbours connected."""
    top = np.full(columns, rows)  # [C], empty where top > bottom
    bottom = np.full(columns, -1)
    if len(curve.column):
        top[curve.column] = scale.row(curve.high, rows)
        bottom[curve.column] = scale.row(curve.low, rows)
        _connect(top, bottom, curve, scale.row(curve.first, rows), scale.row(curve.last, rows))
    row = np.arange(rows)[:, None]
    dots: Dots = (row >= top) & (row <= bottom)
    return dots


def _connect(top: Ints, bottom: Ints, curve: Columns, entry: Ints, leave: Ints) -> None:
    """Extend the columns so that a line runs from where each column is left to where the next is entered."""
    step = np.diff(curve.column)
    near = np.flatnonzero(curve.joined & (step == 1))
    here, there, r0, r1 = curve.column[near], curve.column[near + 1], leave[near], entry[near + 1]
    middle = np.round((r0 + r1) / 2).astype(np.int64)
    top[here], bottom[here] = np.minimum(top[here], middle), np.maximum(bottom[here], middle)
    top[there], bottom[there] = np.minimum(top[there], middle), np.maximum(bottom[there], middle)
    for k in np.flatnonzero(curve.joined & (step > 1)):
        _line(top, bottom, (int(curve.column[k]), int(leave[k])), (int(curve.column[k + 1]), int(entry[k + 1])))


def _line(top: Ints, bottom: Ints, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Extend the columns from `start` to `end`, both (column, row), so that a line runs between them."""
    (c0, r0), (c1, r1) = start, end
    edges = np.round(r0 + (r1 - r0) * (np.arange(c0, c1 + 1) - c0 + 0.5) / (c1 - c0)).astype(np.int64)
    before = np.concatenate([[r0], edges[:-1]])  # where the line enters each column
    after = np.concatenate([edges[:-1], [r1]])  # and where it leaves it
    span = slice(c0, c1 + 1)
    top[span] = np.minimum(top[span], np.minimum(before, after))
    bottom[span] = np.maximum(bottom[span], np.maximum(before, after))


def to_braille(dots: Dots) -> Ints:
    """Code points [H, W] of dots [R, C]; 0x2800 is an empty cell."""
    H, W = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(H, 4, W, 2).transpose(0, 2, 1, 3)  # [H, W, 4, 2]
    codes: Ints = (cells * _DOT_BITS).sum((2, 3)).astype(np.int64) + _BRAILLE
    return codes


@dataclass(frozen=True)
class Axis:
    """How x is written: shown = (x - origin) × factor, as 'count', 'number', 'time' (seconds) or 'clock'."""

    origin: float = 0.0
    factor: float = 1.0
    kind: str = "count"

    def ticks(self, low: float, high: float, most: int, log: bool) -> list[tuple[float, str]]:
        """(x, label) of some round figures between low and high."""
        origin = 0.0 if self.kind == "clock" else self.origin
        a, b = (low - origin) * self.factor, (high - origin) * self.factor
        if log and 0 < a < b:
            shown = log_ticks(a, b, most)
        elif self.kind in ("time", "clock"):
            shown = time_ticks(a, b, most)
        else:
            shown = linear_ticks(a, b, most, whole=self.kind == "count")
        labels = {
            "count": lambda: [step_label(tick) for tick in shown],
            "number": lambda: axis_labels(shown),
            "time": lambda: [elapsed_label(tick) for tick in shown],
            "clock": lambda: clock_labels(shown),
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
    """

    log: bool = False
    x_from: float = -math.inf
    cursor: float = math.nan
    x_to: float = math.inf
    log_x: bool = False
    axis: Axis = Axis()
    unit: str = "nats"


UNITS: dict[str, Callable[[Floats], Floats]] = {
    "nats": lambda y: y,
    "bits": lambda y: y / math.log(2),
    "perplexity": lambda y: np.exp(np.minimum(y, 700.0)),
}
"""Ways to write a loss, each an ascending function of nats: extremes stay extremes."""


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
    if low > high:
        low, high = (1.0, 10.0) if options.log else (0.0, 1.0)
    else:
        low, high = (float(y) for y in UNITS[options.unit](np.array([low, high])))
    return Scale(*found, *_open(low, high, options.log), options.log, options.log_x), parts


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
    labels = [f"{tick:.4g}" for tick in ticks] if scale.log else axis_labels(ticks)
    left = max(map(len, labels), default=0) + 2
    W = width - left
    if W < 4:
        return canvas
    area = Area(canvas, scale, left, W, plot_height)
    area.axes(ticks, labels, options.axis)
    known: dict[int, Ints] = {}
    area.lines(series, [_in_unit(_gather(part, scale, 2 * W, known), options.unit) for part in parts])
    if math.isfinite(options.cursor):
        area.cursor(options.cursor)
    canvas.area = area
    return canvas


class Area:
    """The part of a canvas inside the axes, W × H cells from column `left`."""

    def __init__(self, canvas: Canvas, scale: Scale, left: int, W: int, H: int) -> None:
        self.canvas, self.scale, self.left, self.W, self.H = canvas, scale, left, W, H

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
        for x, label in axis.ticks(self.scale.x0, self.scale.x1, max(2, self.W // 12), self.scale.log_x):
            at = self.cell(x)
            begin = min(max(at - len(label) // 2, 0), self.canvas.width - len(label))
            if begin >= free:
                canvas.put(self.H, at, "┬", "axis")
                canvas.put(self.H + 1, begin, label, "label")
                free = begin + len(label) + 2

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
