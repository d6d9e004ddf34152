"""What the numbers of a series are called, and how they are made comparable: (value - mean) / std, column by column.

Fitted on the training part alone, kept in `run.json` and in the cell file, so that everyone outside the network speaks
in the data's own units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError

Values = npt.NDArray[np.floating[Any]]
"""Numbers whose last axis is the columns."""

Series = npt.NDArray[np.float64]
"""Points in the data's own units, [n, F]."""

MAX_COLUMNS = 4_096

LARGEST = 1e30
"""Means and deviations, and their inverses, fit into float32 with room to spare."""

RESOLUTION = 2.0**-24
"""Relative spacing of float32."""


@dataclass(frozen=True)
class Scaling:
    """The columns of a series, and the mean and standard deviation of each."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        F = len(self.columns)
        if not 1 <= F <= MAX_COLUMNS or len(set(self.columns)) != F:
            raise DataError(f"a series has 1 to {MAX_COLUMNS:,} columns with different names")
        if len(self.mean) != F or len(self.std) != F:
            raise DataError("a normalisation has a mean and a deviation for each column")
        if not all(abs(m) <= LARGEST for m in self.mean) or not all(1 / LARGEST <= s <= LARGEST for s in self.std):
            raise DataError("a normalisation's means and deviations are finite, the deviations above zero")

    @classmethod
    def fit(cls, columns: tuple[str, ...], values: Values) -> "Scaling":
        """Mean and deviation of values [n, F]."""
        return cls(columns, tuple(values.mean(0).tolist()), tuple(values.std(0).tolist()))

    @classmethod
    def from_json(cls, value: object) -> "Scaling":
        """Read what `to_json` wrote; raises DataError for anything else. Other keys are passed over."""
        read: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        columns, mean, std = (read.get(key) for key in ("columns", "mean", "std"))
        if not (isinstance(columns, list) and isinstance(mean, list) and isinstance(std, list)):
            raise DataError("a normalisation is an object with 'columns', 'mean' and 'std'")
        if not all(isinstance(name, str) for name in columns):
            raise DataError("a normalisation's columns are names")
        if not all(type(number) in (int, float) for number in (*mean, *std)):
            raise DataError("a normalisation's means and deviations are numbers")
        try:
            return cls(tuple(columns), tuple(map(float, mean)), tuple(map(float, std)))
        except OverflowError:  # an integer beyond what a float holds
            raise DataError("a normalisation's means and deviations are finite") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `run.json` and the cell file."""
        return {"columns": list(self.columns), "mean": list(self.mean), "std": list(self.std)}

    def __len__(self) -> int:
        return len(self.columns)

    def normalise(self, values: Values) -> npt.NDArray[np.float64]:
        """Raw values [..., F] in deviations from the mean."""
        return np.asarray((values - np.array(self.mean)) / np.array(self.std), np.float64)

    def restore(self, values: Values) -> npt.NDArray[np.float64]:
        """Normalised values [..., F] in the data's own units."""
        return np.asarray(values * np.array(self.std) + np.array(self.mean), np.float64)
