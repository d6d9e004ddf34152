"""How series are divided: each group of its own into train | validation | test, in the order of time."""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tuirnn.settings.data import DataConfig
from tuirnn.tasks.forecast.clock import Clock

Array = TypeVar("Array", bound=npt.NDArray[Any])

ORDER, FORMER_ORDER = ("train", "val", "test"), ("train", "test", "val")
"""Parts in the order of time: the newest rows are those of test, which no choice depends on; and as runs had them that
do not say."""


@dataclass(frozen=True)
class Group:
    """One series among those of a table.

    Attributes:
        name: in the group column; empty where a table is one series.
        first, last: its rows, `last` not among them.
        clock: their times; None: not known.
    """

    name: str
    first: int
    last: int
    clock: Clock | None = None

    def shortened(self, config: DataConfig, first: int) -> "Group":
        """Its first rows, which `--fraction` leaves, from another first row on."""
        count = max(1, round((self.last - self.first) * config.fraction))
        return Group(self.name, first, first + count, self.clock and self.clock.part(0, count))

    def parts(self, config: DataConfig, order: tuple[str, ...] = ORDER) -> dict[str, tuple[int, int]]:
        """First and last row of each part."""
        n = self.last - self.first
        sizes = {"val": max(2, round(n * config.val_fraction)), "test": round(n * config.test_fraction)}
        sizes["train"] = max(0, n - sum(sizes.values()))
        found, at = {}, 0
        for part in order:
            found[part] = (self.first + min(at, n), self.first + min(at + sizes[part], n))
            at += sizes[part]
        return found


def rows_of(groups: tuple[Group, ...], which: str, config: DataConfig, order: tuple[str, ...] = ORDER) -> list[slice]:
    """The rows of a part in each group."""
    return [slice(*group.parts(config, order)[which]) for group in groups]


def joined(values: Array, rows: list[slice]) -> Array:
    """Rows of some slices, one after the other; of a single one a view."""
    return end_to_end([cast("Array", values[one]) for one in rows])


def end_to_end(parts: list[Array]) -> Array:
    """Arrays one after the other; a single one as it is, for a copy of a long series takes time and memory."""
    return parts[0] if len(parts) == 1 else cast("Array", np.concatenate(parts))
