"""The keys that steer a training: requests to its process, the end of it, and its going on."""

from pathlib import Path

from tuirnn import text
from tuirnn.errors import RunError, TuirnnError
from tuirnn.runs import control, liveness
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import Status
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Confirm

LR_UP, LR_DOWN = 1.25, 0.8

LIVE_ONLY = {"pause", "faster", "slower", "evaluate", "checkpoint"}
"""Requests, for which there has to be a trainer."""


class Steering(Tab):
    """A tab that is about one run."""

    paths: RunPaths | None = None
    summary: RunSummary | None = None

    @property
    def status(self) -> Status:
        """The run's status as last seen."""
        return self.summary.status if self.summary else Status(state="stale")

    def can(self, action: str) -> bool:
        """Requests need a trainer; a resume needs that there is none."""
        if action in LIVE_ONLY:
            return self.summary is not None and self.status.live
        if action == "resume":
            return self.summary is not None and not self.status.live
        return True

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
            self._ask("pause", "asked to pause after this step; it stays in memory, p goes on")

    def do_faster(self) -> None:
        """Raise the learning rate."""
        self._ask("lr", f"learning rate × {LR_UP} from the next step on: {self._rate(LR_UP)}", LR_UP)

    def do_slower(self) -> None:
        """Lower the learning rate."""
        self._ask("lr", f"learning rate × {LR_DOWN} from the next step on: {self._rate(LR_DOWN)}", LR_DOWN)

    def _rate(self, factor: float) -> str:
        return f"about {text.rate(self.status.lr * factor)}"

    def do_evaluate(self) -> None:
        """Evaluate now."""
        self._ask("evaluate", "asked to evaluate and write a sample; the training waits for it a moment")

    def do_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._ask("checkpoint", "asked for a checkpoint; R can go on from it, g writes with it")

    def do_stop(self) -> None:
        """Ask, then stop; say why not where nothing is running."""
        if self.paths is None:
            return
        if not self.status.live:
            self.dashboard.say(f"{self.paths.name} is not running ({self.status.state}); R resumes it")
            return
        self.app.push_screen(
            Confirm(
                f"Stop run '{self.paths.name}'?",
                "It writes a checkpoint and ends; resume later with R. (To leave it running, close the dashboard "
                "with q: it trains on.)",
                "stop",
            ),
            lambda yes: self._ask("stop", "asked to stop") if yes else None,
        )

    def do_kill(self) -> None:
        """Ask, then kill; say why not where there is nothing of this run to kill."""
        if self.paths is None:
            return
        paths, status = self.paths, self.status
        try:
            liveness.check_own(paths, status)
        except RunError as error:
            self.dashboard.say(str(error))
            return
        last = text.count(self._last_checkpoint())
        self.app.push_screen(
            Confirm(
                f"Kill run '{paths.name}'?",
                f"Process {status.pid} ends at once, without a checkpoint: what it learned after step {last} is "
                "lost. Resume from there with R.",
                "kill",
            ),
            lambda yes: self._kill(paths, status) if yes else None,
        )

    def _last_checkpoint(self) -> int:
        """Step of the last checkpoint; 0 where there is none."""
        assert self.paths is not None
        try:
            return int((self.paths.root / "last").read_text()[:40].strip().removeprefix("step_"))
        except (OSError, ValueError):
            return 0

    def _kill(self, paths: RunPaths, status: Status) -> None:
        try:
            liveness.kill(paths, status)
        except RunError as error:
            self.dashboard.say(str(error), error=True)
        else:
            self.dashboard.say(f"process {status.pid} is killed; R resumes from the last checkpoint")
            self.dashboard.scan()

    def do_resume(self) -> None:
        """Go on with an ended run."""
        if self.paths is not None:
            paths = self.paths
            self.dashboard.say(f"resuming {paths.name} …")
            self.run_worker(lambda: self._resume(paths), thread=True, group="resume", exclusive=True)

    def _resume(self, paths: RunPaths) -> None:
        from tuirnn.runs import detached

        try:
            detached.resume(RunPaths(Path(paths.root).resolve()), [])
        except TuirnnError as error:
            self.app.call_from_thread(self.dashboard.say, str(error), error=True)
        else:
            self.app.call_from_thread(self.dashboard.say, f"{paths.name} goes on")
