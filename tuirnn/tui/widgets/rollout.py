"""A forecaster's closed loop, drawn on over the history: each forecast is read as if it were true."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuirnn.tui.plot import Options, Series
from tuirnn.tui.text import count, figure
from tuirnn.tui.track import Curve
from tuirnn.tui.widgets.chart import Chart

Points = npt.NDArray[np.float64]

STEPS = 1_000
"""Steps that are rolled out."""

HISTORY = 200
"""Points of the history that are drawn before them."""


@dataclass(frozen=True)
class RolledOut:
    """A history [n, F] from place `first` on, what came after it as far as that is known [m, F], and what a
    network expects after it [STEPS, F]; a name for each of the F columns."""

    columns: tuple[str, ...]
    described: str
    first: int
    history: Points
    truth: Points
    forecast: Points


def roll_out(name: str, folder: Path) -> RolledOut:
    """Let a run forecast from the beginning of its held-out part on; takes a moment.

    Raises:
        TuirnnError: no checkpoint, or its data are gone.
    """
    from tuirnn.runtime.forecast import forecast, scaling_of, series
    from tuirnn.runtime.opening import open_cell

    cell = open_cell(name, folder)
    meta, found = cell.metadata, series(name, folder, cell, None)
    history, truth = found.values[: found.first], found.values[found.first :]
    layers = f"×{meta.layers}" if meta.layers > 1 else ""
    return RolledOut(
        scaling_of(meta, name).columns,
        f"{meta.cell.upper()} {meta.hidden}{layers} · {found.what}",
        max(found.first - HISTORY, 0),
        np.asarray(history[-HISTORY:], np.float64),
        np.asarray(truth[:STEPS], np.float64),
        np.asarray(forecast(cell, history, STEPS), np.float64),
    )


class RollOut(Chart):
    """One column of a roll-out, as far as it has been drawn: `drawn` steps."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("reading the series …", id=id)
        self._found: RolledOut | None = None
        self._column = 0
        self.drawn = 0

    def open(self, found: RolledOut | None) -> None:
        """Draw this one, from its first step on."""
        self._found, self._column, self.drawn = found, 0, 0
        self._draw_all()

    def go(self, to: int) -> None:
        """So many steps are drawn."""
        self.drawn = min(max(to, 0), STEPS)
        self._draw_all()

    def turn(self, by: int) -> None:
        """Another column."""
        if self._found is not None:
            self._column = (self._column + by) % len(self._found.columns)
            self._draw_all()

    @property
    def title(self) -> str:
        """What is drawn, in words."""
        if self._found is None:
            return ""
        columns, error = self._found.columns, self._error()
        which = f" · {self._column + 1} of {len(columns)}, ↑↓ others" if len(columns) > 1 else ""
        far = f" · {count(self.drawn)} steps" if self.drawn else ""
        return f"{columns[self._column]}{which}{far}{f' · RMSE {figure(error)}' if error == error else ''}"

    @property
    def described(self) -> str:
        """Which network, and whose history."""
        return self._found.described if self._found else ""

    def _error(self) -> float:
        """Root mean square of what is off, as far as the truth is known."""
        assert self._found is not None
        n = min(self.drawn, len(self._found.truth))
        off = self._found.forecast[:n, self._column] - self._found.truth[:n, self._column]
        return float(np.sqrt(np.mean(off**2))) if n else float("nan")

    def _draw_all(self) -> None:
        found = self._found
        if found is None:
            self.show([])
            return
        start, shown = found.first + len(found.history), max(self.drawn, HISTORY // 2)
        parts = (
            ("came to pass", found.truth[:shown], start, "raw"),
            ("history", found.history, found.first, "val"),
            ("roll-out", found.forecast[: self.drawn], start, "train"),
        )
        lines = [
            Series(name, Curve.of(np.arange(at, at + len(values))), Curve.of(values[:, self._column]), style)
            for name, values, at, style in parts
        ]
        self.show([line for line in lines if len(line.x)], Options(cursor=float(start)))
