"""The Sweep tab: what a sweep has found so far, which settings matter, and its runs, the best first."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.charts.plot import Axis, Options, Series
from tuirnn.config import RunConfig
from tuirnn.runlog.track import Curve
from tuirnn.runs.detached import arguments
from tuirnn.runs.listing import RunSummary
from tuirnn.tui.keys import key
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.run_fields import label_of
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.run_chart import following
from tuirnn.tui.widgets.titles import entitle, fit, whole_words

if TYPE_CHECKING:  # imported when sweeps are read: the dashboard opens sooner without
    from tuirnn.sweeping.reading import SweepView
    from tuirnn.sweeping.results import Trial

NONE = (
    "no sweep in this folder: tuirnn sweep SOURCE --lr 0.001,0.003 --hidden 64,128 --seed 0,1 begins one in a shell"
    " · ctrl+c copies such a command for the run under the cursor"
)

AROUND = (1 / 3, 1.0, 3.0)
"""Factors of a run's learning rate in the command of a sweep about it."""

DECADE = 10.0
"""Factor between the ends of a setting's values from which its axis is logarithmic."""

MOST_MARKS = 12
"""Runs at one value of a setting that have a mark of their own; all lie in the band."""

WIDEST, STATE = 20, 8
"""Cells of a column of the table at most, and of the last one, which takes what is left, at least."""


