"""The roll-out of a forecaster: a closed-loop forecast, drawn step by step after the history."""

import math

import numpy as np

from tuirnn.charts.plot import Axis, Options, Series
from tuirnn.runlog.track import Curve
from tuirnn.text import count, figure, visible_line
from tuirnn.tui.views import HISTORY, STEPS, RolledOut
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.outlook_chart import band
from tuirnn.tui.widgets.titles import entitle


class RollOut(Chart):
    """One column of a series; each forecast is the next input."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("reading the series …", id=id)
        self._run = ""
        self._found: RolledOut | None = None
        self._column = 0
        self._rolling = False
        self.drawn = 0

    def await_run(self, name: str) -> None:
        """Draw nothing until `begin` is called with the roll-out of this run."""
        self._run, self._found, self._column, self.drawn, self._rolling = name, None, 0, 0, True
        self._renew()

    def begin(self, found: RolledOut) -> None:
        """Start to draw a roll-out."""
        self._found = found
        self._renew()

    # ── steps ─────────────────────────────────────────────────────────────────

    def send(self, command: str) -> None:
        """Handle 'toggle', 'step', 'forward', 'back', 'back_all' and 'reset', like an `Engine`."""
        if command == "toggle":
            self._rolling = not self._rolling
        else:
            to = {"step": self.drawn + 1, "forward": self.drawn + 1, "back": self.drawn - 1}.get(command, 0)
            self._rolling, self.drawn = False, min(max(to, 0), STEPS)
        self._renew()

    def roll(self, steps: int) -> None:
        """Draw further steps, unless paused or at the end."""
        if self._rolling and self._found is not None:
            self._rolling = self.drawn < STEPS
            self.drawn = min(self.drawn + steps, STEPS)
            self._renew()

    def turn(self, by: int) -> None:
        """Show the next (1) or previous (-1) column."""
        if self._found is not None:
            self._column = (self._column + by) % len(self._found.columns)
            self._renew()

    # ── drawing ───────────────────────────────────────────────────────────────

    def _renew(self) -> None:
        """Draw the chart and its titles."""
        found = self._found
        described = f" · {found.described}" if found else ""
        entitle(self, visible_line(f"{self._run}{described}"))
        state = "▶ running" if self._rolling else "‖ paused"
        entitle(self, subtitle=f"{visible_line(self._column_title(found))} · {state}" if found else "")
        if found is None:
            self.show([])
            return
        axis = Axis(found.first, kind="name", names=found.times) if found.times else Axis()
        self.show(self._lines(found), Options(cursor=float(found.start), axis=axis))

    def _column_title(self, found: RolledOut) -> str:
        columns, error = found.columns, self._error(found)
        which = f" · {self._column + 1} of {len(columns)}, ↑↓ change" if len(columns) > 1 else ""
        far = f" · {count(self.drawn)} steps" if self.drawn else ""
        return f"{columns[self._column]}{which}{far}{f' · RMSE {figure(error)}' if error == error else ''}"

    def _error(self, found: RolledOut) -> float:
        """Root mean square error, as far as the series is known."""
        n = min(self.drawn, len(found.truth))
        off = found.forecast[:n, self._column] - found.truth[:n, self._column]
        return float(np.sqrt(np.mean(off**2))) if n else math.nan

    def _lines(self, found: RolledOut) -> list[Series]:
        shown = max(self.drawn, HISTORY // 2)
        parts = (
            ("actual", found.truth[:shown], found.start, "raw"),
            ("history", found.history, found.first, "actual"),
            ("roll-out", found.forecast[: self.drawn], found.start, "ahead"),
        )
        part, around = (slice(self.drawn), self._column), []
        if found.low is not None and found.high is not None:
            around = band(found.start, found.low[part], found.high[part])
        return around + [
            Series(name, Curve.of(np.arange(at, at + len(values))), Curve.of(values[:, self._column]), style)
            for name, values, at, style in parts
            if len(values)
        ]
