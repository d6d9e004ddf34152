"""Runs of a sweep on the machines of a Ray cluster.

All of them must see the folder of runs and the data under the same paths, and have this tuirnn installed. A worker
trains in a process of its own, as this machine would; when it is lost, the run goes on elsewhere from its checkpoint.
"""

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuirnn.errors import ConfigError, one_line
from tuirnn.sweeping.attempt import POLL, Attempt, Ending, Job

MOST_LOST = 10
"""Workers that one run may lose until it counts as failed."""

TO_END = 120.0
"""Seconds for a cluster's trainers to write their checkpoints after Ctrl-C."""


class OnRay:
    """A Ray cluster.

    Args:
        address: 'ray' (the cluster of RAY_ADDRESS or of `ray start` on this machine, else one is started here), or
            'ray://HOST:PORT', the client's port of a cluster.
        cpus, gpus: what each run reserves; `cpus` is its number of threads as well.
        say: receives a line about each worker that is lost.
    Raises:
        ConfigError: Ray is not installed, the cluster does not answer, or no machine of it has as much.
    """

    def __init__(self, address: str, cpus: int, gpus: float, say: Callable[[str], None]) -> None:
        self._ray, self._say = _connected(address), say
        self._threads = os.environ.get("OMP_NUM_THREADS", str(cpus))
        self._jobs: dict[Any, Job] = {}
        self._lost: Counter[str] = Counter()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        fits = [min(node.get("CPU", 0) // cpus, node.get("GPU", 0) // gpus if gpus else 1e9) for node in nodes]
        self.room = int(sum(fits))
        if not self.room:
            self._ray.shutdown()
            raise ConfigError(f"no machine of the cluster has {cpus} cores" + f" and {gpus:g} GPUs" * bool(gpus))
        self.nodes = len(nodes)
        self._train = self._ray.remote(_train).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)

    def start(self, job: Job) -> None:
        """Begin a run, or go on with it, wherever there is room."""
        self._jobs[self._train.remote(job, self._threads)] = job

    def poll(self) -> list[Ending]:
        """The runs that have ended since the last call; those of lost workers are started again."""
        if not self._jobs:
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        return [ending for reference in ready if (ending := self._ended(reference, self._jobs.pop(reference)))]

    def _ended(self, reference: Any, job: Job) -> Ending | None:
        try:
            ending: Ending = self._ray.get(reference)
            return ending
        except self._ray.exceptions.RayTaskError as error:
            return Ending(job.name, f"its worker failed: {one_line(error.cause, 200)}", again=False)
        except self._ray.exceptions.RayError as error:
            self._lost[job.name] += 1
            if self._lost[job.name] > MOST_LOST:
                return Ending(job.name, f"{MOST_LOST + 1} workers were lost, the last by {type(error).__name__}")
            self._say(f"{job.name} has lost its worker ({type(error).__name__}) and goes on from its checkpoint")
            self.start(job)
            return None

    def close(self) -> None:
        """End what is still at work, at a checkpoint, and leave the cluster."""
        for reference in self._jobs:
            self._ray.cancel(reference)
        if self._jobs:
            self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=TO_END)
        self._ray.shutdown()


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its new behaviour, without its warning
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError("--on ray needs Ray; install it with: pip install 'tuirnn[ray]'") from None
    try:
        ray.init(None if address == "ray" else address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"no Ray cluster answers at {one_line(address, 80)}: {one_line(error, 200)}") from None
    return ray


def _train(job: Job, threads: str) -> Ending:
    """Train one run to its end; runs on the cluster."""
    if not Path(job.folder).is_dir():
        where = f"{one_line(job.folder, 200)} is not on {socket.gethostname()}"
        return Ending(job.name, f"{where}; put the runs where all machines see them (--runs)", again=False)
    attempt = Attempt(job, {**os.environ, "OMP_NUM_THREADS": threads})
    try:
        while (ending := attempt.poll()) is None:
            time.sleep(POLL)
        return ending
    finally:
        attempt.terminate()
        attempt.wait()
