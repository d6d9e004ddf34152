"""The actions that control a training: requests to its process, stopping, killing and resuming it."""

from tuirnn import text
from tuirnn.errors import RunError
from tuirnn.runs import control, liveness
from tuirnn.runs.checkpoint import pointed, step_of
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import Status
from tuirnn.tui.background_actions import BackgroundActions
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Confirm

LR_UP, LR_DOWN = 1.25, 0.8
"""Factors of the learning rate."""

LIVE_ONLY = {"pause", "faster", "slower", "evaluate", "checkpoint", "stop", "kill"}
"""Actions that need a live trainer."""


class Steering(Tab):
    """A tab about one run, which can be controlled.

    Attributes:
        paths: the run; None for none.
        summary: its record and status as last read.
    """

    paths: RunPaths | None = None
    summary: RunSummary | None = None

    @property
    def status(self) -> Status:
        """The status of the run as last read."""
        return self.summary.status if self.summary else Status(state="stale")

    def can(self, action: str) -> bool:
        """Requests need a live trainer; resuming needs that there is none."""
        if action in LIVE_ONLY:
            return self.summary is not None and self.status.live
        if action == "resume":
            return self.summary is not None and not self.status.live
        return True

    def _request(self, kind: str, notice: str, value: float = 0.0) -> None:
        if self.paths is None:
            return
        try:
            control.send(self.paths, control.Request(kind, value))
        except OSError as error:
            self.context.notice(f"cannot send the request to the trainer: {error.strerror}", error=True)
        else:
            self.context.notice(notice)

    def action_pause(self) -> None:
        """Request a pause, or the end of the pause."""
        if self.status.state == "paused":
            self._request("resume", "requested: continue training")
        else:
            self._request("pause", "requested: pause after this step; the trainer stays in memory, p continues")

    def action_faster(self) -> None:
        """Request a higher learning rate."""
        self._change_rate(LR_UP)

    def action_slower(self) -> None:
        """Request a lower learning rate."""
        self._change_rate(LR_DOWN)

    def _change_rate(self, factor: float) -> None:
        rate = text.rate(self.status.lr * factor)
        self._request("lr", f"requested: learning rate × {factor}, about {rate}, from the next step", factor)

    def action_evaluate(self) -> None:
        """Request an evaluation."""
        self._request("evaluate", "requested: evaluation and sample; training pauses for it")

    def action_checkpoint(self) -> None:
        """Request a checkpoint."""
        self._request("checkpoint", "requested: checkpoint; g generates with it")

    def action_stop(self) -> None:
        """Ask for confirmation, then request the end of the training."""
        if self.paths is None:
            return
        if not self.status.live:
            self.context.notice(f"{self.paths.name} is not running ({self.status.state}); R resumes it")
            return
        self.app.push_screen(
            Confirm(
                f"Stop run '{self.paths.name}'?",
                "It writes a checkpoint and ends; R resumes it later. (If it should continue, close the dashboard "
                "with q instead: the training continues.)",
                "stop",
            ),
            lambda yes: self._request("stop", "requested: stop") if yes else None,
        )

    def action_kill(self) -> None:
        """Ask for confirmation, then kill the trainer; a notice if it is not this run's process."""
        if self.paths is None:
            return
        paths, status = self.paths, self.status
        try:
            liveness.check_own(paths, status)
        except RunError as error:
            self.context.notice(str(error))
            return
        checkpoint = pointed(paths, "last")
        last = text.count(step_of(checkpoint) if checkpoint else 0)
        self.app.push_screen(
            Confirm(
                f"Kill run '{paths.name}'?",
                f"Process {status.pid} ends immediately, without a checkpoint; everything after step {last} is lost. "
                "R resumes from that step.",
                "kill",
            ),
            lambda yes: self._kill(paths, status) if yes else None,
        )

    def _kill(self, paths: RunPaths, status: Status) -> None:
        try:
            liveness.kill(paths, status)
        except RunError as error:
            self.context.notice(str(error), error=True)
        else:
            self.context.notice(f"killed process {status.pid}; R resumes from the last checkpoint")
            self.context.scan()

    def action_resume(self) -> None:
        """Resume a run that has ended."""
        if self.paths is not None:
            BackgroundActions(self.context).resume(self.paths)
