"""Optuna with pruning against a grid: `OMP_NUM_THREADS=1 python benchmarks/search.py`.

Trains a grid of learning rates and widths on a small text (the documents of this repository), then lets a Gaussian
process, or TPE, and successive halving search the same box. Prints when the search had found a loss as good as the
grid's best.

Times are processor seconds of the trainings, which other work on the machine does not lengthen as much as it does the
clock's. Runs are forked from a process that has imported PyTorch, so that its start, two seconds of each run whatever
its length, does not hide the difference; `--processes` starts them as `tuirnn sweep` does.
"""

import argparse
import math
import os
import resource
import tempfile
from pathlib import Path

from tuirnn.config import RunConfig
from tuirnn.runs import detached
from tuirnn.sweeping.attempt import Ending, Job
from tuirnn.sweeping.engines import Engine, Local
from tuirnn.sweeping.loop import Limits, Sweep
from tuirnn.sweeping.ordered import Ordered
from tuirnn.sweeping.space import parse
from tuirnn.training import launch

ROOT = Path(__file__).parent.parent

GRID, RANGE = "1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1", "log:1e-4..3e-1"
"""Learning rates from far too low to far too high: the best one lies between them, where a search can come to it."""


class Forked:
    """Trains each run in a fork of this process.

    Args:
        order: the sweep, for the settings of its runs.
    """

    def __init__(self, order: Ordered) -> None:
        self.order = order
        self.plan = order.plan()
        self._running: dict[int, str] = {}

    def start(self, job: Job) -> None:
        """Begin a run."""
        config = next(point.config for point in self.plan.points if point.name == job.name)
        assert list(job.words) == detached.arguments(config)
        pid = os.fork()
        if not pid:
            outcome = launch.start(config, self.order.folder, job.name, lambda event: None)
            os._exit(0 if outcome in ("done", "request") else 1)
        self._running[pid] = job.name

    def poll(self) -> list[Ending]:
        """The runs that have ended since the last call."""
        found = []
        for pid in list(self._running):
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                found.append(Ending(self._running.pop(pid), f"it ended with {code}" if code else ""))
        return found

    def close(self) -> None:
        """Nothing is at work after the last run."""


def spent() -> float:
    """Processor seconds of all trainings that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(order: Ordered, processes: bool) -> tuple[list[tuple[float, float]], float]:
    """(processor seconds, best loss so far) at the end of each run, and the seconds of the whole sweep."""
    began, course = spent(), []
    forked = Forked(order)
    engine: Engine = Local(1) if processes else forked

    def say(line: str) -> None:
        print(f"  {spent() - began:4.0f} s  {line}", flush=True)
        if ": " in line and " after " in line:
            loss = float(line.split(": ")[1].split()[0])
            course.append((spent() - began, min(loss, course[-1][1] if course else math.inf)))

    failed = Sweep(forked.plan, engine, order.folder, Limits(1), say).run()
    if failed:
        raise SystemExit(f"runs failed: {failed}")
    return course, spent() - began


def main() -> None:
    """Train both, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--search", default="gp", choices=("gp", "tpe"))
    parser.add_argument("--search-seeds", type=int, default=2, help="searches, each with a seed of its own")
    parser.add_argument("--processes", action="store_true", help="start each run as the command does")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "text.txt"
        text.write_text("\n".join(path.read_text() for path in sorted(ROOT.glob("docs/**/*.md"))))
        base = RunConfig().replace(
            sources=(str(text),), steps=asked.steps, eval_every=asked.steps // 12, embed=16, batch_size=16, seq_len=32,
            sample_length=0, device="cpu", checkpoint_every=100_000, fraction=0.25,
        )  # fmt: skip
        axes = {"lr": parse("lr", GRID), "hidden": parse("hidden", "32,64,128")}
        grid = Ordered(base=base, axes=axes, stem="grid", folder=Path(scratch) / "runs", jobs=1)
        course, whole = measured(grid, asked.processes)
        best = course[-1][1]
        print(f"grid: {len(course)} runs, best loss {best:.4f}, {whole:.0f} s", flush=True)
        axes["lr"] = parse("lr", RANGE)
        for seed in range(asked.search_seeds):
            stem, runs = f"{asked.search}{seed}", Path(scratch) / "runs"
            search = Ordered(
                base=base, axes=axes, stem=stem, folder=runs, search=asked.search, seed=seed, trials=asked.trials,
                prune="halving", jobs=1,
            )  # fmt: skip
            found, took = measured(search, asked.processes)
            good = next((seconds for seconds, loss in found if loss <= best), math.nan)
            print(
                f"{stem}, with halving: {len(found)} runs, best loss {found[-1][1]:.4f}, {took:.0f} s "
                f"({100 * took / whole:.0f} % of the grid); as good as the grid after {good:.0f} s "
                f"({100 * good / whole:.0f} %)",
                flush=True,
            )


if __name__ == "__main__":
    main()
