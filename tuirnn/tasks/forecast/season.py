"""The season of a series: after how many points it repeats itself, and the naive forecasts that follow from it.

Seasonal naive: the value one season before; MASE: the mean absolute error divided by that of the seasonal naive
forecast, one step, on the training part (Hyndman & Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tuirnn.scaling import Series
from tuirnn.tables.times import DAY
from tuirnn.tasks.forecast.clock import WEEK, YEAR, Clock
from tuirnn.tasks.forecast.parts import end_to_end

Rows = npt.NDArray[np.int64]

LEAST = 0.2
"""Autocorrelation of the differences from which a season is believed."""

ENOUGH = 2**20
"""Last rows of a long training part, in which a season is looked for."""

LONGEST = 1_000
"""The longest season that is sought without a column of times, in points."""

ONCE_MORE = 3
"""Seasons that the training part must have."""

NEARLY = 0.9
"""Of several peaks the shortest with so much of the highest one's autocorrelation is taken: the others repeat it."""


def find(parts: Sequence[Series], clock: Clock | None) -> tuple[int, str]:
    """The season of a training part.

    Args:
        parts: of each group [n, F].
        clock: times of the rows, which say how many points a day, a week and a year have.
    Returns:
        points, 1 where none was found; and how that was decided, in words.
    """
    longest = max(parts, key=len)
    where = "the training part" if len(longest) <= ENOUGH else f"the last {ENOUGH:,} rows of the training part"
    longest = longest[-ENOUGH:]
    most = min(LONGEST if clock is None else 10_000, len(longest) // ONCE_MORE)
    if most < 2:
        return 1, "no season: the training part is too short"
    seen = _autocorrelation(longest, most)
    threshold = max(LEAST, 2 / np.sqrt(len(longest)))
    for word, points in _of_calendar(clock):
        if 2 <= points <= most and seen[points] >= threshold:
            return points, f"season: {points} points, a {word} (autocorrelation of the differences {seen[points]:.2f})"
    if clock is not None and clock.calendar and clock.step:
        return 1, f"no season: neither days, weeks nor years show in the autocorrelation of {where}"
    peaks = [
        lag
        for lag in range(3, most)
        if seen[lag] >= threshold and seen[lag] > seen[lag - 1] and seen[lag] >= seen[lag + 1]
    ]
    if not peaks:
        return 1, f"no season found in {where}"
    highest = max(seen[lag] for lag in peaks)
    lag = next(lag for lag in peaks if seen[lag] >= NEARLY * highest)
    return lag, f"season: {lag} points, by the autocorrelation of the differences ({seen[lag]:.2f})"


def _of_calendar(clock: Clock | None) -> list[tuple[str, int]]:
    """Points of a day, a week and a year, the one that is likeliest to matter first."""
    if clock is None or not clock.calendar or not clock.step:
        return []
    if clock.told == "1 working day":
        return [("week of working days", 5)]
    lengths = (("day", DAY), ("week", WEEK), ("year", YEAR))
    return [(word, round(length / clock.step)) for word, length in lengths if length / clock.step >= 2]


def _autocorrelation(values: Series, most: int) -> Series:
    """Of the differences, at lags 0 to `most`, mean over the columns; one at a time, for a transform is wide."""
    total = np.zeros(most + 1)
    for column in values.T:
        steps = np.diff(column)
        steps -= steps.mean()
        size = 1 << (len(steps) + most).bit_length()  # lags beyond `most` may overlap
        sums = np.fft.irfft(np.abs(np.fft.rfft(steps, size)) ** 2, size)[: most + 1]
        total += sums / max(sums[0], 1e-300)
    count = (len(values) - 1 - np.arange(most + 1)) / (len(values) - 1)
    return np.asarray(total / count / values.shape[1])


def naive_mae(parts: Sequence[Series], season: int) -> Series:
    """Mean absolute difference to the value one season before, on the training parts, [F]; what MASE divides by."""
    lag = season if any(len(part) > season for part in parts) else 1
    long = [part for part in parts if len(part) > lag]
    found = np.empty(parts[0].shape[1])
    for column in range(len(found)):  # one at a time: all together may take as much memory as the series
        off = end_to_end([part[lag:, column] - part[:-lag, column] for part in long])
        found[column] = np.abs(off, out=off).mean()
    return np.where(found > 0, found, np.nan)  # no scale, where the naive forecast is never wrong


def seasonal(values: Series, rows: Rows, origins: Rows, season: int) -> Series:
    """What the seasonal naive forecast says of rows [...], known up to `origins` [...], themselves not: [..., F].

    NaN where there is no value one season before.
    """
    ahead = rows - origins
    back = rows - season * (1 + ahead // season)
    found = values[np.maximum(back, 0)]
    return np.where((back >= 0)[..., None], found, np.nan)
