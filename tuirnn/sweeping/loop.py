"""A sweep at work: runs of a plan on an engine, until there are none left.

Nothing but the run directories remembers which runs are done: giving the same sweep again goes on where it was left.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tuirnn.runs import control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize
from tuirnn.sweeping.attempt import POLL, Ending
from tuirnn.sweeping.engines import Engine, Local
from tuirnn.sweeping.plans import Listed, Plan
from tuirnn.sweeping.points import Point
from tuirnn.sweeping.results import figure

Say = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """How far a sweep goes.

    Attributes:
        jobs: runs side by side.
        retry: further tries of a run that fails.
        fail_fast: whether the first run that fails for good ends the sweep.
        seconds: no run begins later than this; 0: no such limit.
    """

    jobs: int
    retry: int = 0
    fail_fast: bool = False
    seconds: float = 0.0


def train(points: Sequence[Point], folder: Path, jobs: int, say: Say) -> dict[str, str]:
    """Train these runs on this machine; what is done is skipped.

    Args:
        points: the runs.
        folder: of runs.
        jobs: processes side by side; they share the machine's cores.
        say: receives a line whenever a run begins or ends.
    Returns:
        What went wrong, by the run's name.
    """
    return Sweep(Listed(points, folder), Local(jobs), folder, Limits(jobs), say).run()


class Sweep:
    """Runs of a plan on an engine.

    Args:
        plan: which runs.
        engine: trains them.
        folder: of runs.
        limits: how far it goes.
        say: receives a line whenever a run begins or ends.
        changed: called with each run that has ended.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        folder: Path,
        limits: Limits,
        say: Say,
        changed: Callable[[Point], None] = lambda point: None,
    ) -> None:
        self.plan, self.engine, self.folder, self.limits, self.say = plan, engine, folder, limits, say
        self.failed: dict[str, str] = {}
        self._changed = changed
        self._running: dict[str, Point] = {}
        self._again: list[Point] = []
        self._tries: Counter[str] = Counter()
        self._asked: set[str] = set()

    def run(self) -> dict[str, str]:
        """Train until no run is left; Ctrl-C and SIGTERM stop all of them at a checkpoint.

        Returns:
            What went wrong, by the run's name.
        """
        began = time.monotonic()
        with _ended_by_sigterm(), closing(self.plan), closing(self.engine):
            self.plan.begin(self.say)
            self.folder.mkdir(parents=True, exist_ok=True)
            while not (self.failed and self.limits.fail_fast):
                in_time = not self.limits.seconds or time.monotonic() - began < self.limits.seconds
                while in_time and len(self._running) < self.limits.jobs and (point := self._next()):
                    self._running[point.name] = point
                    self.engine.start(point.job(self.folder))
                    self.say(f"{point.name} trains")
                if not self._running:
                    break
                time.sleep(POLL)
                for ending in self.engine.poll():
                    self._ended(ending, self._running.pop(ending.name))
                self._stop_hopeless()
        return self.failed

    def _next(self) -> Point | None:
        return self._again.pop(0) if self._again else self.plan.next()

    def _stop_hopeless(self) -> None:
        for name, point in self._running.items():
            if name not in self._asked and self.plan.is_hopeless(point):
                self._asked.add(name)
                control.send(RunPaths(self.folder / name), control.Request("stop"))

    def _ended(self, ending: Ending, point: Point) -> None:
        name = ending.name
        run = summarize(RunPaths(self.folder / name))
        if ending.why:
            self._went_wrong(ending, point)
            return
        if run.status.state != "done" and name not in self._asked:
            why = f"it was stopped at step {run.status.step:,}"
            self._went_wrong(Ending(name, why, again=False), point)
            return
        pruned = run.status.state != "done"
        self.plan.tell(point, run.status.best_val_loss, pruned=pruned)
        how = f"was pruned at step {run.status.step:,}" if pruned else "is done"
        self.say(f"{name} {how}: {figure(run)} after {run.status.elapsed:,.0f} s")
        self._changed(point)

    def _went_wrong(self, ending: Ending, point: Point) -> None:
        self._tries[point.name] += 1
        tried = self._tries[point.name]
        if ending.again and tried <= self.limits.retry:
            self.say(f"{point.name} failed: {ending.why}; try {tried + 1} of {self.limits.retry + 1} follows")
            self._again.append(point)
            return
        self.failed[point.name] = ending.why
        self.say(f"{point.name} failed: {ending.why}")
        self._changed(point)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that the trainings are told."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
