"""Run directories as the dashboard needs them: read in pieces, only when they have changed."""

import contextlib
import ctypes
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.runs.reader import LogTail, as_number, parse_lines, read_status
from tuirnn.tui.smoothing import Smoother
from tuirnn.tui.track import Curve, Track

Floats = npt.NDArray[np.float64]

KEPT_EVALUATIONS = 1_000
"""Older samples and mistakes are let go of; their losses stay."""

MAX_SHOWN = 4_000
"""Characters of a sample, and symbols of mistakes, that a screen could ever want."""

BATCH = 4_000

LONG = 4 * 2**20
"""Bytes of a log from which a sketch is drawn first."""

GLANCES, GLANCE = 250, 4096
"""How many places of a long log are looked at for the sketch, and bytes at each."""

QUIET, PATIENCE = 0.1, 0.3
"""Seconds after a key before a long log is read on, and seconds after which it is read on in any case."""

SPARK, SPARK_BYTES = 10, 4096
"""Columns of a run's small curve, and bytes of the log that are looked at for each."""

MOST_SERIES = 64
SMOOTHED_AT_ONCE = 2**16

Signature = tuple[tuple[int, int, int], ...]


def signature(*files: Path) -> Signature:
    """Changes whenever one of the files does: time, size and identity of each."""
    parts = []
    for file in files:
        try:
            stat = os.stat(file)
            parts.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            parts.append((0, -1, 0))
    return tuple(parts)


class FolderWatch:
    """The runs of a folder, each read again only when its files have changed or its life is in question."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Signature, RunSummary]] = {}

    def scan(self) -> list[RunSummary]:
        """All runs, the newest first, damaged ones last; the same objects where nothing changed."""
        known = self._known
        self._known = {name: self._look(name, known.get(name)) for name in run_names(self.folder)}
        runs = [summary for _, summary in self._known.values()]
        return sorted(runs, key=lambda run: -(run.record.created if run.record else 0.0))

    def _look(self, name: str, before: tuple[Signature, RunSummary] | None) -> tuple[Signature, RunSummary]:
        paths = RunPaths(self.folder / name)
        record, status = signature(paths.record), signature(paths.status)
        if before is None or before[0][0] != record[0]:
            return record + status, dataclasses.replace(summarize(paths), spark=spark(paths.metrics))
        if before[0] != record + status or before[1].status.live:
            summary = before[1]
            now = read_status(paths) if summary.record is not None else summary.status
            if not _same(now, summary.status):
                summary = dataclasses.replace(summary, status=now, spark=spark(paths.metrics))
            return record + status, summary
        return before


def _same(a: object, b: object) -> bool:
    """Equality under which NaN equals NaN."""
    return repr(a) == repr(b)


@dataclass(frozen=True)
class Mistakes:
    """Held-out text as the network sees it: each symbol, the nats it cost, the symbol expected instead."""

    symbols: tuple[str, ...]
    nats: tuple[float, ...]
    guesses: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation left in `samples.jsonl`."""

    step: int
    text: str = ""
    mistakes: Mistakes | None = None


@dataclass(frozen=True)
class Curves:
    """The records of one split as columns of equal length: step, wall time, and every number that was recorded."""

    step: Curve = field(default_factory=Curve)
    at: Curve = field(default_factory=Curve)
    values: Mapping[str, Curve] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, name: str) -> Curve:
        """The column of this name; one of no points where nothing of the kind was recorded."""
        return self.values.get(name, NOTHING)


