"""What the numbers of a series are called, and how they are made comparable: (value - mean) / std, column by column.

A network answers with the next point in the same units, or with its difference to the current one in deviations of
the training part's differences (`steps`). It may also read differences to the point before instead of levels
(`reads`): then it knows no level, goes on from wherever a trend has led, and carries the point before as a further
state. Beside the columns it may read the calendar: sine and cosine of 2πt/P for each period P, t the time of the next
point. Fitted on the training part alone, kept in `run.json` and in the cell file, so that everyone outside the network
speaks in the data's own units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError

Values = npt.NDArray[np.floating[Any]]
"""Numbers whose last axis is the columns."""

Series = npt.NDArray[np.float64]
"""Points in the data's own units, [n, F]."""

MAX_COLUMNS = 4_096

MAX_PERIODS = 64

LARGEST = 1e30
"""Means and deviations, and their inverses, fit into float32 with room to spare."""

RESOLUTION = 2.0**-24
"""Relative spacing of float32."""


LEVEL, DIFFERENCE = "level", "difference"
"""What a network reads of a point; see `Scaling.reads`."""


@dataclass(frozen=True)
class Scaling:
    """The columns of a series, and the mean and standard deviation of each.

    Attributes:
        columns, mean, std: of the training part, [F].
        steps: deviation of the differences of successive points, [F], where the network answers with a difference.
        periods: of the calendar, in seconds, that the network reads beside the columns.
        reads: 'level', or 'difference' to the point before, 0 at the first one; the latter only with `steps`.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    steps: tuple[float, ...] = ()
    periods: tuple[float, ...] = ()
    reads: str = LEVEL

    def __post_init__(self) -> None:
        F = len(self.columns)
        if not 1 <= F <= MAX_COLUMNS or len(set(self.columns)) != F:
            raise DataError(f"a series has 1 to {MAX_COLUMNS:,} columns with different names")
        if len(self.mean) != F or len(self.std) != F or len(self.steps) not in (0, F):
            raise DataError("a normalisation has a mean and a deviation for each column")
        deviations = (*self.std, *self.steps)
        if not all(abs(m) <= LARGEST for m in self.mean) or not all(1 / LARGEST <= s <= LARGEST for s in deviations):
            raise DataError("a normalisation's means and deviations are finite, the deviations above zero")
        if len(self.periods) > MAX_PERIODS or not all(1e-3 <= period <= 1e12 for period in self.periods):
            raise DataError(f"a calendar has up to {MAX_PERIODS} periods, in seconds")

        if self.reads not in (LEVEL, DIFFERENCE) or (self.reads == DIFFERENCE and not self.steps):
            raise DataError("a network reads levels, or differences and then answers with them")

    @classmethod
    def fit(cls, columns: tuple[str, ...], values: Values) -> "Scaling":
        """Mean and deviation of values [n, F]."""
        return cls(columns, tuple(values.mean(0).tolist()), tuple(values.std(0).tolist()))

    def with_steps(self, deviation: Values, reads: str = LEVEL) -> "Scaling":
        """The same for a network that answers with differences of this deviation, [F]."""
        return replace(self, steps=tuple(deviation.tolist()), reads=reads)

    @classmethod
    def from_json(cls, value: object) -> "Scaling":
        """Read what `to_json` wrote; raises DataError for anything else. Other keys are passed over."""
        read: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        columns, mean, std = (read.get(key) for key in ("columns", "mean", "std"))
        steps, periods = (read.get(key, []) for key in ("steps", "periods"))
        if not (isinstance(columns, list) and isinstance(mean, list) and isinstance(std, list)):
            raise DataError("a normalisation is an object with 'columns', 'mean' and 'std'")
        if not (isinstance(steps, list) and isinstance(periods, list)):
            raise DataError("a normalisation's 'steps' and 'periods' are lists")
        if not all(isinstance(name, str) for name in columns):
            raise DataError("a normalisation's columns are names")
        if not all(type(number) in (int, float) for number in (*mean, *std, *steps, *periods)):
            raise DataError("a normalisation's means and deviations are numbers")
        try:
            mean, std, steps, periods = (tuple(map(float, part)) for part in (mean, std, steps, periods))
            return cls(tuple(columns), mean, std, steps, periods, reads=read.get("reads", LEVEL))
        except OverflowError:  # an integer beyond what a float holds
            raise DataError("a normalisation's means and deviations are finite") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `run.json` and the cell file; what is not there is left out, as in earlier files."""
        further = {key: list(value) for key, value in (("steps", self.steps), ("periods", self.periods)) if value}
        reads = {"reads": self.reads} if self.reads != LEVEL else {}
        return {"columns": list(self.columns), "mean": list(self.mean), "std": list(self.std), **further, **reads}

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def inputs(self) -> int:
        """Width of what the network reads: a point, and its calendar."""
        return len(self.columns) + 2 * len(self.periods)

    @property
    def unit(self) -> npt.NDArray[np.float64]:
        """What an error of one step is counted in, [F]: deviations of the differences, or of the values."""
        return np.array(self.steps or self.std)

    def normalise(self, values: Values) -> npt.NDArray[np.float64]:
        """Raw points [..., F] in deviations from the mean."""
        return np.asarray((values - np.array(self.mean)) / np.array(self.std), np.float64)

    def fed(self, values: Values, before: Values) -> npt.NDArray[np.float64]:
        """What the network computes with, from raw points with their calendar [..., inputs] and the points before."""
        F = len(self)
        if self.reads == DIFFERENCE:
            points = (values[..., :F] - before[..., :F]) / np.array(self.steps)
        else:
            points = self.normalise(values[..., :F])
        return np.asarray(np.concatenate([points, values[..., F:]], -1) if self.periods else points, np.float64)

    def restore(self, values: Values) -> npt.NDArray[np.float64]:
        """Normalised points [..., F] in the data's own units."""
        return np.asarray(values * np.array(self.std) + np.array(self.mean), np.float64)

    def targets(self, values: Values, before: Values) -> npt.NDArray[np.float64]:
        """What the network is to answer when it has read the point before each of values, both [n, F]."""
        if not self.steps:
            return self.normalise(values)
        return np.asarray((values - before) / np.array(self.steps), np.float64)

    def answered(self, outputs: Values, read: Values) -> npt.NDArray[np.float64]:
        """The next points in the data's own units, from the network's outputs [..., F] and what it read, raw."""
        if not self.steps:
            return self.restore(outputs)
        return np.asarray(read[..., : len(self)] + outputs * np.array(self.steps), np.float64)

    def calendar(self, times: Values) -> npt.NDArray[np.float64]:
        """Sine and cosine of 2πt/P for the times [...] of the next points, seconds since 1970: [..., 2·periods]."""
        angle = 2 * np.pi * (times[..., None] % np.array(self.periods)) / np.array(self.periods)
        return np.asarray(np.stack([np.sin(angle), np.cos(angle)], -1).reshape(*times.shape, -1), np.float64)
