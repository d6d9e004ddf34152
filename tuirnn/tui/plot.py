"""Line charts in braille: points in, a grid of characters out. numpy only, nothing of Textual.

Each cell holds 2 × 4 dots. For every dot column the exact smallest and largest point in it are drawn, and
everything between them, so that a spike is seen however many points share the column. A point that is not
a number leaves a gap; an infinite one leaves a mark at the edge.

Legend of shapes: N points, W × H cells, C = 2 W dot columns, R = 4 H dot rows (row 0 on top).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.tui.ticks import axis_labels, linear_ticks, log_ticks, step_label

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
    """One curve. `mark` draws each point as that character; `faint` gives way to other curves in a cell."""

    name: str
    x: Floats
    y: Floats
    style: str
    mark: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Scale:
    """What the plot area shows: x from `x0` to `x1`, y from `y0` to `y1`, logarithmic or not."""

    x0: float
    x1: float
    y0: float
    y1: float
    log: bool = False

    def column(self, x: Floats, columns: int) -> Ints:
        """Dot column of each x, clipped to the plot area."""
        return _spread(x, self.x0, self.x1, columns)

    def row(self, y: Floats, rows: int) -> Ints:
        """Dot row of each finite y, the largest on top, clipped to the plot area."""
        low, high = (math.log(self.y0), math.log(self.y1)) if self.log else (self.y0, self.y1)
        if self.log:
            y = np.log(np.maximum(y, self.y0))
        return rows - 1 - _spread(y, low, high, rows)


def _spread(values: Floats, low: float, high: float, count: int) -> Ints:
    """Index 0..count-1 of each value between low and high; halves first where the span overflows."""
    factor = 1.0 if math.isfinite(high - low) else 0.5
    span = high * factor - low * factor
    if span <= 0 or count <= 1:
        return np.zeros(len(values), np.int64)
    with np.errstate(over="ignore"):  # a span near the smallest numbers: infinity is clipped like all else
        share = np.clip((values * factor - low * factor) / span, 0.0, 1.0)
    return np.floor(share * (count - 1) + 0.5).astype(np.int64)


@dataclass(frozen=True)
class Columns:
    """A curve by the dot columns that hold finite points of it, left to right, each array [K].

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


