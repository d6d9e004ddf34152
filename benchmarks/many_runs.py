"""How long 1,000 runs take to be listed, compared and drawn: `python benchmarks/many_runs.py`.

Makes run directories as a trainer leaves them (1,000 records of training and 20 evaluations each) in a temporary
folder and measures, each the best of three in a process of its own or in this one:

    runs ls           the command, and the list alone
    compare           the table of 300 runs, and of all
    sweep.json        reading what came of all runs
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter
from tuirnn.vocab import Vocabulary

SYMBOLS = "".join(chr(code) for code in range(32, 127))


def make(folder: Path, count: int, steps: int) -> list[str]:
    """Finished runs of one sweep; returns their names."""
    names = []
    for number in range(count):
        config = RunConfig().replace(hidden=64 + number % 7 * 32, lr=1e-3 * (1 + number % 11), seed=number)
        record = RunRecord(
            config, Vocabulary.build(SYMBOLS, "char"),
            {"name": "text", "sha256": "0" * 64, "train": 10**6, "val": 10**5, "test": 0}, {}, 1e9 + number, 12_345,
        )  # fmt: skip
        name = f"sweep-{number:03d}"
        with RunWriter.create(folder, name, record) as writer:
            train = [
                {"step": step, "split": "train", "at": 1e9 + step, "loss": 3.0 / step, "lr": 0.1}
                for step in range(1, steps + 1)
            ]
            every = max(1, steps // 20)
            val = [
                {"step": step, "split": "val", "at": 1e9 + step, "loss": 2.0 + number / count, "loss_blocks": 2.1}
                for step in range(every, steps + 1, every)
            ]
            writer.append("metrics", *train, *val)
            best = {"best_val_loss": 2.0 + number / count, "val_loss": 2.0, "best_step": steps}
            writer.status(
                Status(state="done", step=steps, total=steps, progress=1.0, elapsed=20.0, device="cpu", **best)
            )
        names.append(name)
    return names


def best_of(times: int, do: Callable[[], object]) -> float:
    """The shortest of several durations in seconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        found.append(time.perf_counter() - began)
    return min(found)


def command(*words: str) -> Callable[[], object]:
    """A command of tuirnn in a process of its own."""
    return lambda: subprocess.run([sys.executable, "-m", "tuirnn", *words], check=True, stdout=subprocess.DEVNULL)


def compared(folder: Path, names: list[str]) -> object:
    """The table of a comparison."""
    from tuirnn.comparison import Compared, differing, groups, results
    from tuirnn.runlog.feed import RunFeed
    from tuirnn.runs.listing import summarize

    runs = []
    for name in names:
        feed = RunFeed(RunPaths(folder / name))
        while feed.advance():
            pass
        runs.append(Compared(summarize(feed.paths), feed.snapshot))
    return [(results(group), differing(group)) for group in groups(runs)]


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="make the runs here and leave them")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        began = time.perf_counter()
        names = make(folder, asked.count, asked.steps)
        print(f"{asked.count} runs of {asked.steps} steps made in {time.perf_counter() - began:.1f} s")
        measure(folder, names)


def measure(folder: Path, names: list[str]) -> None:
    """The durations, a line each."""
    from tuirnn.runs.listing import list_runs
    from tuirnn.sweeping.points import Point
    from tuirnn.sweeping.results import as_data, trial

    def data() -> object:
        points = [Point(name, RunConfig(), {"seed": at}) for at, name in enumerate(names)]
        return json.dumps(as_data("s", "grid", [trial(point, at, folder) for at, point in enumerate(points)]))

    figures = {
        "runs ls, the command": command("runs", "ls", "--runs", str(folder)),
        "runs ls, the list": lambda: list_runs(folder),
        "compare 300, the command": command("compare", "--runs", str(folder), *names[:300]),
        "compare 300, the table": lambda: compared(folder, names[:300]),
        f"compare {len(names)}, the command": command("compare", "--runs", str(folder), *names),
        "sweep.json of all": data,
    }
    for name, do in figures.items():
        print(f"{name:<32} {best_of(3, do):6.2f} s")


if __name__ == "__main__":
    main()
