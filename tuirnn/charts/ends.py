"""The names of lines at their right ends, where there is room: the eye need not go to a legend and back."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuirnn.charts.plot import Series
from tuirnn.text import visible_line

LEAST_WIDTH = 72
"""Cells of a chart from which names stand at the ends of the lines."""

LONGEST = 18
"""Cells of a name."""


@dataclass(frozen=True)
class EndLabel:
    """A name to be written beside the end of its line."""

    name: str
    style: str


def labels(series: Sequence[Series], width: int, rows: int) -> dict[str, EndLabel]:
    """The names that go to the ends of lines, by the names of the series; none where they do not all fit.

    Args:
        series: those that share a name have one label.
        width: of the chart in cells.
        rows: of its plot.
    """
    named = {one.name: one.style for one in series if one.name}
    if width < LEAST_WIDTH or len(named) > max(rows // 2, 1):
        return {}
    shown = {name: visible_line(name) for name in named}
    if any(len(one) > LONGEST for one in shown.values()):
        return {}
    return {name: EndLabel(shown[name], style) for name, style in named.items()}


def apart(rows: Sequence[int], height: int) -> list[int]:
    """Rows as near as possible to the wanted ones, no two the same, in the same order from top to bottom."""
    order = sorted(range(len(rows)), key=lambda at: rows[at])
    placed = [0] * len(rows)
    free = 0
    for at in order:
        placed[at] = free = max(rows[at], free)
        free += 1
    last = height - 1
    for at in reversed(order):
        placed[at] = min(placed[at], last)
        last = placed[at] - 1
    return placed
