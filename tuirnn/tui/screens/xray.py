"""The X-ray tab: gradient through time, gates, equations, and what each hidden unit does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from tuirnn.errors import TuirnnError
from tuirnn.runlog.probes import Probe, ProbeLog
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.keys import key
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.widgets.passage import short, walks
from tuirnn.tui.widgets.probe_view import MOST_LINES, ProbedRun, ProbeView
from tuirnn.tui.widgets.unit_view import Features, UnitView

if TYPE_CHECKING:
    from pathlib import Path

    from tuirnn.runtime.inside import Inside
    from tuirnn.units import Floats

NO_RUN = "no run to look into yet; n on the Runs tab starts one"

FIRST = "waiting for the first checkpoint of this run, which is written at its first evaluation; then units appear here"

MOST_COLUMNS = 4
"""Columns of a series, or classes, that units are compared with."""


class ProbesRead(Message):
    """The probes of the runs on show have been read."""


def find_units(name: str, folder: Path) -> tuple[Inside, tuple[Features, ...], int]:
    """Let a cell read a passage, and find the units that follow its features. Slow: for a thread.

    Args:
        name: of a run.
        folder: of runs.
    Returns:
        The states of the cell, the features of each layer, and the step of the run's checkpoint (0: unknown).
    Raises:
        TuirnnError: there is no checkpoint, or the data are gone.
    """
    from tuirnn.loading.cell import load_cell
    from tuirnn.runs.checkpoint import pointed, step_of
    from tuirnn.runtime.inside import look_inside
    from tuirnn.units import correlated

    best = pointed(RunPaths(folder / name), "best")
    inside = look_inside(load_cell(name, folder), name, folder)
    features = _features(inside)
    layers = tuple(correlated(inside.states[:, layer], features) for layer in range(inside.states.shape[1]))
    return inside, layers, step_of(best) if best else 0


def _has_checkpoint(paths: RunPaths) -> bool:
    """Whether a run has written a network that can be opened."""
    from tuirnn.runs.checkpoint import pointed

    return any(pointed(paths, name) for name in ("best", "last"))


def _features(inside: Inside) -> dict[str, Floats]:
    """What units may follow: features of the text and answers of the cell; of a series its values and their changes."""
    from tuirnn.units import text_features

    if inside.columns:
        found: dict[str, Floats] = {}
        for f, name in enumerate(inside.columns[:MOST_COLUMNS]):
            values = np.nan_to_num(inside.points[:, f])
            found[short(name)] = values
            found[f"change of {short(name)}"] = np.diff(values, prepend=values[:1])
        return found
    text = "".join(symbol[:1] or "·" for symbol in inside.symbols)
    if not walks(inside):
        return text_features(text)
    ends = (*inside.starts[1:], len(text))
    each = [text_features(text[start:end]) for start, end in zip(inside.starts, ends, strict=True)]
    features = {name: np.concatenate([one[name] for one in each]) for name in each[0] if "line" not in name}
    features["position in sequence"] = np.concatenate([one["position in line"] for one in each])
    often = np.argsort(-inside.answers.mean(0), kind="stable")[:MOST_COLUMNS]
    return {f"says {short(inside.classes[k])}": inside.answers[:, k] for k in often} | features


class XrayTab(Tab):
    """Gradient and gates from the run's probes; hidden units from its checkpoint, applied to held-out text."""

    NAME = "xray"
    KEYS = (
        key("up", "unit_up", "unit", "previous unit in the list"),
        key("down", "unit_down", "", "next unit in the list"),
        key("left", "left", "move", "previous passage of a text or series, previous letter of a sequence"),
        key("right", "right", "", "next passage of a text or series, next letter of a sequence"),
        key("shift+right", "next_sequence", "next one", "next sequence"),
        key("shift+left", "previous_sequence", "", "previous sequence"),
        key("f", "feature", "feature", "next feature that units may follow: quotes, line ends, capitals, …"),
        key("v", "view", "map/text", "switch between a map of many units and one unit over the text"),
        key("l", "layer", "layer", "next layer"),
        key("E", "equations", "equations", "switch between equations, and gradient with gates (small windows)"),
        key("y", "log", "log y", "logarithmic or linear gradient norm"),
        key("[", "probe_earlier", "earlier", "gates and gradient at the previous evaluation"),
        key("]", "probe_later", "later", "gates and gradient at the next evaluation"),
        key("o", "choose", "open", "open another run"),
        key("r", "refresh", "", "open the run's newest checkpoint"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """Probes above, units below."""
        yield ProbeView(ascii=self.context.ascii, id="xray-top")
        yield UnitView(id="xray-below")

    def setup(self) -> None:
        """No run is open yet."""
        self.opened_run = ""
        self._looking = self._awaits = False  # a cell is being opened; it has to be written first
        self._step: int | None = None  # of the probe on show; None for the newest
        self._logs: dict[RunPaths, ProbeLog] = {}
        self._reading = False
        self._units.wait("", NO_RUN, reset=True)
        self._draw_probes()

    @property
    def _units(self) -> UnitView:
        return self.query_one(UnitView)

    @property
    def _probes(self) -> ProbeView:
        return self.query_one(ProbeView)

    # ── opening a run ─────────────────────────────────────────────────────────

    def opened(self) -> None:
        """Draw; the first time, open the current run."""
        wanted = self.context.current
        if not self.opened_run and wanted:
            self.look_inside(wanted)
        self.tick(always=True)

    def look_inside(self, name: str, again: bool = False) -> None:
        """Open a run; `again` even if it is open."""
        if name == self.opened_run and not again and (self._looking or self._units.layer_count):
            return
        other = name != self.opened_run
        if other:
            self._step = None
        self.opened_run, self._looking, self._awaits = name, True, False
        self._units.wait(name, "opening the cell …", reset=other)
        folder = self.context.folder.path

        def found(units: tuple[Inside, tuple[Features, ...], int]) -> None:
            if self._is_awaited(name):
                self._units.show(*units)
                self._draw_probes()
                self.app.refresh_bindings()

        def failed(error: TuirnnError) -> None:
            if self._is_awaited(name):
                run = next((run for run in self.context.folder.runs if run.name == name), None)
                self._awaits = run is not None and run.status.live and not _has_checkpoint(run.paths)
                self._units.wait(name, FIRST if self._awaits else str(error), reset=False)
                self.app.refresh_bindings()

        self.context.in_background("look", lambda: find_units(name, folder), found, failed)
        self.tick(always=True)

    def _is_awaited(self, name: str) -> bool:
        """Whether a result for this run is still wanted; the search for it has ended."""
        if name != self.opened_run or not self.children:
            return False
        self._looking = False
        return True

    # ── following the probes ──────────────────────────────────────────────────

    def _runs(self) -> list[RunSummary]:
        """The open run first, then the marked ones."""
        return self.context.folder.named(list(dict.fromkeys([self.opened_run, *self.context.folder.marked])))

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Look for new records."""
        if self.is_open:
            self.tick(always=True)

    def tick(self, always: bool = False) -> None:
        """Look for new probes; with `always`, draw in any case."""
        if self._reading:
            return
        if self._awaits and _has_checkpoint(RunPaths(self.context.folder.path / self.opened_run)):
            self.look_inside(self.opened_run, again=True)
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
        """Draw what was read."""
        self._reading = False
        if self.children:
            self._draw_probes()

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new size, and with the keys that it has."""
        self.call_after_refresh(self._draw)
        self.call_after_refresh(self.app.refresh_bindings)

    def _draw(self) -> None:
        self._draw_probes()
        self._units.draw()

    def _draw_probes(self) -> None:
        line_style = self.context.folder.line_style
        runs = [ProbedRun(run, self._probe_of(run), line_style(run.name)) for run in self._runs()]
        self._probes.show(runs, self.opened_run, self._units.layer_index)
        if runs and runs[0].run.name == self.opened_run:
            self._units.tell_newest(runs[0].run.status.best_step)

    def _probe_of(self, run: RunSummary) -> Probe | None:
        """The run's last probe up to the chosen step, or its newest."""
        known = self._logs[run.paths].probes if run.paths in self._logs else ()
        step = self._step
        if step is None:
            return known[-1] if known else None
        return next((one for one in reversed(known) if one.step <= step), known[0] if known else None)

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Most actions need units."""
        if action in ("choose", "refresh"):
            return bool(self.context.folder.runs)
        if action == "log":
            return bool(self.opened_run)
        if action == "equations":
            return self.screen.has_class("-narrow")  # in other windows they are always visible
        if action in ("next_sequence", "previous_sequence"):
            return self._units.is_walked
        if action == "view":
            return bool(self._units.features) and not self._units.is_series
        if action == "layer":
            return self._units.layer_count > 1
        if action in ("probe_earlier", "probe_later"):
            return any(len(log.probes) > 1 for log in self._logs.values())
        return bool(self._units.features)

    def action_unit_up(self) -> None:
        """Choose the previous unit."""
        self._units.move_unit(-1)

    def action_unit_down(self) -> None:
        """Choose the next unit."""
        self._units.move_unit(1)

    def action_feature(self) -> None:
        """Choose the next feature."""
        self._units.next_feature()

    def action_layer(self) -> None:
        """Choose the next layer."""
        self._units.next_layer()
        self._draw_probes()

    def action_left(self) -> None:
        """Move back in the text."""
        self._units.move_text(-1)

    def action_right(self) -> None:
        """Move forward in the text."""
        self._units.move_text(1)

    def action_next_sequence(self) -> None:
        """Go to the next sequence."""
        self._units.next_sequence(1)

    def action_previous_sequence(self) -> None:
        """Go to the previous sequence."""
        self._units.next_sequence(-1)

    def action_view(self) -> None:
        """Switch between map and text."""
        self._units.toggle_class("-text")
        self.call_after_refresh(self._units.draw)
        self.refit()

    def action_equations(self) -> None:
        """Switch between equations, and gradient with gates."""
        self.toggle_class("-equations")
        self.call_after_refresh(self._draw_probes)
        self.refit()

    def action_log(self) -> None:
        """Switch between linear and logarithmic gradient norm."""
        self._probes.toggle_log()
        self._draw_probes()

    def action_probe_earlier(self) -> None:
        """Go to the previous evaluation."""
        self._go_to_probe(-1)

    def action_probe_later(self) -> None:
        """Go to the next evaluation."""
        self._go_to_probe(1)

    def _go_to_probe(self, by: int) -> None:
        runs = self._runs()
        steps = [one.step for one in self._logs[runs[0].paths].probes] if runs and runs[0].paths in self._logs else []
        if steps:
            now = max((k for k, step in enumerate(steps) if self._step is None or step <= self._step), default=0)
            to = min(max(now + by, 0), len(steps) - 1)
            self._step = None if to == len(steps) - 1 else steps[to]
            self._draw_probes()

    def copies(self) -> dict[str, str]:
        """The equations of the cell, the units that follow features, and where the run is."""
        run = next(iter(self.context.folder.named([self.opened_run])), None)
        return {
            "equations": self._probes.equations,
            "units": self._units.as_text(),
            "path": str(run.paths.root) if run else "",
        }

    def action_refresh(self) -> None:
        """Open the newest checkpoint."""
        if self.opened_run:
            self.look_inside(self.opened_run, again=True)

    def action_choose(self) -> None:
        """Choose another run."""
        options = [(run.name, f"{run.name}   {run.cell}") for run in self.context.folder.runs if run.record]

        def chosen(name: str | None) -> None:
            if name:
                self.look_inside(name)

        if options:
            self.app.push_screen(Choose("look into", options, self.opened_run), chosen)
