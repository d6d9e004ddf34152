"""A series that a network reads, and how it goes on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a task is declared without numpy; see `task`
    import numpy as np
    import numpy.typing as npt

    from tuirnn.scaling import Series


class Clock(Protocol):
    """The times of a series' rows."""

    @property
    def name(self) -> str:
        """Of their column."""

    def part(self, first: int, last: int) -> "Clock":
        """The times of some of the rows."""

    def following(self, count: int) -> "npt.NDArray[np.float64]":
        """The next times after the last."""

    def labels(self, before: int, after: int) -> list[str]:
        """The last `before` times and the next `after`, for people."""


@dataclass(frozen=True)
class History:
    """A series that a network reads.

    Attributes:
        what: it is, in words.
        values: points [n, F] in the data's own units.
        first: the point that forecasts are judged from, or n.
        horizon: steps of a roll-out.
        notes: what was left out or filled in.
        real: which values are in the data [n, F]; the others are filled in and judge nothing. None: all.
        clock: the times of the rows; None: not known.
        calendar: what the network reads beside each point, of the time of the next one [n, ·]; None: nothing.
        group: which of a table's series it is; empty where there is one.
    """

    what: str
    values: "Series"
    first: int
    horizon: int = 200
    notes: tuple[str, ...] = ()
    real: "npt.NDArray[np.bool_] | None" = None
    clock: Clock | None = None
    calendar: "Series | None" = None
    group: str = ""


@dataclass(frozen=True)
class Forecast:
    """How a series goes on.

    Attributes:
        points: [horizon, F] in the data's own units.
        low, high: of the intervals, the same shape; None where the network has none.
        times: of the points, for people; empty where they are not known.
        notes: what does not come from the network.
    """

    points: "Series"
    low: "Series | None" = None
    high: "Series | None" = None
    times: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
