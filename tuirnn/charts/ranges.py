"""Ranges of y that show what matters: no first steep fall, no rare spikes, logarithmic over decades."""

import math
from collections.abc import Sequence

import numpy as np

from tuirnn.charts.columns import Stretch

SAMPLED = 2_000
"""Points of a line that a range is found from, evenly spread."""

FALL = 0.08
"""Share of what is shown, at its beginning, whose points do not stretch the range."""

RARE = 0.005
"""Share of the points that may lie beyond either end."""

WORTH = 0.75
"""A range is cut only where no more than this share of it is left."""

FEW = 24
"""Points of a line below which all of them are shown."""

DECADES = 2.0
"""A range of positive values that spans more than this is logarithmic."""


def robust(parts: Sequence[Stretch], low: float, high: float) -> tuple[float, float]:
    """The range that most points lie in, within the range of all of them.

    Args:
        parts: what is shown of each line.
        low, high: the smallest and the largest value of all.
    Returns:
        The range; `low` and `high` themselves where little would be gained.
    """
    found = [ends for part in parts if (ends := _usual(part)) is not None]
    if not found or not low < high:
        return low, high
    a, b = max(low, min(one[0] for one in found)), min(high, max(one[1] for one in found))
    room = 0.04 * (b - a)
    a, b = max(low, a - room), min(high, b + room)
    return (a, b) if a < b and b - a <= WORTH * (high - low) else (low, high)


def spans_decades(low: float, high: float) -> bool:
    """Whether a range of positive values is better drawn on a logarithmic scale."""
    return 0 < low < high and math.log10(high) - math.log10(low) > DECADES


def _usual(part: Stretch) -> tuple[float, float] | None:
    """Where the values of a line usually lie; all of them if there are few, None if there is none."""
    count = part.end - part.begin
    if count <= 0:
        return None
    n = min(count, SAMPLED)
    chosen = part.begin + np.arange(n) * (count - 1) // max(n - 1, 1)
    x, y = part.x.at(chosen), part.y.at(chosen)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if not len(y):
        return None
    if len(y) >= FEW:
        later = y[x >= x[0] + FALL * (x[-1] - x[0])]
        beyond = round(RARE * (len(later) - 1))
        later = np.partition(later, (beyond, len(later) - 1 - beyond))  # np.quantile takes ten times as long
        return float(later[beyond]), float(later[-1 - beyond])
    return float(y.min()), float(y.max())