class Table:
    """Growing `Curves`."""

    def __init__(self) -> None:
        self._columns: dict[str, Track] = {"step": Track(), "at": Track()}

    def __len__(self) -> int:
        return len(self._columns["step"])

    def extend(self, records: list[dict[str, Any]]) -> None:
        """Add the records that have a step."""
        if not records:
            return
        keys = list(records[0])
        if all(list(record) == keys for record in records):
            found: dict[str, Sequence[object]] = dict(
                zip(keys, zip(*(record.values() for record in records), strict=True), strict=True)
            )
        else:
            names = dict.fromkeys(name for record in records for name in record)
            found = {name: [record.get(name) for record in records] for name in names}
        steps = _numbers(found.get("step", [None] * len(records)))
        kept = np.isfinite(steps)
        known = len(self)
        for name, values in found.items():
            if name in ("split", "step"):
                continue
            numbers = _numbers(values)
            if name not in self._columns:
                if np.isnan(numbers).all() or len(self._columns) >= MOST_SERIES:
                    continue
                self._columns[name] = Track()
                self._columns[name].extend(np.full(known, np.nan))
            self._columns[name].extend(numbers[kept])
        self._columns["step"].extend(steps[kept])
        for track in self._columns.values():
            if len(track) < len(self):
                track.extend(np.full(len(self) - len(track), np.nan))

    def curves(self) -> Curves:
        """All so far."""
        columns = {name: track.curve() for name, track in self._columns.items()}
        return Curves(columns.pop("step"), columns.pop("at"), columns)


def _numbers(values: Sequence[object]) -> Floats:
    """JSON values as floats, NaN for what is no number."""
    if set(map(type, values)) <= {int, float}:
        with contextlib.suppress(OverflowError):
            return np.array(values, np.float64)
    return np.array([as_number(value) for value in values], np.float64)


NOTHING = Curve()


@dataclass(frozen=True)
class Snapshot:
    """A run's logs up to a moment; never changes once made.

    Attributes:
        generation: grows when the logs were cut and read anew.
        train: every training step.
        smooth: the training loss, smoothed.
        val: every evaluation.
        evaluations: the newest ones, oldest first.
        damaged: lines that could not be read.
        share: how much of the log has been read; below 1 the curves are a sketch, drawn from a sample of its lines.
    """

    generation: int = 0
    train: Curves = field(default_factory=Curves)
    smooth: Curve = NOTHING
    val: Curves = field(default_factory=Curves)
    evaluations: tuple[Evaluation, ...] = ()
    damaged: int = 0
    share: float = 1.0


class Manners:
    """Whoever reads a long log gives way to the keys: both need the same interpreter."""

    def __init__(self) -> None:
        self._until = 0.0

    def touched(self) -> None:
        """A key was pressed."""
        self._until = time.monotonic() + QUIET

    @property
    def quiet(self) -> bool:
        """Whether no key was pressed just now."""
        return time.monotonic() >= self._until

    def wait(self) -> None:
        """Called by a reader between two pieces: waits for the keys to rest, but not for ever."""
        end = time.monotonic() + PATIENCE
        while (now := time.monotonic()) < min(self._until, end):
            time.sleep(min(self._until, end) - now)


