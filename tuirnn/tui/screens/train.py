"""The Train tab: one run as it learns, and the keys that steer it."""

import math
from pathlib import Path

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from tuirnn.errors import TuirnnError
from tuirnn.runs import control, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import Status
from tuirnn.tui import text
from tuirnn.tui.feed import Evaluation, Snapshot
from tuirnn.tui.plot import Options, Series
from tuirnn.tui.screens.base import POLL, FeedRead, Follower, Tab
from tuirnn.tui.screens.dialogs import Confirm
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.prose import Guesses, Prose
from tuirnn.tui.widgets.vitals import Vitals

SMOOTHINGS: tuple[float | None, ...] = (None, 0.8, 0.95, 0.99, 0.0)
"""None: what suits the length of the curve."""

WIDE = 100
"""Width from which both texts are shown side by side."""

ZOOMS = (1.0, 0.5, 0.2)
LR_UP, LR_DOWN = 1.25, 0.8

LIVE_ONLY = {"pause", "faster", "slower", "evaluate", "checkpoint", "stop"}


class TrainTab(Tab):
    """Chart, figures, what the network writes and what it gets wrong."""

    def compose(self) -> ComposeResult:
        """Chart and figures above, the two texts below."""
        with Horizontal(id="train-top"):
            chart = Chart("waiting for the first step", id="train-chart")
            yield chart
            vitals = Vitals(id="train-vitals")
            vitals.border_title = "now"
            yield vitals
        with Horizontal(id="train-texts"):
            yield Prose(id="train-sample")
            wrong = Guesses(id="train-wrong")
            wrong.border_title = "what it still gets wrong"
            yield wrong

    def on_mount(self) -> None:
        """Nothing is followed yet."""
        self.paths: RunPaths | None = None
        self._summary: RunSummary | None = None
        self._at: int | None = None  # step of the evaluation on show; None: the newest
        self._shown: tuple[int, Evaluation | None] = (-1, None)
        self._log, self._zoom = False, 0
        self._follower = Follower(self, self._draw)
        self.set_interval(POLL, self._tick)
        self._draw()

    # ── following ─────────────────────────────────────────────────────────────

    def open_run(self, paths: RunPaths) -> None:
        """Show this run."""
        if self.paths != paths:
            self.paths, self._summary, self._at, self._shown = paths, None, None, (-1, None)
            self.runs_changed(self.dashboard.runs)
        self._follower.follow(paths)

    def close_run(self) -> None:
        """Show no run."""
        self.paths, self._summary = None, None
        self._follower.follow(None)
        self._draw()

    def opened(self) -> None:
        """Without a run of its own, the tab shows the one under the cursor."""
        if self.paths is None and (run := self.dashboard.highlighted):
            self.open_run(run.paths)
        self._tick()

    def _tick(self) -> None:
        if self.is_open:
            self._follower.poll()

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """The status of the run may have changed."""
        new = next((run for run in runs if run.paths == self.paths), None)
        if new is not self._summary:
            known, self._summary = self._summary is not None, new
            if not known:
                self._draw()  # what a token is called stands in the record
            self.query_one(Vitals).show(new.status if new else None)
            self.app.refresh_bindings()

    def on_feed_read(self, message: FeedRead) -> None:
        """More of the logs is there."""
        self._follower.received(message)

    @property
    def status(self) -> Status:
        """The run's status as last seen."""
        return self._summary.status if self._summary else Status(state="stale")

    # ── drawing ───────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        snapshot = self._follower.snapshot
        self._draw_chart(snapshot)
        self._draw_texts(snapshot)

    def _draw_chart(self, snapshot: Snapshot) -> None:
        beta = self.dashboard.smoothing
        series = [Series("train", snapshot.train_step, snapshot.train_loss, "raw", faint=beta != 0)]
        if beta != 0:
            series.append(Series("smoothed", snapshot.train_step, snapshot.smooth, "train"))
        series.append(Series("validation", snapshot.val_step, snapshot.val_loss, "val", mark="◆"))
        if np.isfinite(snapshot.val_loss).any():
            best = int(np.nanargmin(np.where(np.isfinite(snapshot.val_loss), snapshot.val_loss, np.nan)))
            series.append(
                Series("best", snapshot.val_step[best : best + 1], snapshot.val_loss[best : best + 1], "best", mark="★")
            )
        last = float(snapshot.train_step[-1]) if len(snapshot.train_step) else 0.0
        x_from = -math.inf if self._zoom == 0 else last * (1 - ZOOMS[self._zoom])
        cursor = math.nan if self._at is None else float(self._at)
        chart = self.query_one("#train-chart", Chart)
        chart.show(series, Options(self._log, x_from, cursor), self._reading(snapshot))
        unit = f"nats/{self._summary.record.vocab.kind}" if self._summary and self._summary.record else "nats"
        name = self.paths.name if self.paths else "no run"
        chart.border_title = Content(f"{name} · loss ({unit})")
        zoom = ("all steps", "last half", "last fifth")[self._zoom]
        damaged = f" · {snapshot.damaged} damaged lines" if snapshot.damaged else ""
        smooth, axis = "auto" if beta is None else beta, "log y" if self._log else "linear y"
        chart.border_subtitle = Content(f"smooth {smooth} · {axis} · {zoom}{damaged}")

    def _reading(self, snapshot: Snapshot) -> list[str]:
        """The figures at the cursor."""
        if self._at is None:
            return []
        lines = [f"step {text.count(self._at)}"]
        for name, steps, values in (
            ("train", snapshot.train_step, snapshot.smooth),
            ("val", snapshot.val_step, snapshot.val_loss),
        ):
            near = int(np.searchsorted(steps, self._at))
            if near < len(steps):
                lines.append(f"{name} {text.loss(float(values[near]))}")
        return lines

    def _draw_texts(self, snapshot: Snapshot) -> None:
        evaluations = snapshot.evaluations
        chosen = next((one for one in evaluations if one.step == self._at), None) or (
            evaluations[-1] if evaluations else None
        )
        sample = self.query_one("#train-sample", Prose)
        total = evaluations[-1].step if evaluations else 0
        where = f" · ◀ step {text.count(chosen.step)} of {text.count(total)} ▶" if chosen else ""
        title = f"what it writes{where}"
        if str(sample.border_title) != title:
            sample.border_title = Content(title)
        if self._shown == (snapshot.generation, chosen):
            return
        self._shown = (snapshot.generation, chosen)
        written = chosen.text.lstrip("\n") if chosen else ""
        waiting = [("nothing yet: it writes at each evaluation; v asks for one now", "dim")]
        sample.show([(written, "plain")] if written else waiting)
        mistakes = chosen.mistakes if chosen else None
        self.query_one(Guesses).show(
            *((mistakes.symbols, mistakes.nats, mistakes.guesses) if mistakes else ((), (), ()))
        )

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Requests need a trainer; a resume needs that there is none."""
        if action in LIVE_ONLY:
            return self._summary is not None and self.status.live
        if action == "resume":
            return self._summary is not None and self.status.state in ("stopped", "stale", "failed", "done")
        if action in ("earlier", "later", "newest"):
            return len(self._follower.snapshot.evaluations) > 1
        if action == "panel":
            return self.app.size.width < WIDE
        return self.paths is not None or action in ("new",)

    def _ask(self, kind: str, said: str, value: float = 0.0) -> None:
        if self.paths is None:
            return
        try:
            control.send(self.paths, control.Request(kind, value))
        except OSError as error:
            self.dashboard.say(f"cannot reach the trainer: {error.strerror}", error=True)
        else:
            self.dashboard.say(said)

    def do_pause(self) -> None:
        """Hold, or go on."""
        if self.status.state == "paused":
            self._ask("resume", "asked to go on")
        else:
            self._ask("pause", "asked to pause after this step")

    def do_faster(self) -> None:
        """Raise the learning rate."""
        self._ask("lr", f"learning rate × {LR_UP}", LR_UP)

    def do_slower(self) -> None:
        """Lower the learning rate."""
        self._ask("lr", f"learning rate × {LR_DOWN}", LR_DOWN)

    def do_evaluate(self) -> None:
        """Evaluate now."""
        self._ask("evaluate", "asked for an evaluation")

    def do_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._ask("checkpoint", "asked for a checkpoint")

    def do_stop(self) -> None:
        """Ask, then stop."""
        if self.paths is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask("stop", "asked to stop")

        self.app.push_screen(
            Confirm(f"Stop run '{self.paths.name}'?", "It writes a checkpoint and ends; resume later with R.", "stop"),
            answered,
        )

    def do_resume(self) -> None:
        """Go on with an ended run."""
        if self.paths is not None:
            paths = self.paths
            self.dashboard.say(f"resuming {paths.name} …")
            self.run_worker(lambda: self._resume(paths), thread=True, group="resume", exclusive=True)

    def _resume(self, paths: RunPaths) -> None:
        try:
            detached.resume(RunPaths(Path(paths.root).resolve()), [])
        except TuirnnError as error:
            self.app.call_from_thread(self.dashboard.say, str(error), error=True)
        else:
            self.app.call_from_thread(self.dashboard.say, f"{paths.name} goes on")

    def do_earlier(self) -> None:
        """One evaluation back."""
        self._scrub(-1)

    def do_later(self) -> None:
        """One evaluation on."""
        self._scrub(1)

    def do_newest(self) -> None:
        """Follow the newest evaluation."""
        self._at = None
        self._draw()

    def _scrub(self, by: int) -> None:
        steps = [one.step for one in self._follower.snapshot.evaluations]
        if not steps:
            return
        now = steps.index(self._at) if self._at in steps else len(steps) - 1
        to = min(max(now + by, 0), len(steps) - 1)
        self._at = None if to == len(steps) - 1 else steps[to]
        self._draw()

    def do_panel(self) -> None:
        """The other of the two texts, where there is room for one."""
        self.toggle_class("-wrong")

    def do_scroll_up(self) -> None:
        """Scroll the texts up."""
        for panel in self.query("Lines"):
            panel.scroll_up(animate=False)

    def do_scroll_down(self) -> None:
        """Scroll the texts down."""
        for panel in self.query("Lines"):
            panel.scroll_down(animate=False)

    def do_log(self) -> None:
        """Linear or logarithmic loss."""
        self._log = not self._log
        self._draw()

    def do_zoom(self) -> None:
        """Show fewer of the steps, or all again."""
        self._zoom = (self._zoom + 1) % len(ZOOMS)
        self._draw()

    def do_smooth(self) -> None:
        """The next smoothing."""
        self.dashboard.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.dashboard.smoothing) + 1) % len(SMOOTHINGS)]
        if self._follower.feed:
            self._follower.feed.smoothed(self.dashboard.smoothing)
        self._draw()

    def do_generate(self) -> None:
        """Write with this run."""
        if self.paths:
            self.dashboard.generate_with(self.paths.name)

    def do_new(self) -> None:
        """The form for a new run."""
        self.dashboard.new_run()
