"""A trial: some real steps and an evaluation, timed before a run starts. A program of its own, see `tuirnn.trial`.

    python -m tuirnn.training.trial < CONFIG.json

trains in a temporary folder, and writes a line of JSON when it knows what a step takes, and another one when it knows
what an evaluation takes.
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.runs.control import Request, send
from tuirnn.runs.layout import RunPaths
from tuirnn.training import events
from tuirnn.training.launch import start

MINUTES = 60.0
"""Limit of the trial, which ends itself long before."""

ENOUGH, FEWEST = 0.6, 3
"""Seconds that steps are timed for, and steps at least; after the first one, which prepares what the others use."""

NAME = "trial"


class TrialEnded(Exception):
    """What was to be timed has been."""


class Timer:
    """Receives the events of the trial and times the steps; then it requests an evaluation, and times that.

    Args:
        run: of the trial.

    Attributes:
        steps: seconds of each.
        evaluation: seconds of the first one, with its checkpoint; 0 before.
    """

    def __init__(self, run: RunPaths) -> None:
        self._run = run
        self.steps: list[float] = []
        self.evaluation = 0.0
        self._last = 0.0
        self._evaluated = False

    @property
    def step(self) -> float:
        """Seconds of a step; 0 before there was a second one."""
        return sum(self.steps) / len(self.steps) if self.steps else 0.0

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.Evaluation):
            self._evaluated = True
        if not isinstance(event, events.Step):
            return
        now = time.perf_counter()
        if self._last and self._evaluated:
            self.evaluation = self.evaluation or now - self._last
        elif self._last and not self._known:
            self.steps.append(now - self._last)
            if self._known:
                self.tell()
                send(self._run, Request("evaluate"))
        self._last, self._evaluated = now, False
        if self.evaluation and self._known:
            raise TrialEnded

    def tell(self) -> None:
        """Write what is known."""
        print(json.dumps({"step": self.step, "evaluation": self.evaluation}), flush=True)

    @property
    def _known(self) -> bool:
        """Whether steps have been timed for long enough."""
        return len(self.steps) >= FEWEST and sum(self.steps) >= ENOUGH


def main() -> int:
    """Read the settings, time, write; returns the exit code."""
    try:
        config = RunConfig.from_json(json.load(sys.stdin), where="standard input")
        config = config.replace(minutes=MINUTES, steps=0, epochs=0.0, patience=0, on_nan="stop")
        with tempfile.TemporaryDirectory() as folder:
            timer = Timer(RunPaths(Path(folder) / NAME))
            with contextlib.suppress(TrialEnded):
                start(config, Path(folder), NAME, timer)
            timer.tell()
    except TuirnnError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