class RunFeed:
    """Follows the metrics and samples of one run. `advance` may run in any thread, one at a time.

    Args:
        paths: the run.
        beta: smoothing of the training loss; None: what suits the number of points. Another one can be set at
            any time; the next `advance` smooths the whole curve anew.
        rest: called between the pieces of a long log; may take its time.
    """

    def __init__(self, paths: RunPaths, beta: float | None = None, rest: Callable[[], None] = lambda: None) -> None:
        self.paths = paths
        self.beta = beta
        self._rest = rest
        self._lock = threading.Lock()
        self._metrics, self._samples = LogTail(paths.metrics), LogTail(paths.samples)
        self._waiting: dict[str, Iterator[list[dict[str, Any]]]] = {}
        self._generations = (0, 0)
        self._train, self._val = Table(), Table()
        self._evaluations: dict[int, Evaluation] = {}
        self._sketch: Snapshot | None = None
        self._smooth_anew()
        self.snapshot = Snapshot()

    def signature(self) -> Signature:
        """Changes whenever there is something to read."""
        return signature(self.paths.metrics, self.paths.samples)

    def advance(self, limit: int = BATCH) -> bool:
        """Read about `limit` further records of each log and renew `snapshot`.

        The first call on a long log reads a sample of its lines instead.

        Returns:
            Whether more are waiting.
        """
        with self._lock:
            if self._metrics.offset == 0 and self._sketch is None and (sketch := self._look_over()):
                self._sketch = self.snapshot = sketch
                return True
            if self.beta != self._smoothed_with:
                self._smooth_anew()
            more_metrics = self._take("metrics", self._metrics, limit)
            more_samples = self._take("samples", self._samples, limit)
            done = not more_metrics and self._sketch is not None
            if done:
                self._sketch = None
                self._smooth_anew()
            self._renew()
        if done:
            give_memory_back()
        return more_metrics or more_samples

    def _beta(self, points: int) -> float:
        return suited_beta(points) if self.beta is None else self.beta

    def _smooth_anew(self) -> None:
        losses = self._train.curves()["loss"]
        self._smoothed_with = self.beta
        self._fitted = len(losses)  # points that the present smoothing was chosen for
        self._smoother = Smoother(self._beta(len(losses)))
        self._smooth = Track(exact=False)
        if self._sketch is not None:  # it has a smoothing of its own; the whole is smoothed when all of it is there
            smoother = Smoother(self._beta(len(self._sketch.train)))
            smooth = Curve.of(smoother.extend(self._sketch.train["loss"].at(slice(None))))
            self._sketch = dataclasses.replace(self._sketch, smooth=smooth)
            return
        for start in range(0, len(losses), SMOOTHED_AT_ONCE):
            self._smooth.extend(self._smoother.extend(losses.at(slice(start, start + SMOOTHED_AT_ONCE))))
            if len(losses) > SMOOTHED_AT_ONCE:
                self._rest()

    def _look_over(self) -> Snapshot | None:
        """A sketch of a long log from lines spread evenly over it; None where reading all of it takes no time."""
        try:
            if os.stat(self.paths.metrics).st_size < LONG:
                return None
        except OSError:
            return None
        train, val = Table(), Table()
        records = glances(self.paths.metrics, GLANCES, GLANCE)
        train.extend([record for record in records if record.get("split") == "train"])
        val.extend([record for record in records if record.get("split") == "val"])
        curves = train.curves()
        smoother = Smoother(self._beta(len(curves)))
        smooth = Curve.of(smoother.extend(curves["loss"].at(slice(None))))
        return Snapshot(-1, curves, smooth, val.curves(), share=0.0)

    def _take(self, log: str, tail: LogTail, limit: int) -> bool:
        """Read on in one log; its iterator is kept until it ends. Returns whether more are waiting."""
        iterator = self._waiting.setdefault(log, tail.batches())
        add = self._add_metrics if log == "metrics" else self._add_samples
        records: list[dict[str, Any]] = []
        generation = tail.generation
        for batch in iterator:
            if tail.generation != generation:  # the file was cut: what came before belongs to the old one
                generation, records = tail.generation, []
            records += batch
            if self._sketch is not None:
                self._rest()
            if len(records) >= limit:
                self._follow_generations()
                add(records)
                return True
        self._follow_generations()
        add(records)
        del self._waiting[log]
        return False

    def _follow_generations(self) -> None:
        """Forget what was read from a log that has been cut since."""
        generations = (self._metrics.generation, self._samples.generation)
        if generations[0] != self._generations[0]:
            self._train, self._val = Table(), Table()
            self._smooth_anew()
        if generations[1] != self._generations[1]:
            self._evaluations = {}
        self._generations = generations

    def _add_metrics(self, records: list[dict[str, Any]]) -> None:
        known = len(self._train)
        self._train.extend([record for record in records if record.get("split") == "train"])
        self._val.extend([record for record in records if record.get("split") == "val"])
        if self._sketch is not None:
            return
        if self.beta is None and len(self._train) > 2 * max(self._fitted, 64):
            self._smooth_anew()
        elif len(self._train) > known:
            losses = self._train.curves()["loss"].at(slice(len(self._smooth), None))
            self._smooth.extend(self._smoother.extend(losses))

    def _add_samples(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            step = as_number(record.get("step"))
            if not math.isfinite(step):
                continue
            at = int(step)
            known = self._evaluations.get(at, Evaluation(at))
            text, mistakes = record.get("text"), _mistakes(record)
            if record.get("kind") == "sample" and isinstance(text, str):
                self._evaluations[at] = Evaluation(at, text[:MAX_SHOWN], known.mistakes)
            elif record.get("kind") == "mistakes" and mistakes is not None:
                self._evaluations[at] = Evaluation(at, known.text, mistakes)
        while len(self._evaluations) > KEPT_EVALUATIONS:
            del self._evaluations[next(iter(self._evaluations))]

    def _renew(self) -> None:
        evaluations = tuple(self._evaluations.values())
        if self._sketch is not None:
            share = min(self._metrics.offset / max(self._metrics.size, 1), 0.99)
            self.snapshot = dataclasses.replace(self._sketch, evaluations=evaluations, share=share)
            return
        self.snapshot = Snapshot(
            sum(self._generations),
            self._train.curves(),
            self._smooth.curve(),
            self._val.curves(),
            evaluations,
            self._metrics.damaged + self._samples.damaged,
        )


def glances(log: Path, places: int, length: int) -> list[dict[str, Any]]:
    """The readable records in pieces of `length` bytes spread evenly over a log, in order, each at most once."""
    records: list[dict[str, Any]] = []
    try:
        with open(log, "rb") as file:
            size, seen = os.fstat(file.fileno()).st_size, 0
            for k in range(places):
                start = max(0, (size - length) * k // max(places - 1, 1))
                if start + length <= seen:
                    continue
                start = max(start, seen)
                file.seek(start)
                piece = file.read(length)
                whole = piece[: piece.rfind(b"\n") + 1]
                seen = start + len(whole)
                if start:
                    whole = whole[whole.find(b"\n") + 1 :]  # its first line may be the end of one
                records += parse_lines(whole)[0]
    except OSError:
        pass
    return records


def spark(metrics: Path) -> tuple[float, ...]:
    """The training loss in a few numbers: means of what is found at places spread evenly over the log."""
    found = [as_number(r.get("loss")) for r in glances(metrics, SPARK, SPARK_BYTES) if r.get("split") == "train"]
    finite = np.array([loss for loss in found if math.isfinite(loss)])
    if len(finite) < 2:
        return ()
    return tuple(float(part.mean()) for part in np.array_split(finite, min(SPARK, len(finite))))


M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE = 2**18


def keep_memory_small() -> None:
    """Large arrays apart, where each can be given back, and one heap for all threads, where that can be had (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        for parameter, value in ((M_MMAP_THRESHOLD, LARGE), (M_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(parameter, value)


def give_memory_back() -> None:
    """Let the system have what was only needed for reading, where the C library can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def suited_beta(points: int) -> float:
    """A smoothing that averages over about a hundredth of so many points, and over ten at least."""
    return 1.0 - 1.0 / max(10.0, points / 100)


def _mistakes(record: dict[str, Any]) -> Mistakes | None:
    """The mistakes in a record of `samples.jsonl`, if it holds them as it should."""
    symbols, nats, guesses = (record.get(key) for key in ("symbols", "nats", "guesses"))
    if not (isinstance(symbols, list) and isinstance(nats, list) and isinstance(guesses, list)):
        return None
    length = min(len(symbols), len(nats), len(guesses), MAX_SHOWN)
    if not all(isinstance(token, str) for token in (*symbols[:length], *guesses[:length])):
        return None
    return Mistakes(tuple(symbols[:length]), tuple(map(as_number, nats[:length])), tuple(guesses[:length]))


def last_text(feed: Snapshot) -> str:
    """The newest sample, or nothing."""
    return next((one.text for one in reversed(feed.evaluations) if one.text), "")