class SweepTab(Tab):
    """Best loss so far, losses against a setting with their spread, importance, and the table of trials."""

    NAME = "sweep"
    KEYS = (
        key("x", "setting", "setting", "losses against the next setting that varies"),
        key("o", "next", "sweep", "next sweep of this folder"),
        key("enter", "open", "open best", "open the best run on the Train tab"),
        key("space", "mark", "mark best", "mark the five best runs, for the Compare tab"),
        key("up", "scroll_up", "", "scroll the table up"),
        key("down", "scroll_down", "", "scroll the table down"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """Two charts above, table and importance below."""
        with Horizontal(id="sweep-top"):
            yield Chart(NONE, id="sweep-course")
            yield Chart("", id="sweep-scatter")
        with Horizontal(id="sweep-below"):
            with VerticalScroll(id="sweep-table-frame", can_focus=False):
                yield Static("", id="sweep-table", markup=False)
            importance = Static("", id="sweep-importance", markup=False)
            importance.border_title = "importance"
            yield importance

    def setup(self) -> None:
        """Nothing has been read."""
        self._found: tuple[SweepView, ...] = ()
        self._name = self._setting = ""
        self.query_one("#sweep-course", Chart).border_title = "best so far"

    def opened(self) -> None:
        """Read the sweeps."""
        self._read(self.context.folder.runs)

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """Read the sweeps again: a trial may have ended."""
        if self.is_open:
            self._read(runs)

    def _read(self, runs: Sequence[RunSummary]) -> None:
        def shown(found: tuple[SweepView, ...]) -> None:
            if self.is_running and self.children:
                self._found = found
                self._draw()
                self.app.refresh_bindings()

        folder, known = self.context.folder.path, list(runs)

        def read() -> tuple[SweepView, ...]:
            from tuirnn.sweeping.reading import sweeps

            return sweeps(folder, known)

        self.context.in_background("sweeps", read, shown)

    @property
    def sweep(self) -> SweepView | None:
        """The sweep on the screen: the one that was chosen, else the newest."""
        return next((one for one in self._found if one.name == self._name), self._found[0] if self._found else None)

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        sweep = self.sweep
        self.set_class(sweep is None, "-empty")
        if sweep is None:
            self.query_one("#sweep-course", Chart).show([])
            return
        if self._setting not in sweep.settings:
            self._setting = sweep.settings[0] if sweep.settings else ""
        self._draw_course(sweep)
        self._draw_scatter(sweep)
        self._draw_table(sweep)
        self.query_one("#sweep-importance", Static).update(_importance(sweep, 22))

    def _draw_course(self, sweep: SweepView) -> None:
        chart = self.query_one("#sweep-course", Chart)
        known = [one for one in sweep.trials if one.loss is not None]
        ends = [_series("", [one.number + 1 for one in known], [one.loss for one in known], "raw", mark="·")]
        course = [(at + 1, loss) for at, loss in sweep.best_so_far]
        ends += [_series("", [at for at, _ in course], [loss for _, loss in course], "best")]
        chart.show(ends, Options(robust=True))
        done = len(sweep.trials)
        states = {state: sum(one.state == state for one in sweep.trials) for state in ("pruned", "failed")}
        words = [f"{done} run{'s' * (done != 1)} done", *([f"▶ {len(sweep.live)} at work"] if sweep.live else [])]
        words += [f"{count} {state}" for state, count in states.items() if count]
        width, search = chart.outer_size.width, f"{sweep.search} search"
        title = fit(["best val loss so far", sweep.unit, sweep.name], width)
        entitle(chart, title, fit([*words, search, _which(self._found, sweep)], width))

    def _draw_scatter(self, sweep: SweepView) -> None:
        chart, found = self.query_one("#sweep-scatter", Chart), sweep.over_seeds(self._setting)
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found)
        values = sorted(found) if numbers else list(found)
        places = [float(value) for value in values] if numbers else [float(at) for at in range(1, len(values) + 1)]
        log = numbers and bool(places) and places[0] > 0 and places[-1] / places[0] >= DECADE
        spread = [
            (x, y)
            for x, value in zip(places, values, strict=True)
            for y in (min(found[value]), max(found[value]), math.nan)
        ]
        means = [sum(found[value]) / len(found[value]) for value in values]
        layers = []  # one mark a column of dots is drawn of each series: runs at one value are one each
        for rank in range(min(max(map(len, found.values()), default=0), MOST_MARKS)):
            there = [
                (x, found[value][rank]) for x, value in zip(places, values, strict=True) if rank < len(found[value])
            ]
            layers.append(_series("", [x for x, _ in there], [y for _, y in there], "val", mark="◆"))
        chart.show(
            [
                _series("", [x for x, _ in spread], [y for _, y in spread], "raw", faint=True),
                _series("", places, means, "val"),
                *layers,
            ],
            Options(log_x=log, axis=Axis(kind="number" if numbers else "count"), robust=False),
        )
        title = fit([f"val loss by {label_of(self._setting)}"], chart.outer_size.width)
        names = [] if numbers else [f"{at} {_word(value)}" for at, value in enumerate(values, 1)]
        entitle(chart, title, fit([*names, "◆ a run", "line: mean", "band: spread"], chart.outer_size.width))

    def _draw_table(self, sweep: SweepView) -> None:
        frame = self.query_one("#sweep-table-frame")
        entitle(frame, "runs, the best first")
        room = max(frame.size.width - 4, 20)
        self.query_one("#sweep-table", Static).update(Content("\n").join(_lines(_rows(sweep), room)))

    def copies(self) -> dict[str, str]:
        """The table, its cells between tabs; the name of the best run. Without a sweep: a command that begins one."""
        if (sweep := self.sweep) is None:
            run = self.context.highlighted
            known = run.record if run else None
            return {"command of a sweep": _command(known.config, self.context.folder.path)} if known else {}
        return {"table": "\n".join("\t".join(row) for row in _rows(sweep)), "name of the best run": sweep.best or ""}

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Most need a sweep; the next one needs a second, the best run that there is one."""
        if action == "next":
            return len(self._found) > 1
        if action in ("open", "mark"):
            return self.sweep is not None and self.sweep.best is not None
        return self.sweep is not None

    def action_setting(self) -> None:
        """Show the losses against the next setting."""
        if (sweep := self.sweep) and sweep.settings:
            self._setting = following(self._setting, sweep.settings)
            self._draw_scatter(sweep)

    def action_next(self) -> None:
        """Show the next sweep."""
        if sweep := self.sweep:
            self._name = following(sweep.name, [one.name for one in self._found])
            self._draw()

    def action_open(self) -> None:
        """Open the best run."""
        best = self.context.folder.named([self.sweep.best]) if self.sweep and self.sweep.best else []
        if best:
            self.context.open_run(best[0].paths)

    def action_mark(self) -> None:
        """Mark the best runs."""
        if sweep := self.sweep:
            best = [one.name for one in sweep.ranked if one.loss is not None][:5]
            self.context.folder.marked.update(dict.fromkeys(best))
            self.context.notice(f"marked the {len(best)} best runs: 5 compares them")

    def action_scroll_up(self) -> None:
        """Scroll the table up."""
        self.query_one("#sweep-table-frame").scroll_up(animate=False)

    def action_scroll_down(self) -> None:
        """Scroll the table down."""
        self.query_one("#sweep-table-frame").scroll_down(animate=False)


def _series(name: str, x: Sequence[float], y: Sequence[Any], style: str, mark: str = "", faint: bool = False) -> Series:
    return Series(name, Curve.of(list(x)), Curve.of(list(y)), style, mark, faint)


def _command(config: RunConfig, folder: Path) -> str:
    """The command of a sweep over learning rates and seeds, its other settings those of a run."""
    words = arguments(config)
    for varied in ("--lr", "--seed"):
        if varied in words:
            at = words.index(varied)
            words[at : at + 2] = []
    rates = ",".join(f"{factor * config.train.lr:.2g}" for factor in AROUND)
    return shlex.join(["tuirnn", "sweep", "--runs", str(folder), "--lr", rates, "--seed", "0,1", *words])


def _rows(sweep: SweepView) -> list[tuple[str, ...]]:
    """The table: titles, then the runs, the best first."""
    rows = [("", "val loss", *(name.replace("_", " ") for name in sweep.settings), "at step", "seconds", "state")]
    for one in sweep.ranked:
        loss = "–" if one.loss is None else text.loss(one.loss) + " leaky" * one.leaky
        values = (_word(one.values.get(name)) for name in sweep.settings)
        star = "★" if one.name == sweep.best else ""
        rows.append((star, loss, *values, text.count(one.at_step), text.count(one.seconds), _state(one)))
    return rows


def _which(found: Sequence[SweepView], sweep: SweepView) -> str:
    return f"{found.index(sweep) + 1} of {len(found)} sweeps: o" if len(found) > 1 else ""


def _word(value: Any) -> str:
    shown = "–" if value is None else str(value).lower() if isinstance(value, bool) else (
        f"{value:g}" if isinstance(value, float) else str(value)
    )  # fmt: skip
    return text.visible_line(shown)


def _state(one: Trial) -> str:
    return text.visible_line(f"{one.state}: {one.why}" if one.why else one.state)


def _importance(sweep: SweepView, width: int) -> Content:
    """A bar for each setting: the share of the variance of the losses that it explains alone."""
    if not sweep.importance:
        return Content.styled("known after a few whole runs", "$text-muted")
    wide = max(map(len, sweep.importance))
    lines = []
    for name, share in sorted(sweep.importance.items(), key=lambda pair: -pair[1]):
        lines.append(
            Content.assemble(
                (name.replace("_", " ").ljust(wide), ""), "  ", (bar(share, max(4, width - wide - 8)), "$accent"),
                (f" {100 * share:3.0f} %", "bold"),
            )
        )  # fmt: skip
    note = "share of the differences between losses that a setting explains alone"
    return Content("\n").join([*lines, Content(""), Content.styled(note, "$text-muted")])


def _lines(rows: Sequence[Sequence[str]], room: int) -> list[Content]:
    """Aligned rows; columns at the right that do not fit are left out whole, the last one is cut between words."""
    widths = [min(max(map(len, column)), WIDEST) for column in zip(*(row[:-1] for row in rows), strict=True)]
    shown, used = [], 0
    for k, width in enumerate(widths):
        if used + width + 2 > room:
            break
        shown.append(k)
        used += width + 2
    left = room - used if len(shown) == len(widths) else 0
    lines = []
    for number, row in enumerate(rows):
        cells = "  ".join(
            (row[k] if len(row[k]) <= widths[k] else row[k][: widths[k] - 1] + "…").rjust(widths[k]) for k in shown
        )
        if left >= STATE:
            cells += f"  {whole_words(row[-1], left)[0]}"
        lines.append(Content.styled(cells, "$text-muted" if number == 0 else "bold $text-success" if row[0] else ""))
    return lines