def into_columns(x: Floats, y: Floats, scale: Scale, columns: int) -> Columns:
    """Gather points [N] into dot columns. Points outside the scale's x range are left out."""
    inside = (x >= scale.x0) & (x <= scale.x1)
    if not inside.all():
        x, y = x[inside], y[inside]
    if len(x) > 1 and (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    low_is = (y == -np.inf) | (y <= 0) if scale.log else y == -np.inf
    finite = np.isfinite(y) & ~low_is
    above = np.unique(scale.column(x[y == np.inf], columns))
    below = np.unique(scale.column(x[low_is], columns))
    position = np.flatnonzero(finite)
    if not len(position):
        none = np.zeros(0)
        return Columns(above[:0], none, none, none, none, np.zeros(0, np.bool_), above, below)
    x, y = x[position], y[position]
    column = scale.column(x, columns)
    starts = np.concatenate([[0], np.flatnonzero(column[1:] != column[:-1]) + 1])
    ends = np.concatenate([starts[1:], [len(column)]]) - 1
    return Columns(
        column=column[starts],
        low=np.minimum.reduceat(y, starts),
        high=np.maximum.reduceat(y, starts),
        first=y[starts],
        last=y[ends],
        joined=position[starts[1:]] == position[ends[:-1]] + 1,
        above=above,
        below=below,
    )


def draw_dots(curve: Columns, scale: Scale, columns: int, rows: int) -> Dots:
    """The curve as dots [R, C]: each column from its smallest to its largest point, neighbours connected."""
    top = np.full(columns, rows)  # [C], empty where top > bottom
    bottom = np.full(columns, -1)
    if len(curve.column):
        top[curve.column] = scale.row(curve.high, rows)
        bottom[curve.column] = scale.row(curve.low, rows)
        entry, leave = scale.row(curve.first, rows), scale.row(curve.last, rows)
        for k in np.flatnonzero(curve.joined):
            _connect(top, bottom, (int(curve.column[k]), int(leave[k])), (int(curve.column[k + 1]), int(entry[k + 1])))
    row = np.arange(rows)[:, None]
    dots: Dots = (row >= top) & (row <= bottom)
    return dots


def _connect(top: Ints, bottom: Ints, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Extend the columns from `start` to `end`, both (column, row), so that a line runs between them."""
    (c0, r0), (c1, r1) = start, end
    if abs(r1 - r0) <= 1 and c1 == c0 + 1:
        return
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
class Options:
    """How to draw: a log scale, only x from `x_from` on, a cursor at `cursor` (NaN: none)."""

    log: bool = False
    x_from: float = -math.inf
    cursor: float = math.nan


class Canvas:
    """A grid of characters with the name of a style for each."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [[" "] * width for _ in range(height)]
        self.styles = [[""] * width for _ in range(height)]

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


def fit_scale(series: Sequence[Series], options: Options) -> Scale | None:
    """The scale that shows every finite point; None where there is none to show."""
    low_x = low_y = math.inf
    high_x = high_y = -math.inf
    for one in series:
        shown = np.isfinite(one.x) & (one.x >= options.x_from)
        if not shown.any():
            continue
        x, y = one.x[shown], one.y[shown]
        low_x, high_x = min(low_x, float(x.min())), max(high_x, float(x.max()))
        finite = y[np.isfinite(y) & (y > 0)] if options.log else y[np.isfinite(y)]
        if len(finite):
            low_y, high_y = min(low_y, float(finite.min())), max(high_y, float(finite.max()))
    if low_x > high_x:
        return None
    if low_y > high_y:
        low_y, high_y = (1.0, 10.0) if options.log else (0.0, 1.0)
    return Scale(low_x, high_x, *_open(low_y, high_y, options.log), options.log)


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
    """Draw a chart of width × height cells: labels on the left and below, curves in the rest."""
    options = options or Options()
    canvas = Canvas(max(width, 0), max(height, 0))
    scale = fit_scale(series, options)
    if scale is None or width < 12 or height < 4:
        return canvas
    plot_height = height - 2
    ticks = (log_ticks if scale.log else linear_ticks)(scale.y0, scale.y1, max(2, plot_height // 3))
    labels = axis_labels(ticks)
    left = max(map(len, labels), default=0) + 2
    if width - left < 4:
        return canvas
    area = _Area(canvas, scale, left, width - left, plot_height)
    area.axes(ticks, labels)
    area.curves(series)
    if math.isfinite(options.cursor):
        area.cursor(options.cursor)
    return canvas


class _Area:
    """The part of a canvas inside the axes, W × H cells from column `left`."""

    def __init__(self, canvas: Canvas, scale: Scale, left: int, W: int, H: int) -> None:
        self.canvas, self.scale, self.left, self.W, self.H = canvas, scale, left, W, H

    def axes(self, ticks: Sequence[float], labels: Sequence[str]) -> None:
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
        for tick in linear_ticks(self.scale.x0, self.scale.x1, max(2, self.W // 12)):
            at = left + int(self.scale.column(np.array([tick]), self.W * 2)[0]) // 2
            label = step_label(tick)
            begin = min(max(at - len(label) // 2, 0), self.canvas.width - len(label))
            if begin >= free:
                canvas.put(self.H, at, "┬", "axis")
                canvas.put(self.H + 1, begin, label, "label")
                free = begin + len(label) + 2

    def curves(self, series: Sequence[Series]) -> None:
        """All curves, later ones over earlier ones; marks last, over all lines."""
        styles = np.full((self.H, self.W), -1)
        dots = np.zeros((self.H * 4, self.W * 2), np.bool_)
        marked: list[tuple[Series, Columns]] = []
        for number, one in enumerate(series):
            curve = into_columns(one.x, one.y, self.scale, self.W * 2)
            if one.mark and len(np.unique(curve.column // 2)) * CROWDED <= max(self.W, 2 * CROWDED):
                marked.append((one, curve))
                continue
            own = draw_dots(curve, self.scale, self.W * 2, self.H * 4)
            cells = own.reshape(self.H, 4, self.W, 2).any((1, 3))
            over = cells & np.isin(styles, [k for k, other in enumerate(series) if other.faint])
            dots[np.repeat(np.repeat(over, 4, 0), 2, 1)] = False
            dots |= own
            styles[cells] = number
            marked.append((one, curve))
        codes = to_braille(dots)
        for row, column in zip(*np.nonzero(styles >= 0), strict=True):
            self.canvas.put(
                int(row), self.left + int(column), chr(codes[row, column]), series[styles[row, column]].style
            )
        for one, curve in marked:
            self._marks(one, curve)

    def _marks(self, one: Series, curve: Columns) -> None:
        if one.mark and len(np.unique(curve.column // 2)) * CROWDED <= max(self.W, 2 * CROWDED):
            rows = self.scale.row(curve.last, self.H * 4) // 4
            for row, column in zip(rows, curve.column // 2, strict=True):
                self.canvas.put(int(row), self.left + int(column), one.mark, one.style)
        for row, columns, mark in ((0, curve.above, ABOVE), (self.H - 1, curve.below, BELOW)):
            for column in columns:
                self.canvas.put(row, self.left + int(column) // 2, mark, "alarm")

    def cursor(self, x: float) -> None:
        """A line at x, behind the curves."""
        at = self.left + int(self.scale.column(np.array([x]), self.W * 2)[0]) // 2
        for row in range(self.H):
            if self.canvas.rows[row][at] == " ":
                self.canvas.put(row, at, CURSOR, "cursor")
