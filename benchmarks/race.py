"""A race of all cells with equal parameters and equal time, a learning rate found for each; writes docs/race.md.

    python benchmarks/race.py                                   # tiny Shakespeare: about two hours for 14 cells
    python benchmarks/race.py --cells lstm,gru --minutes 1 --seeds 1
    python benchmarks/race.py --smoke --output /tmp/race.md     # seconds, to see that it runs; its figures mean nothing

Each cell gets the hidden width whose number of parameters comes nearest to the budget, in steps of eight, and the same
recipe. Three learning rates are tried for a minute each with one seed; at the best, each seed trains three minutes.
Runs come one after the other. What is done stands in --state, one JSON object a line, and is not repeated; the same
command goes on where it was ended. The report is written anew after each cell.
"""

import argparse
import datetime
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from race_report import write_report

from tuirnn import sweeping
from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError, chosen
from tuirnn.estimate import parameters
from tuirnn.files import to_json
from tuirnn.kernels import native
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import Status, read_status
from tuirnn.tasks.survey import survey

ROOT = Path(__file__).parent.parent
LANES = 8
"""Hidden widths are multiples of this: what a processor computes at a time."""

SEARCH, RACE = "search", "race"
SMOKE: dict[str, Any] = {"fraction": 0.005, "steps": 4, "minutes": 0.0, "eval_every": 4, "batch_size": 4, "seq_len": 8}


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        run: its name, which says all that tells it from others.
        part: 'search' of the learning rate, or the 'race'.
        val_loss: the best held-out loss, carried, in nats per character; NaN where the run failed.
        failed: why, or nothing.
        seconds: of training, evaluations included.
        load: the load average of one minute before the run; it may hold the run before.
        others: cores that were busy with something else while it ran, on average; NaN where that cannot be measured.
    """

    run: str
    part: str
    cell: str
    hidden: int
    parameters: int
    lr: float
    seed: int
    minutes: float
    data: str
    val_loss: float
    failed: str
    steps: int
    seconds: float
    load: float
    others: float
    cores: int
    processor: str
    torch: str
    commit: str
    date: str

    @property
    def loss(self) -> float:
        """To compare by: a run that failed is worse than any other."""
        return self.val_loss if math.isfinite(self.val_loss) else math.inf


class Book:
    """The rows that are there, in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text("utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a torn last line is not there
        if whole != text:
            path.write_text(whole, "utf-8")
        self.rows = [Row(**{**entry, "val_loss": float(entry["val_loss"]), "others": float(entry["others"])})
                     for entry in map(json.loads, whole.splitlines())]  # fmt: skip

    def find(self, run: str) -> Row | None:
        """The row of a run."""
        return next((row for row in self.rows if row.run == run), None)

    def add(self, row: Row) -> None:
        """Write a row down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(to_json(asdict(row)).decode() + "\n")
        self.rows.append(row)


def width(cell: str, budget: int, inputs: int) -> int:
    """The multiple of `LANES` with which the default network of a cell comes nearest to a number of parameters."""

    def count(hidden: int) -> int:
        return parameters(RunConfig().replace(cell=cell, hidden=hidden).model, inputs)

    low, high = 1, 2
    while count(high * LANES) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle * LANES) < budget else (low, middle)
    return min((low * LANES, high * LANES), key=lambda hidden: abs(count(hidden) - budget))


class Race:
    """All runs of a race, in order.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.book = options, Book(options.state)
        changes = SMOKE if options.smoke else {"eval_every": 1000}
        self.base = RunConfig().replace(
            sources=(options.data,) if options.data else (), sample_length=0, checkpoint_every=1_000_000, keep=1,
            device="cpu", **changes,
        )  # fmt: skip
        self.inputs = survey(self.base).inputs
        self.here = {**machine(), "commit": commit()}

    def run(self) -> None:
        """Train what is not done yet.

        Raises:
            TuirnnError: rows of another processor are there: their times are not comparable.
        """
        if others := {row.processor for row in self.book.rows} - {self.here["processor"]}:
            raise TuirnnError(
                f"{self.options.state} has runs of another processor, {', '.join(sorted(others))}; give another --state"
            )
        for cell in self.options.cells:
            native.why_not_for(traced(CELLS[cell]))  # compiled now, and not in the time of the first run
            tried = [self.measure(SEARCH, cell, rate, 0) for rate in self.options.rates]
            best = min(tried, key=lambda row: row.loss)
            for seed in range(self.options.seeds) if math.isfinite(best.loss) else ():
                self.measure(RACE, cell, best.lr, seed)
            self.report()

    def measure(self, part: str, cell: str, lr: float, seed: int) -> Row:
        """The row of a run, trained now where it is not there."""
        options = self.options
        minutes = options.search_minutes if part == SEARCH else options.minutes
        hidden = width(cell, options.budget, self.inputs)
        time_ = {} if options.smoke else {"minutes": minutes}
        config = self.base.replace(cell=cell, hidden=hidden, lr=lr, seed=seed, **time_)
        name = f"{part}-{cell}-{hidden}-lr{lr:g}-{minutes:g}m-seed{seed}"
        if (known := self.book.find(name)) is not None:
            return known
        train = train_here if options.smoke else train_apart
        load, before = os.getloadavg()[0], (busy(), own(), time.monotonic())
        failed = train(sweeping.Point(name, config, {}), options.runs)
        others = (busy() - before[0] - (own() - before[1])) / max(time.monotonic() - before[2], 1e-3)
        status = read_status(RunPaths(options.runs / name)) if is_run(options.runs / name) else Status()
        row = Row(
            name, part, cell, hidden, parameters(config.model, self.inputs), lr, seed, minutes, options.data,
            math.nan if failed else status.best_val_loss, failed, status.step, status.elapsed, round(load, 2),
            round(max(0.0, others), 2), date=datetime.date.today().isoformat(), **self.here,
        )  # fmt: skip
        self.book.add(row)
        print(f"{name}: {row.val_loss:.4f} nats, {row.steps} steps, {row.others:.1f} cores busy with something else",
              file=sys.stderr, flush=True)  # fmt: skip
        return row

    def report(self) -> None:
        """Write the table and the plot of what is there."""
        write_report(self.book.rows, self.options.output, self.options.runs, self.options.smoke)


def train_apart(point: sweeping.Point, folder: Path) -> str:
    """Train in a process of its own, as `tuirnn train` does; returns why it failed, or nothing."""
    return sweeping.train([point], folder, 1, lambda line: None).get(point.name, "")


def train_here(point: sweeping.Point, folder: Path) -> str:
    """Train in this process and on one thread, which is quicker to begin."""
    import torch

    from tuirnn.training import launch

    if sweeping.is_done(point, folder):
        return ""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        launch.start(point.config, folder, point.name, lambda event: None)
    except TuirnnError as error:
        return str(error)
    finally:
        torch.set_num_threads(threads)
    return ""


# ── the machine ───────────────────────────────────────────────────────────────


def machine() -> dict[str, Any]:
    """The processor's name, how many cores of it there are, and PyTorch's version."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text("utf-8").splitlines() if info.exists() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return {"processor": name, "cores": os.cpu_count() or 1, "torch": torch.__version__}


def commit() -> str:
    """Of the working tree; with a plus where it has changes."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))


def busy() -> float:
    """Processor seconds of the whole machine so far, of all cores together; NaN where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    except OSError:
        return math.nan
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


# ── the command line ──────────────────────────────────────────────────────────


def listed(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Values with commas between."""
    return lambda text: [kind(word.strip()) for word in text.split(",") if word.strip()]


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; a smoke test has its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=listed(lambda word: chosen("--cells", word, CELLS)), default=list(CELLS))
    parser.add_argument("--budget", type=int, default=400_000, help="parameters of each network")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each seed in the race")
    parser.add_argument("--search-minutes", type=float, default=1.0, help="of each learning rate")
    parser.add_argument("--rates", type=listed(float), default=[0.002, 0.005, 0.0125], help="learning rates to try")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data", default="shakespeare", help="a data set or a file")
    parser.add_argument("--runs", type=Path, default=Path("checkpoints/race"))
    parser.add_argument("--state", type=Path, default=None, help="rows that are done [default: RUNS/rows.jsonl]")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "race.md")
    parser.add_argument("--smoke", action="store_true", help="four steps of tiny networks on the embedded text")
    options = parser.parse_args(words)
    if options.smoke:
        options.budget, options.data = 30_000, ""
    options.state = options.state or options.runs / "rows.jsonl"
    return options


def main(words: Sequence[str] | None = None) -> None:
    """Run what is left of the race, and report."""
    race = Race(parsed(words))
    race.run()
    rows = race.book.rows
    if rows:
        print(f"{len(rows)} runs, {statistics.fmean(row.others for row in rows):.1f} cores busy with something else on "
              f"average; the table is in {race.options.output}")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except TuirnnError as error:
        sys.exit(f"race: {error}")
