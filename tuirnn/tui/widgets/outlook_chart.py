"""A forecast beside the truth: history, actual values, forecast and its interval, past and future divided by a line."""

import math

import numpy as np

from tuirnn.calibration import COVERAGE
from tuirnn.charts.plot import Axis, Options, Series
from tuirnn.runlog.answers import Outlook
from tuirnn.runlog.track import Curve
from tuirnn.text import figure, visible_line
from tuirnn.tui.views import Points
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.titles import entitle

INTERVAL = f"{COVERAGE:.0%} interval".replace("%", " %")
"""Name of the band around a forecast."""


def band(at: int, low: Points, high: Points) -> list[Series]:
    """The area between two curves [n] that begin at x = `at`; nothing where they are unknown."""
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    if not len(known):
        return []
    x = np.repeat(known + at, 2)
    y = np.stack([low[known], high[known]], 1).ravel()
    return [Series(INTERVAL, Curve.of(x), Curve.of(y), "band", faint=True)]


class OutlookChart(Chart):
    """One column of a recorded forecast; x is the time, or counts steps from its start where times are not known."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("no forecast yet: one is recorded at each evaluation", id=id)
        self._outlook: Outlook | None = None
        self._column = 0

    def show_outlook(self, outlook: Outlook | None) -> None:
        """Draw this forecast; None draws nothing."""
        if outlook is not self._outlook:
            self._outlook = outlook
            self._renew()

    def turn(self, by: int) -> None:
        """Show the next (1) or previous (-1) column."""
        self._column += by
        self._renew()

    def _renew(self) -> None:
        found = self._outlook
        if found is None:
            entitle(self, subtitle="")
            self.show([])
            return
        column, F = self._column % len(found.columns), len(found.columns)
        which = f" · {column + 1} of {F}, ↑↓ change" if F > 1 else ""
        n = min(len(found.truth), len(found.forecast))
        error = found.forecast[:n, column] - found.truth[:n, column]
        root = math.sqrt(float(np.mean(error**2))) if n else math.nan
        rmse = f" · RMSE {figure(root)}" if math.isfinite(root) else ""
        entitle(self, subtitle=f"{visible_line(found.columns[column])}{which}{rmse}")
        times = tuple(map(visible_line, found.times))
        axis = Axis(-len(found.history), kind="name", names=times) if times else Axis(kind="number")
        self.show(_lines(found, column), Options(cursor=0.0, axis=axis))


def _lines(found: Outlook, column: int) -> list[Series]:
    """The band lies below, the forecast above."""
    before = found.history[:, column] if len(found.history) else np.zeros(0)
    actual = np.concatenate([before, found.truth[:, column] if len(found.truth) else before[:0]])
    forecast, width = found.forecast[:, column], found.widths[:, column]
    x = np.arange(len(actual)) - len(before)
    return [
        *band(0, forecast - width, forecast + width),
        Series("actual", Curve.of(x), Curve.of(actual), "actual"),
        Series("predicted", Curve.of(np.arange(len(forecast))), Curve.of(forecast), "ahead"),
    ]
