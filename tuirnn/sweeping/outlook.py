"""What a sweep will take, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn import machine
from tuirnn.config import FIELDS, RunConfig
from tuirnn.errors import DataError
from tuirnn.estimate import earlier_run, estimate, pace_of
from tuirnn.machine import size
from tuirnn.runs.listing import list_runs
from tuirnn.survey import Survey, survey
from tuirnn.sweeping.points import Point, is_done
from tuirnn.text import duration


@dataclass(frozen=True)
class Outlook:
    """What a sweep takes.

    Attributes:
        runs: of the sweep.
        done: of them, already.
        memory: bytes at the peak, of the largest runs side by side, roughly.
        seconds: until the last run of known length ends, if they share the machine as `jobs` says.
        unknown: runs whose length no earlier run tells.
        problem: why the data say nothing; '' where they do.
    """

    runs: int
    done: int
    memory: float
    seconds: float
    unknown: int
    problem: str = ""

    def lines(self, jobs: int) -> list[str]:
        """The same for people."""
        count = f"{self.runs} runs" + f", {self.done} of them done already" * bool(self.done)
        if self.problem:
            return [count, self.problem]
        there = machine.room()
        free = f" of {size(there.free)} free" if there else ""
        tight = "; lower --jobs" if there and self.memory > there.free and jobs > 1 else ""
        time = f"about {duration(self.seconds)} with {jobs} at a time" if self.seconds else ""
        unknown = f"time unknown for {self.unknown} runs: no run like them yet" if self.unknown else ""
        words = ", and ".join(filter(None, (time, unknown))) or "nothing left to train"
        return [count, f"about {size(self.memory)} of memory{free} for {jobs} runs at a time{tight}", words]


def outlook(points: Sequence[Point], folder: Path, jobs: int, trials: int | None = None) -> Outlook:
    """What a sweep takes.

    Args:
        points: its runs, or some like them.
        folder: of runs, which tell how long a step takes.
        jobs: runs side by side.
        trials: how many runs there will be; None: as many as points.
    Raises:
        RunError: a run of another sweep has the name of one.
    """
    left = [point for point in points if not is_done(point, folder)] if trials is None else list(points)
    count = len(points) if trials is None else trials
    earlier, surveys, memories = list_runs(folder), dict[Any, Survey](), []
    lengths: list[float] = []
    for point in left:
        try:
            found = _survey(point.config, surveys)
        except DataError as error:
            return Outlook(count, count - len(left) if trials is None else 0, 0.0, 0.0, 0, str(error))
        config = found.suited(point.config)
        like = earlier_run(config, found.sha256, earlier)
        taken = estimate(config, found, pace_of(like) if like else 0.0)
        memories.append(taken.memory)
        lengths.append(taken.seconds if like or taken.limit else 0.0)
    scale = 1.0 if trials is None else trials / max(1, len(left))
    known = [length for length in lengths if length]
    unknown = round(scale * (len(left) - len(known)))
    seconds = max([scale * sum(known) / jobs, *known])
    done = len(points) - len(left) if trials is None else 0
    return Outlook(count, done, sum(sorted(memories)[-jobs:]), seconds if known else 0.0, unknown)


def _survey(config: RunConfig, known: dict[Any, Survey]) -> Survey:
    """The survey of the data, made once for all runs whose data and batches are alike."""
    flat = config.flat()
    section = {name for name, (home, _) in FIELDS.items() if home == "data"}
    work = {"batch_size", "seq_len", "batches", "processes", "accumulate"}
    key = tuple((name, flat[name]) for name in sorted(section | work))
    if key not in known:
        known[key] = survey(config)
    return known[key]
