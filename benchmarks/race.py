"""A race of all cells with equal parameters and equal time, a learning rate found for each; writes docs/race.md.

    python benchmarks/race.py                                   # tiny Shakespeare: 2¼ hours for 14 cells
    python benchmarks/race.py --side-by-side 2                  # two runs at a time, each with half of the cores
    python benchmarks/race.py --cells lstm,gru --minutes 1 --seeds 1
    python benchmarks/race.py --smoke --output /tmp/race.md     # seconds, to see that it runs; its figures mean nothing

Each cell gets the hidden width whose number of parameters comes nearest to the budget, in steps of eight, and the same
recipe. Three learning rates are tried for a minute each with one seed; at the best, each seed trains three minutes.
Runs come one after the other, or --side-by-side on cores of their own: all searches first, then all races, so that
each run has the same neighbours. What is done stands in --state, one JSON object a line, and is not repeated; the same
command goes on where it was ended. The report is written after the searches and at the end.
"""

import argparse
import datetime
import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
from tuirnn.survey import survey

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
        others: of the cores that it had, those busy with something else, on average; NaN where that cannot be measured.
        had: cores.
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
    had: int
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


@dataclass(frozen=True)
class Lot:
    """A run that is to be measured."""

    part: str
    cell: str
    lr: float
    seed: int


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
        options = self.options
        if others := {row.processor for row in self.book.rows} - {self.here["processor"]}:
            raise TuirnnError(
                f"{options.state} has runs of another processor, {', '.join(sorted(others))}; give another --state"
            )
        for cell in options.cells:
            native.why_not_for(traced(CELLS[cell]))  # compiled now, and not in the time of the first run
        self.measure_all([Lot(SEARCH, cell, rate, 0) for cell in options.cells for rate in options.rates])
        self.report()
        lots = []
        for cell in options.cells:
            tried = [row for rate in options.rates if (row := self.book.find(self.named(Lot(SEARCH, cell, rate, 0))))]
            best = min(tried, key=lambda row: row.loss)
            if math.isfinite(best.loss):
                lots += [Lot(RACE, cell, best.lr, seed) for seed in range(options.seeds)]
        self.measure_all(lots)
        self.report()

    def measure_all(self, lots: Sequence[Lot]) -> None:
        """Measure what is not in the book; each of the runs side by side has its own cores."""
        beside = self.options.side_by_side
        todo = [lot for lot in lots if self.book.find(self.named(lot)) is None]
        if beside == 1:
            for lot in todo:
                self.note(self.measure(lot))
            return
        context = multiprocessing.get_context("spawn")
        places = context.Queue()
        for place in shares(beside):
            places.put(place)
        with ProcessPoolExecutor(beside, context, take_cores, (places,)) as pool:
            for done in as_completed([pool.submit(measure_in, self.options, lot) for lot in todo]):
                self.note(done.result())

    def config(self, lot: Lot) -> RunConfig:
        """Every setting of a run."""
        options = self.options
        minutes = (
            {} if options.smoke else {"minutes": options.search_minutes if lot.part == SEARCH else options.minutes}
        )
        hidden = width(lot.cell, options.budget, self.inputs)
        return self.base.replace(cell=lot.cell, hidden=hidden, lr=lot.lr, seed=lot.seed, **minutes)

    def named(self, lot: Lot) -> str:
        """A run's name, with every setting that distinguishes it from others."""
        config = self.config(lot)
        hidden, minutes = config.model.hidden, config.train.minutes
        return f"{lot.part}-{lot.cell}-{hidden}-lr{lot.lr:g}-{minutes:g}m-seed{lot.seed}"

    def measure(self, lot: Lot) -> Row:
        """Train one run in this process's cores."""
        options, config, name = self.options, self.config(lot), self.named(lot)
        train = train_here if options.smoke else train_apart
        cores = os.sched_getaffinity(0)
        load, before = os.getloadavg()[0], (busy(cores), own(), time.monotonic())
        failed = train(sweeping.Point(name, config, {}), options.runs)
        others = (busy(cores) - before[0] - (own() - before[1])) / max(time.monotonic() - before[2], 1e-3)
        status = read_status(RunPaths(options.runs / name)) if is_run(options.runs / name) else Status()
        return Row(
            name, lot.part, lot.cell, config.model.hidden, parameters(config.model, self.inputs), lot.lr, lot.seed,
            config.train.minutes, options.data, math.nan if failed else status.best_val_loss, failed, status.step,
            status.elapsed, round(load, 2), round(max(0.0, others), 2), len(cores),
            date=datetime.date.today().isoformat(), **self.here,
        )  # fmt: skip

    def note(self, row: Row) -> None:
        """Add a row to the book."""
        self.book.add(row)
        print(f"{row.run}: {row.val_loss:.4f} nats, {row.steps} steps, {row.others:.1f} cores busy with something else",
              file=sys.stderr, flush=True)  # fmt: skip

    def report(self) -> None:
        """Write the table and the plot of what is there."""
        write_report(self.book.rows, self.options.output, self.options.runs, self.options.smoke)


def shares(parts: int) -> list[list[int]]:
    """This process's cores in equal parts; those left over are not used.

    Raises:
        TuirnnError: fewer cores than parts.
    """
    cores = sorted(os.sched_getaffinity(0))
    if (each := len(cores) // parts) < 1:
        raise TuirnnError(f"--side-by-side {parts} needs {parts} cores; this machine gives {len(cores)}")
    return [cores[i * each : (i + 1) * each] for i in range(parts)]


def take_cores(places: "multiprocessing.Queue[list[int]]") -> None:
    """Keep this process, and those that it starts, to the next part of the machine."""
    cores = places.get()
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(len(cores))


def measure_in(options: argparse.Namespace, lot: Lot) -> Row:
    """`Race.measure` in a process of its own, which has its own cores."""
    return Race(options).measure(lot)


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


def busy(cores: Collection[int]) -> float:
    """Processor seconds that the whole machine has used of these cores so far; NaN where the system does not say."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except OSError:
        return math.nan
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for name, *fields in map(str.split, lines):
        if name in wanted:
            user, nice, system, _, _, irq, softirq = map(int, fields[:7])
            ticks += user + nice + system + irq + softirq
    return ticks / os.sysconf("SC_CLK_TCK")


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
    parser.add_argument("--side-by-side", type=int, default=1, help="runs at a time, each with its part of the cores")
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
