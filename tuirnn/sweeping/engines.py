"""Where the runs of a sweep are trained."""

import os
from typing import Protocol

from tuirnn.sweeping.attempt import Attempt, Ending, Job


class Engine(Protocol):
    """Trains runs side by side; stopping one early is a request in its run directory, for every engine alike."""

    def start(self, job: Job) -> None:
        """Begin a run, or go on with it."""

    def poll(self) -> list[Ending]:
        """The runs that have ended since the last call."""

    def close(self) -> None:
        """End what is still at work, at a checkpoint."""


class Local:
    """Processes of this machine.

    Args:
        jobs: runs side by side; they share the machine's cores.
    """

    def __init__(self, jobs: int) -> None:
        self._environment = {**os.environ}
        self._environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
        self._attempts: dict[str, Attempt] = {}

    def start(self, job: Job) -> None:
        """Begin a run, or go on with it."""
        self._attempts[job.name] = Attempt(job, self._environment)

    def poll(self) -> list[Ending]:
        """The runs that have ended since the last call."""
        endings = [ending for attempt in self._attempts.values() if (ending := attempt.poll())]
        for ending in endings:
            del self._attempts[ending.name]
        return endings

    def close(self) -> None:
        """End what is still at work, at a checkpoint."""
        for attempt in self._attempts.values():
            attempt.terminate()
        for attempt in self._attempts.values():
            attempt.wait()
