"""Growing series of numbers, and the extremes of any stretch of a series without reading each number.

The smallest and largest finite number of every `BLOCK` numbers are stored as well, so that a chart of a million
points reads thousands. Numbers that single precision represents exactly, such as steps and most losses, take half the
memory. Shapes: N numbers, K stretches.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Stored = npt.NDArray[np.floating[Any]]
"""In single or double precision; `Curve.at` returns double precision for computations."""
Ints = npt.NDArray[np.int64]

BLOCK = 64


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Curve:
    """A series up to some time; immutable, and the same object as long as no number is added.

    Attributes:
        values: the numbers, [N].
        low, high: smallest and largest finite number of each whole block; +inf and -inf if it has none.
        odd: positions of the numbers that are not finite, ascending.
        sorted: whether the numbers are ascending.
    """

    values: Stored = field(default_factory=_none)
    low: Floats = field(default_factory=_none)
    high: Floats = field(default_factory=_none)
    odd: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    sorted: bool = True

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "Curve":
        """The curve of these numbers."""
        buffer = SeriesBuffer()
        buffer.extend(np.asarray(values, np.float64))
        return buffer.curve()

    def at(self, where: Ints | slice | npt.NDArray[np.bool_]) -> Floats:
        """The numbers at these positions."""
        return self.values[where].astype(np.float64)

    def before(self, value: float) -> int:
        """Number of values that are smaller than `value`, in an ascending curve."""
        return bisect_left(self.values, value, key=float)

    def upto(self, value: float) -> int:
        """Number of values that are at most `value`, in an ascending curve."""
        return bisect_right(self.values, value, key=float)

    def positive(self) -> "Curve":
        """The same curve with NaN instead of every number that is not positive."""
        values = np.where(self.values > 0, self.values, np.nan).astype(self.values.dtype, copy=False)
        low, high = self.low.copy(), self.high.copy()
        lost = np.flatnonzero(low <= 0)  # blocks to be searched again
        left = values[: len(low) * BLOCK].reshape(-1, BLOCK)[lost].astype(np.float64)
        finite = np.isfinite(left)
        low[lost], high[lost] = np.where(finite, left, np.inf).min(1), np.where(finite, left, -np.inf).max(1)
        return Curve(values, low, high, np.flatnonzero(~np.isfinite(values)), sorted=False)

    def extremes(self, starts: Ints, ends: Ints) -> tuple[Floats, Floats]:
        """Smallest and largest finite number of each stretch [start, end), [K]; +inf and -inf if it has none."""
        first, last = -(-starts // BLOCK), ends // BLOCK  # whole blocks inside
        whole = last > first
        low, high = np.full(len(starts), np.inf), np.full(len(starts), -np.inf)
        for begin, end in (
            (starts, np.where(whole, first * BLOCK, ends)),
            (np.where(whole, last * BLOCK, ends), ends),
        ):
            _lower(low, high, self.values, self.values, begin, end)
        _lower(low, high, self.low, self.high, np.where(whole, first, 0), np.where(whole, last, 0))
        return low, high


def _lower(low: Floats, high: Floats, lows: Stored, highs: Stored, starts: Ints, ends: Ints) -> None:
    """Include the finite numbers of each stretch of `lows` and `highs` in `low` and `high` [K], in place."""
    some = np.flatnonzero(ends > starts)
    if not len(some):
        return
    lengths = ends[some] - starts[some]
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    at = np.repeat(starts[some] - offsets, lengths) + np.arange(int(lengths.sum()))
    a, b = lows[at].astype(np.float64), highs[at].astype(np.float64)
    a[~np.isfinite(a)], b[~np.isfinite(b)] = np.inf, -np.inf
    low[some] = np.minimum(low[some], np.minimum.reduceat(a, offsets))
    high[some] = np.maximum(high[some], np.maximum.reduceat(b, offsets))


class Column:
    """A growing array; views that were taken earlier do not change.

    Args:
        dtype: initial one; a float32 column becomes float64 at the first number that float32 cannot represent.
        exact: whether it does so; otherwise the number is rounded.
    """

    def __init__(self, dtype: npt.DTypeLike = np.float64, exact: bool = True) -> None:
        self._data: npt.NDArray[Any] = np.empty(1024, dtype)
        self._length = 0
        self._exact = exact

    def __len__(self) -> int:
        return self._length

    def extend(self, values: npt.ArrayLike) -> None:
        """Append values."""
        new = np.asarray(values)
        dtype = self._data.dtype
        if dtype == np.float32 and self._exact and not _fits_single(new):
            dtype = np.dtype(np.float64)
        end = self._length + len(new)
        if end > len(self._data) or dtype != self._data.dtype:
            room = len(self._data) if end <= len(self._data) else max(end, len(self._data) * 5 // 4)
            grown = np.empty(room, dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : end] = new
        self._length = end

    def view(self) -> npt.NDArray[Any]:
        """All values so far."""
        return self._data[: self._length]


def _fits_single(values: npt.NDArray[Any]) -> bool:
    """Whether single precision represents these numbers exactly."""
    if values.dtype == np.float32:
        return True
    with np.errstate(over="ignore"):
        return bool(((values.astype(np.float32) == values) | np.isnan(values)).all())


class SeriesBuffer:
    """A growing series; one that need not be exact is stored in single precision."""

    def __init__(self, exact: bool = True) -> None:
        self._values, self._low, self._high = (Column(np.float32, exact) for _ in range(3))
        self._odd = Column(np.int64)
        self._sorted = True
        self._curve: Curve | None = None

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, values: npt.ArrayLike) -> None:
        """Append numbers."""
        new: Floats = np.asarray(values, np.float64)
        if not len(new):
            return
        self._curve = None
        begin = len(self._values)
        if self._sorted:
            together = np.concatenate([self._values.view()[-1:].astype(np.float64), new])
            self._sorted = bool((together[1:] >= together[:-1]).all()) and not np.isnan(new[0])
        finite = np.isfinite(new)
        if not finite.all():
            self._odd.extend(begin + np.flatnonzero(~finite))
        self._values.extend(new)
        done, whole = len(self._low) * BLOCK, len(self._values) // BLOCK * BLOCK
        if whole > done:
            blocks = self._values.view()[done:whole].reshape(-1, BLOCK)
            plain = np.isfinite(blocks)
            self._low.extend(np.where(plain, blocks, np.inf).min(1))
            self._high.extend(np.where(plain, blocks, -np.inf).max(1))

    def curve(self) -> Curve:
        """The series so far."""
        if self._curve is None:
            self._curve = Curve(
                self._values.view(), self._low.view(), self._high.view(), self._odd.view(), self._sorted
            )
        return self._curve
