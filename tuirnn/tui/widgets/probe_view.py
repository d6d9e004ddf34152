"""The upper half of the X-ray tab: gradient by time step, gates, equations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal

from tuirnn import text
from tuirnn.charts.plot import Options, Series
from tuirnn.runlog.probes import Probe
from tuirnn.runlog.track import Curve
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.equations import Equations
from tuirnn.tui.widgets.gates import Gates, gate_rows
from tuirnn.tui.widgets.titles import entitle

MOST_LINES = 6
"""Runs in the chart."""

ROOMY = (32, 10)
"""Width and height of a chart from which the legend names the cell of each run, without hiding curves."""


WIDE = 60
"""Width of a chart from which its subtitle has space for a hint."""


@dataclass(frozen=True)
class ProbedRun:
    """A run, the probe of it that is on show, and the style of its line."""

    run: RunSummary
    probe: Probe | None
    style: str


class ProbeView(Horizontal):
    """What a run recorded at an evaluation; the gradient also of other runs.

    Args:
        ascii: draw ASCII characters only.
    """

    def __init__(self, *, ascii: bool, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ascii = ascii
        self._log = True

    def compose(self) -> ComposeResult:
        """The three panels, left to right."""
        yield Chart("recorded at each evaluation", id="xray-gradient")
        yield Gates(id="xray-gates")
        yield Equations(ascii=self._ascii, id="xray-equations")

    def toggle_log(self) -> None:
        """Switch between linear and logarithmic gradient norm; `show` has to be called after it."""
        self._log = not self._log

    @property
    def equations(self) -> str:
        """The equations of the cell, a line each."""
        return self.query_one(Equations).text

    def show(self, runs: Sequence[ProbedRun], own: str, layer: int) -> None:
        """Draw probes.

        Args:
            runs: for the gradient.
            own: name of the run for gates and equations; it is the first of `runs`, if it is known.
            layer: for the gates.
        """
        self._draw_gradient(runs)
        first = runs[0] if runs and runs[0].run.name == own else None
        probe = first.probe if first else None
        cell = first.run.record.config.model.recurrent if first and first.run.record else None
        layer = min(layer, len(probe.gates) - 1) if probe and probe.gates else -1
        gates = self.query_one(Gates)
        gates.show(gate_rows(probe, layer, cell) if probe and cell and layer >= 0 else ())
        entitle(
            gates,
            "gates, share saturated" + (f" · layer {layer + 1}" if layer > 0 else ""),
            f"[ step {text.count(probe.step)} ]" if probe else "",
        )
        self.query_one(Equations).show(cell)

    def _draw_gradient(self, runs: Sequence[ProbedRun]) -> None:
        chart, several = self.query_one("#xray-gradient", Chart), len(runs) > 1
        roomy = chart.size.width >= ROOMY[0] and chart.size.height >= ROOMY[1]
        lines: list[Series] = []
        for one in runs[:MOST_LINES]:
            norms = np.array(one.probe.gradient[-1] if one.probe and one.probe.gradient else (), np.float64)
            if not len(norms) or not norms[-1] > 0:
                continue
            steps_back = Curve.of(np.arange(len(norms)) - (len(norms) - 1))
            name = f"{one.run.name} ({one.run.cell})" if roomy else one.run.name
            lines.append(Series(name if several else "", steps_back, Curve.of(norms / norms[-1]), one.style))
        chart.show(lines, Options(log=self._log))
        notes = ["relative to the last step"]
        notes += ["mark runs to compare cells"] if not several and chart.size.width >= WIDE else []
        notes += [f"{MOST_LINES} of {len(runs)} marked"] if len(runs) > MOST_LINES else []
        entitle(chart, "gradient norm by steps back", " · ".join(notes))
