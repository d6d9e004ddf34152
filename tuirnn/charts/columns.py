"""A line of any number of points as columns of braille dots, exact: no spike is lost. numpy only.

For every dot column the smallest and largest point in it are found, and how it is entered and left; everything
between them is drawn. A point that is not a number leaves a gap; an infinite one leaves a mark at the edge.

Legend of shapes: N points, W × H cells, C = 2 W dot columns, R = 4 H dot rows (row 0 on top).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.runlog.track import Curve

Floats = npt.NDArray[np.float64]

Ints = npt.NDArray[np.int64]

Dots = npt.NDArray[np.bool_]

_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])

_BRAILLE = 0x2800


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

    def share(self, x: float) -> float:
        """Where x lies, as a share of the width, from 0 to 1: the inverse of `x_at`."""
        low, high = (math.log(self.x0), math.log(self.x1)) if self.log_x else (self.x0, self.x1)
        at = (math.log(max(x, self.x0)) if self.log_x else x) - low
        return min(max(at / (high - low), 0.0), 1.0) if high > low else 0.0


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
    return gather(Stretch.of(x, y, scale.x0, scale.x1, scale.log), scale, columns, {})


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


def gather(part: Stretch, scale: Scale, columns: int, known: dict[int, Ints]) -> Columns:
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
