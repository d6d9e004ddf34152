"""A forecaster's closed loop, drawn on over the history: each forecast is read as if it were true."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from textual.content import Content
from textual.message import Message

from tuirnn.charts.plot import Options, Series
from tuirnn.errors import TuirnnError
from tuirnn.runlog.track import Curve
from tuirnn.text import count, figure, visible_line
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

    @property
    def start(self) -> int:
        """The place of the first step."""
        return self.first + len(self.history)


def roll_out(name: str, folder: Path) -> RolledOut:
    """Let a run forecast from the beginning of its held-out part on; takes a moment.

    Raises:
        TuirnnError: no checkpoint, or its data are gone.
    """
    from tuirnn.loading.cell import load_cell
    from tuirnn.runtime.forecast import forecast, scaling_of, series

    cell = load_cell(name, folder)
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
    """One column of a roll-out, drawn step by step; reads in a thread."""

    class Opened(Message):
        """The roll-out of a run is there; `problem` says why it is not."""

        def __init__(self, problem: str = "") -> None:
            super().__init__()
            self.problem = problem

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("reading the series …", id=id)
        self._run = ""
        self._found: RolledOut | None = None
        self._column = 0
        self._rolling = False
        self.drawn = 0

    def open_run(self, name: str, folder: Path) -> None:
        """Roll a run of `folder` out, and draw it on from its first step."""
        self._run, self._found, self._column, self.drawn, self._rolling = name, None, 0, 0, True
        self._renew()

        def read() -> None:
            problem, found = "", None
            try:
                found = roll_out(name, folder)
            except TuirnnError as error:
                problem = str(error)
            self.app.call_from_thread(self._opened, name, found, problem)

        self.run_worker(read, thread=True, exclusive=True, group="rollout")

    def _opened(self, name: str, found: RolledOut | None, problem: str) -> None:
        if name == self._run:
            self._found = found
            self._renew()
            self.post_message(self.Opened(problem))

    # ── steps ─────────────────────────────────────────────────────────────────

    def send(self, command: str) -> None:
        """Do what an `Engine` does upon 'toggle', 'step', 'forward', 'back', 'back_all' and 'reset'."""
        if command == "toggle":
            self._rolling = not self._rolling
        else:
            to = {"step": self.drawn + 1, "forward": self.drawn + 1, "back": self.drawn - 1}.get(command, 0)
            self._rolling, self.drawn = False, min(max(to, 0), STEPS)
        self._renew()

    def roll(self, steps: int) -> None:
        """Draw so many steps on, unless held or at the end."""
        if self._rolling and self._found is not None:
            self._rolling = self.drawn < STEPS
            self.drawn = min(self.drawn + steps, STEPS)
            self._renew()

    def turn(self, by: int) -> None:
        """Another column."""
        if self._found is not None:
            self._column = (self._column + by) % len(self._found.columns)
            self._renew()

    # ── drawing ───────────────────────────────────────────────────────────────

    def _renew(self) -> None:
        """What is drawn, and its titles."""
        found = self._found
        described = f" · {found.described}" if found else ""
        self.border_title = Content(visible_line(f"{self._run}{described}"))
        state = "▶ rolling on" if self._rolling else "‖ paused"
        self.border_subtitle = Content(f"{visible_line(self._column_title(found))} · {state}" if found else "")
        self.show(self._lines(found) if found else [], Options(cursor=float(found.start) if found else math.nan))

    def _column_title(self, found: RolledOut) -> str:
        columns, error = found.columns, self._error(found)
        which = f" · {self._column + 1} of {len(columns)}, ↑↓ others" if len(columns) > 1 else ""
        far = f" · {count(self.drawn)} steps" if self.drawn else ""
        return f"{columns[self._column]}{which}{far}{f' · RMSE {figure(error)}' if error == error else ''}"

    def _error(self, found: RolledOut) -> float:
        """Root mean square of what is off, as far as the truth is known."""
        n = min(self.drawn, len(found.truth))
        off = found.forecast[:n, self._column] - found.truth[:n, self._column]
        return float(np.sqrt(np.mean(off**2))) if n else math.nan

    def _lines(self, found: RolledOut) -> list[Series]:
        shown = max(self.drawn, HISTORY // 2)
        parts = (
            ("came to pass", found.truth[:shown], found.start, "raw"),
            ("history", found.history, found.first, "val"),
            ("roll-out", found.forecast[: self.drawn], found.start, "train"),
        )
        return [
            Series(name, Curve.of(np.arange(at, at + len(values))), Curve.of(values[:, self._column]), style)
            for name, values, at, style in parts
            if len(values)
        ]
