"""Numbers that only ever grow, and the extremes of any stretch of them without looking at each.

Beside the numbers stand the smallest and largest finite one of every `BLOCK` of them, so that a chart of a
million points touches thousands. Legend of shapes: N numbers, K stretches.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Curve:
    """Numbers up to a moment; never changes once made.

    Attributes:
        values: the numbers, [N].
        low, high: smallest and largest finite number of each whole block, +inf and -inf where it has none.
        odd: positions of the numbers that are not finite, ascending.
        sorted: whether no number is smaller than the one before it.
    """

    values: Floats = field(default_factory=_none)
    low: Floats = field(default_factory=_none)
    high: Floats = field(default_factory=_none)
    odd: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    sorted: bool = True

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "Curve":
        """The curve of these numbers."""
        track = Track()
        track.extend(np.asarray(values, np.float64))
        return track.curve()

    def extremes(self, starts: Ints, ends: Ints) -> tuple[Floats, Floats]:
        """Smallest and largest finite number of each stretch [start, end), [K]; +inf and -inf where it has none."""
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


def _lower(low: Floats, high: Floats, lows: Floats, highs: Floats, starts: Ints, ends: Ints) -> None:
    """Let the finite numbers of each stretch of `lows` and `highs` count in `low` and `high` [K], in place."""
    some = np.flatnonzero(ends > starts)
    if not len(some):
        return
    lengths = ends[some] - starts[some]
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    at = np.repeat(starts[some] - offsets, lengths) + np.arange(int(lengths.sum()))
    a, b = lows[at], highs[at]
    a[~np.isfinite(a)], b[~np.isfinite(b)] = np.inf, -np.inf
    low[some] = np.minimum(low[some], np.minimum.reduceat(a, offsets))
    high[some] = np.maximum(high[some], np.maximum.reduceat(b, offsets))


class Column:
    """Numbers that only ever grow; a view taken earlier stays as it was."""

    def __init__(self, dtype: npt.DTypeLike = np.float64) -> None:
        self._data: npt.NDArray[np.generic] = np.empty(1024, dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, values: npt.ArrayLike) -> None:
        """Append values."""
        new = np.asarray(values, self._data.dtype)
        end = self._length + len(new)
        if end > len(self._data):
            grown = np.empty(max(end, 2 * len(self._data)), self._data.dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : end] = new
        self._length = end

    def view(self) -> npt.NDArray[np.generic]:
        """All values so far."""
        return self._data[: self._length]


class Track:
    """A growing `Curve`."""

    def __init__(self) -> None:
        self._values, self._low, self._high = Column(), Column(), Column()
        self._odd = Column(np.int64)
        self._sorted = True

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, values: npt.ArrayLike) -> None:
        """Append numbers."""
        new: Floats = np.asarray(values, np.float64)
        if not len(new):
            return
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
        """All so far."""
        values, low, high = (
            column.view().astype(np.float64, copy=False) for column in (self._values, self._low, self._high)
        )
        return Curve(values, low, high, self._odd.view().astype(np.int64, copy=False), self._sorted)
