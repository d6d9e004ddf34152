"""The times of a series' rows: how they go on after the last one, and what of the calendar a network may read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.tables import times
from tuirnn.tables.times import DAY, Axis, Times

WEEK, YEAR = 7 * DAY, 365.2425 * DAY

PERIODS = {"hour of day": (DAY, 2), "day of week": (WEEK, 3), "time of year": (YEAR, 2)}
"""What of the calendar repeats: seconds, and harmonics; three of a week tell its seven days apart."""

MOST_PERIODS_OF_STEP = 2
"""Least points in the shortest wave that is read."""

MONTHS = {"1 month": 1, "1 quarter": 3, "1 year": 12}
"""Months in a step of the calendar."""


@dataclass(frozen=True)
class Clock:
    """The times of a series.

    Attributes:
        name: of the column.
        values: in order [n]: seconds since 1970, or years, or counts.
        calendar: whether they are seconds since 1970.
        told: the usual step, for people; see `times.steps_of`.
    """

    name: str
    values: Times
    calendar: bool
    told: str

    def part(self, first: int, last: int) -> "Clock":
        """The times of some of the rows."""
        return Clock(self.name, self.values[first:last], self.calendar, self.told)

    @property
    def step(self) -> float:
        """The usual distance of two rows; 0 where there is none."""
        positive = np.diff(self.values)
        positive = positive[positive > 0]
        if not len(positive):
            return 0.0
        lengths, counts = np.unique(np.round(positive, 6), return_counts=True)
        return float(lengths[counts.argmax()])

    def following(self, count: int) -> Times:
        """The next `count` times after the last, by the usual step; also months, quarters, years and working days."""
        last = float(self.values[-1])
        if self.calendar and self.told in MONTHS:
            return _months_after(last, MONTHS[self.told] * np.arange(1, count + 1))
        if self.calendar and self.told == "1 working day":
            day = np.datetime64(int(last // DAY), "D")
            days = np.busday_offset(day, np.arange(1, count + 1), roll="backward").astype(np.int64)
            return np.asarray(days * DAY + last % DAY)
        return np.asarray(last + self.step * np.arange(1, count + 1))

    def shown(self, values: Times) -> list[str]:
        """Times for people."""
        axis = Axis(self.name, (), values, self.calendar)
        return [axis.shown(row) for row in range(len(values))]

    def labels(self, before: int, after: int) -> list[str]:
        """The last `before` times and the next `after`, for people."""
        last = self.values[max(0, len(self.values) - before) :]
        return self.shown(np.concatenate([last, self.following(after)]))

    def periods(self, train: int) -> tuple[tuple[float, ...], list[str]]:
        """The periods of the calendar that the first `train` rows show twice and whose waves the step can follow.

        Returns:
            seconds of each with its harmonics, and what they are in words.
        """
        step = self.step
        if not self.calendar or not step or train < 2:
            return (), []
        span = float(self.values[train - 1] - self.values[0])
        found: list[float] = []
        words = []
        for word, (period, harmonics) in PERIODS.items():
            usable = [period / k for k in range(1, harmonics + 1) if period / k >= MOST_PERIODS_OF_STEP * step * 0.99]
            if usable and span >= 2 * period:
                found += usable
                words.append(word)
        return tuple(found), words


def _months_after(last: float, months: npt.NDArray[np.int64]) -> Times:
    """Times so many months later: the same day, or the month's last where it has no such day or `last` is one."""
    day = np.datetime64(int(last // DAY), "D")
    month = day.astype("M8[M]")
    number = int((day - month.astype("M8[D]")).astype(np.int64))
    at_end = (day + 1).astype("M8[M]") != month
    begins = (month + months).astype("M8[D]")
    lengths = ((month + months + 1).astype("M8[D]") - begins).astype(np.int64)
    days = begins + (lengths - 1 if at_end else np.minimum(number, lengths - 1))
    return np.asarray(days.astype(np.int64) * DAY + last % DAY)


def of_axis(axis: Axis | None, values: Times) -> Clock | None:
    """The clock of a table's rows in order; None where the table has no column of times."""
    if axis is None or len(values) < 2:
        return None
    inside = Axis(axis.name, axis.columns, values, axis.calendar)
    return Clock(axis.name, values, axis.calendar, times.steps_of(inside).told)
