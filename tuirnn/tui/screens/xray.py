"""The X-ray tab: how far back the error reaches, how the gates stand, what is computed, what each unit does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tuirnn import text
from tuirnn.charts.plot import Options, Series
from tuirnn.errors import TuirnnError
from tuirnn.runlog.probes import Probe, ProbeLog
from tuirnn.runlog.track import Curve
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.equations import Equations
from tuirnn.tui.widgets.gates import Gates, gate_rows
from tuirnn.tui.widgets.heat import HeatMap
from tuirnn.tui.widgets.prose import Prose, activation_style

if TYPE_CHECKING:
    from tuirnn.runtime.inside import Inside
    from tuirnn.units import Follower

MOST_LINES = 6

ROOMY = (32, 10)
"""Width and height of a chart from which the cell stands beside the name of its run, without hiding its curve."""


class Looked(Message):
    """A run's cell has read a passage, or why it could not."""

    def __init__(
        self, name: str, inside: Inside | None, found: tuple[dict[str, list[Follower]], ...], problem: str
    ) -> None:
        super().__init__()
        self.name, self.inside, self.found, self.problem = name, inside, found, problem


class ProbesRead(Message):
    """The probes of the runs on show have been read."""


class XrayTab(Tab):
    """Gradient and gates from the run's probes, units from its newest checkpoint at work on held-out text."""

    def compose(self) -> ComposeResult:
        """Gradient, gates and equations above, the units below."""
        with Horizontal(id="xray-top"):
            yield Chart("recorded at each evaluation", id="xray-gradient")
            yield Gates(id="xray-gates")
            yield Equations(ascii=self.dashboard.ascii, id="xray-equations")
        with Horizontal(id="xray-below"):
            units = Static("", id="xray-units", markup=False)
            units.border_title, units.border_subtitle = "units that follow", "unit, correlation"
            yield units
            yield HeatMap(id="xray-heat")
            yield Prose(id="xray-text")

    def furnish(self) -> None:
        """Nothing is looked into yet."""
        self.name_shown = ""
        self._inside: Inside | None = None
        self._found: tuple[dict[str, list[Follower]], ...] = ()
        self._problem, self._looking = "", False
        self._layer, self._feature, self._rank, self._at = 0, 0, 0, 0
        self._log = True
        self._probe: int | None = None  # step of the probe on show; None: the newest
        self._logs: dict[RunPaths, ProbeLog] = {}
        self._reading = False
        self._draw()

    # ── following ─────────────────────────────────────────────────────────────

    def opened(self) -> None:
        """Look into the run that one was looking at."""
        wanted = self.dashboard.current
        if not self.name_shown and wanted:
            self.look(wanted)
        self.tick(always=True)

    def look(self, name: str, again: bool = False) -> None:
        """Look into a run."""
        if name == self.name_shown and not again and (self._inside or self._looking):
            return
        if name != self.name_shown:
            self._layer, self._rank, self._at, self._probe = 0, 0, 0, None
        self.name_shown, self._inside, self._found, self._problem = name, None, (), ""
        self._looking = True
        self.run_worker(lambda: self._look(name), thread=True, exclusive=True, group="look")
        self.tick(always=True)
        self._draw()

    def _look(self, name: str) -> None:
        from tuirnn.loading.cell import load_cell
        from tuirnn.runtime.inside import look_inside
        from tuirnn.units import followers

        try:
            inside = look_inside(load_cell(name, self.dashboard.folder), name, self.dashboard.folder)
        except TuirnnError as error:
            self.post_message(Looked(name, None, (), str(error)))
            return
        passage = "".join(symbol[:1] or "·" for symbol in inside.symbols)
        layers = range(inside.states.shape[1])
        found = tuple(followers(inside.states[:, layer], passage) for layer in layers)
        self.post_message(Looked(name, inside, found, ""))

    def on_looked(self, message: Looked) -> None:
        """Show it, unless another run has been asked for since."""
        if message.name == self.name_shown and self.children:
            self._looking = False
            self._inside, self._found, self._problem = message.inside, message.found, message.problem
            self._layer = min(self._layer, max(0, len(self._found) - 1))
            self._feature, self._rank = min(self._feature, max(0, len(self._features()) - 1)), 0
            self._draw()
            self.app.refresh_bindings()

    def _runs(self) -> list[RunSummary]:
        """The run on show first, then those marked."""
        known = {run.name: run for run in self.dashboard.runs}
        names = dict.fromkeys([self.name_shown, *self.dashboard.marked])
        return [known[name] for name in names if name in known]

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Records may have come."""
        if self.is_open:
            self.tick(always=True)

    def tick(self, always: bool = False) -> None:
        """Look at the probes on the screen; with `always`, draw them in any case."""
        if self._reading:
            return
        self._logs = {
            run.paths: self._logs.get(run.paths) or ProbeLog(run.paths.probes) for run in self._runs()[:MOST_LINES]
        }
        fresh = [log for log in self._logs.values() if log.changed()]
        if fresh:
            self._reading = True
            self.run_worker(lambda: self._read(fresh), thread=True, group="probes")
        elif always:
            self._draw_probes()

    def _read(self, logs: list[ProbeLog]) -> None:
        for log in logs:
            log.read()
        self.post_message(ProbesRead())

    def on_probes_read(self, message: ProbesRead) -> None:
        """More probes are there."""
        self._reading = False
        if self.children:
            self._draw_probes()

    def on_resize(self, event: events.Resize) -> None:
        """More or less fits."""
        self.call_after_refresh(self._draw)

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        self._draw_probes()
        self._draw_units()

    def _chosen(self, run: RunSummary) -> Probe | None:
        """The probe of a run to show: up to the chosen step, else the newest."""
        known = self._logs[run.paths].probes if run.paths in self._logs else ()
        if self._probe is None:
            return known[-1] if known else None
        return next((one for one in reversed(known) if one.step <= (self._probe or 0)), known[0] if known else None)

    def _draw_probes(self) -> None:
        runs, chart = self._runs(), self.query_one("#xray-gradient", Chart)
        roomy = chart.size.width >= ROOMY[0] and chart.size.height >= ROOMY[1]
        lines: list[Series] = []
        for run in runs[:MOST_LINES]:
            probe = self._chosen(run)
            norms = np.array(probe.gradient[-1] if probe and probe.gradient else (), np.float64)
            if not len(norms) or not norms[-1] > 0:
                continue
            back = Curve.of(np.arange(len(norms)) - (len(norms) - 1))
            style = self.dashboard.line_of(run.name) if len(runs) > 1 else "train"
            name = (f"{run.name} ({run.cell})" if roomy else run.name) if len(runs) > 1 else ""
            lines.append(Series(name, back, Curve.of(norms / norms[-1]), style))
        chart.show(lines, Options(log=self._log))
        chart.border_title = Content("gradient reaching back, by step")
        others = "mark runs to compare cells" if len(runs) < 2 else f"{MOST_LINES} of {len(runs)} marked"
        chart.border_subtitle = Content(
            "relative to the last step" + f" · {others}" * (len(runs) < 2 or len(runs) > MOST_LINES)
        )
        gates = self.query_one(Gates)
        own = runs[0] if runs and runs[0].name == self.name_shown else None
        probe = self._chosen(own) if own else None
        layer = min(self._layer, len(probe.gates) - 1) if probe and probe.gates else -1
        cell = own.record.config.model.recurrent if own and own.record else None
        gates.show(gate_rows(probe, layer, cell) if probe and cell and layer >= 0 else ())
        self.query_one(Equations).show(cell)
        gates.border_title = Content("gates, share saturated" + (f" · layer {layer + 1}" if layer > 0 else ""))
        gates.border_subtitle = Content(f"[ step {text.count(probe.step)} ]" if probe else "")

    def _features(self) -> list[str]:
        return list(self._found[self._layer]) if self._found else []

    def _draw_units(self) -> None:
        features = self._features()
        panel = self.query_one("#xray-units", Static)
        if not features or self._inside is None:
            waiting = "opening the cell …" if self._looking else "no run to look into yet; n on the Runs tab starts one"
            panel.update(Content.styled(text.visible_line(self._problem) or waiting, "$text-muted"))
            self.query_one(HeatMap).show(np.zeros((0, 0), np.float32), (), (), -1)
            self.query_one("#xray-text", Prose).clear()
            self._titles("")
            return
        width = panel.content_size.width
        panel.update(Content("\n").join(self._unit_line(number, width) for number in range(len(features))))
        self._draw_map(self._found[self._layer][features[self._feature]])
        self._titles(features[self._feature])

    def _unit_line(self, number: int, width: int) -> Content:
        """A feature, the unit that follows it, and how closely: as a figure, and as a bar where there is room."""
        features, chosen = self._features(), number == self._feature
        name, wide = features[number], max(map(len, features))
        best = self._found[self._layer][name][self._rank if chosen else 0]
        colour = "$text-success" if best.r > 0 else "$text-error"
        room = max(width - 13, 0)  # beside mark, unit and figure
        cells = min(max(room - wide - 1, 0), 12)
        return Content.assemble(
            ("▸ " if chosen else "  ", "bold $accent"),
            (name.ljust(wide)[:room], "bold" if chosen else ""),
            (f" {best.unit:>4} ", "$text-muted"),
            (f"{best.r:+.2f}", f"bold {colour}" if chosen else colour),
            (f" {bar(abs(best.r), cells)}" if cells else "", colour),
        )

    def _draw_map(self, order: list[Follower]) -> None:
        assert self._inside is not None
        states = self._inside.states[:, self._layer]
        unit = order[self._rank].unit
        if self.has_class("-text"):
            pieces = [
                (symbol, activation_style(value))
                for symbol, value in zip(self._inside.symbols, states[:, unit].tolist(), strict=True)
            ]
            prose = self.query_one("#xray-text", Prose)
            where = prose.scroll_offset.y
            prose.show(pieces)
            prose.scroll_to(y=where, animate=False)
            return
        heat = self.query_one(HeatMap)
        wide, high = heat.room
        first = max(0, min(self._rank - high // 2, len(order) - high))
        rows = order[first : first + high]
        self._at = max(0, min(self._at, len(states) - wide))
        part = slice(self._at, self._at + wide)
        labels = [f"{one.unit:>4} {one.r:+.2f}" for one in rows]
        heat.show(
            states[part, [one.unit for one in rows]].T if rows else np.zeros((0, 0), np.float32),
            labels, self._inside.symbols[part], self._rank - first,
        )  # fmt: skip

    def _titles(self, feature: str) -> None:
        inside = self._inside
        layer = f" · layer {self._layer + 1}" if inside is not None and inside.states.shape[1] > 1 else ""
        name = f"{text.visible_line(self.name_shown)} · {inside.described}{layer} · " if inside is not None else ""
        unit = self._found[self._layer][feature][self._rank].unit if feature else 0
        heat, prose = self.query_one(HeatMap), self.query_one("#xray-text", Prose)
        heat.border_title = Content(f"{name}hidden state")
        prose.border_title = Content(f"{name}unit {unit} over the text")
        if feature and inside is not None:
            heat.border_subtitle = Content(
                f"▓ above zero ▒ below · {text.count(self._at)} … of {text.count(len(inside.symbols))}"
            )
            prose.border_subtitle = Content.assemble(
                *((f" {level // 3 - 1:+d} ", f"$background on $act-{level}") for level in (0, 3, 6)), " its activation"
            )

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Most keys need a cell that has been looked into."""
        if action in ("choose", "refresh"):
            return bool(self.dashboard.runs)
        if action == "log":
            return bool(self.name_shown)
        if action == "equations":
            return self.screen.has_class("-narrow")  # else they are there anyway
        if action == "layer":
            return len(self._found) > 1
        if action in ("probe_earlier", "probe_later"):
            return any(len(log.probes) > 1 for log in self._logs.values())
        return bool(self._features())

    def do_unit_up(self) -> None:
        """The unit before."""
        self._turn(-1)

    def do_unit_down(self) -> None:
        """The next unit."""
        self._turn(1)

    def _turn(self, by: int) -> None:
        order = self._found[self._layer][self._features()[self._feature]]
        self._rank = min(max(self._rank + by, 0), len(order) - 1)
        self._draw_units()

    def do_feature(self) -> None:
        """The next feature, and the unit that follows it best."""
        self._feature, self._rank = (self._feature + 1) % len(self._features()), 0
        self._draw_units()

    def do_layer(self) -> None:
        """The next layer."""
        self._layer, self._rank = (self._layer + 1) % len(self._found), 0
        self._feature = min(self._feature, len(self._features()) - 1)
        self._draw()

    def do_earlier(self) -> None:
        """Back in the text."""
        self._move(-1)

    def do_later(self) -> None:
        """On in the text."""
        self._move(1)

    def _move(self, by: int) -> None:
        if self.has_class("-text"):
            prose = self.query_one("#xray-text", Prose)
            (prose.scroll_page_down if by > 0 else prose.scroll_page_up)(animate=False)
            return
        self._at += by * max(1, self.query_one(HeatMap).room[0] * 3 // 4)
        self._draw_units()

    def do_view(self) -> None:
        """The map, or the text."""
        self.toggle_class("-text")
        self.call_after_refresh(self._draw_units)

    def do_equations(self) -> None:
        """The equations in place of gradient and gates, or back."""
        self.toggle_class("-equations")
        self.call_after_refresh(self._draw_probes)

    def do_log(self) -> None:
        """Logarithmic, or linear."""
        self._log = not self._log
        self._draw_probes()

    def do_probe_earlier(self) -> None:
        """One evaluation back."""
        self._scrub(-1)

    def do_probe_later(self) -> None:
        """One evaluation on."""
        self._scrub(1)

    def _scrub(self, by: int) -> None:
        runs = self._runs()
        steps = [one.step for one in self._logs[runs[0].paths].probes] if runs and runs[0].paths in self._logs else []
        if steps:
            now = max((k for k, step in enumerate(steps) if self._probe is None or step <= self._probe), default=0)
            to = min(max(now + by, 0), len(steps) - 1)
            self._probe = None if to == len(steps) - 1 else steps[to]
            self._draw_probes()

    def do_refresh(self) -> None:
        """Look again."""
        if self.name_shown:
            self.look(self.name_shown, again=True)

    def do_choose(self) -> None:
        """Another run."""
        options = [(run.name, f"{run.name}   {run.cell}") for run in self.dashboard.runs if run.record]

        def chosen(name: str | None) -> None:
            if name:
                self.look(name)

        if options:
            self.app.push_screen(Choose("look into", options, self.name_shown), chosen)
