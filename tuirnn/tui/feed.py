"""Run directories as the dashboard needs them: read in pieces, only when they have changed."""

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.runs.reader import LogTail, as_number, read_status
from tuirnn.tui.smoothing import Smoother

Floats = npt.NDArray[np.float64]

KEPT_EVALUATIONS = 1_000
"""Older samples and mistakes are let go of; their losses stay."""

MAX_SHOWN = 4_000
"""Characters of a sample, and symbols of mistakes, that a screen could ever want."""

BATCH = 20_000

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
            return record + status, summarize(paths)
        if before[0] != record + status or before[1].status.live:
            summary = before[1]
            now = read_status(paths) if summary.record is not None else summary.status
            if not _same(now, summary.status):
                summary = RunSummary(paths, now, summary.record, summary.problem)
            return record + status, summary
        return before


def _same(a: object, b: object) -> bool:
    """Equality under which NaN equals NaN."""
    return repr(a) == repr(b)


class Column:
    """Numbers that only ever grow; a view taken earlier stays as it was."""

    def __init__(self) -> None:
        self._data: Floats = np.empty(1024)
        self._length = 0

    def extend(self, values: "list[float] | Floats") -> None:
        """Append values."""
        end = self._length + len(values)
        if end > len(self._data):
            grown = np.empty(max(end, 2 * len(self._data)))
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : end] = values
        self._length = end

    def view(self) -> Floats:
        """All values so far."""
        return self._data[: self._length]


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
class Snapshot:
    """A run's logs up to a moment; never changes once made.

    Attributes:
        generation: grows when the logs were cut and read anew.
        train_step, train_loss: every training step.
        smooth: the training loss, smoothed.
        val_step, val_loss: every evaluation.
        evaluations: the newest ones, oldest first.
        damaged: lines that could not be read.
    """

    generation: int = 0
    train_step: Floats = field(default_factory=lambda: np.zeros(0))
    train_loss: Floats = field(default_factory=lambda: np.zeros(0))
    smooth: Floats = field(default_factory=lambda: np.zeros(0))
    val_step: Floats = field(default_factory=lambda: np.zeros(0))
    val_loss: Floats = field(default_factory=lambda: np.zeros(0))
    evaluations: tuple[Evaluation, ...] = ()
    damaged: int = 0


class RunFeed:
    """Follows the metrics and samples of one run. `advance` may run in any thread, one at a time.

    Args:
        paths: the run.
        beta: smoothing of the training loss; None: what suits the number of points.
    """

    def __init__(self, paths: RunPaths, beta: float | None = None) -> None:
        self.paths = paths
        self.beta = beta
        self._fitted = 0  # points that the present smoothing was chosen for
        self._lock = threading.Lock()
        self._metrics, self._samples = LogTail(paths.metrics), LogTail(paths.samples)
        self._waiting: dict[str, Iterator[dict[str, Any]]] = {}
        self._generations = (0, 0)
        self._clear_metrics()
        self._evaluations: dict[int, Evaluation] = {}
        self.snapshot = Snapshot()

    def signature(self) -> Signature:
        """Changes whenever there is something to read."""
        return signature(self.paths.metrics, self.paths.samples)

    def advance(self, limit: int = BATCH) -> bool:
        """Read up to `limit` further records of each log and renew `snapshot`.

        Returns:
            Whether more are waiting.
        """
        with self._lock:
            metrics, more_metrics = self._take("metrics", self._metrics, limit)
            samples, more_samples = self._take("samples", self._samples, limit)
            generations = (self._metrics.generation, self._samples.generation)
            if generations[0] != self._generations[0]:
                self._clear_metrics()
            if generations[1] != self._generations[1]:
                self._evaluations = {}
            self._generations = generations
            self._add_metrics(metrics)
            self._add_samples(samples)
            self._renew()
            return more_metrics or more_samples

    def smoothed(self, beta: float | None) -> None:
        """Smooth the whole curve anew with another beta."""
        with self._lock:
            self.beta = beta
            self._smooth_anew()
            self._renew()

    def _smooth_anew(self) -> None:
        losses = self._train_loss.view()
        self._fitted = len(losses)
        self._smoother = Smoother(suited_beta(len(losses)) if self.beta is None else self.beta)
        self._smooth = Column()
        self._smooth.extend(self._smoother.extend(losses))

    def _take(self, log: str, tail: LogTail, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Records of one log; its iterator is kept until it ends, as the tail counts whole chunks."""
        iterator = self._waiting.setdefault(log, tail.records())
        before = tail.generation
        taken: list[dict[str, Any]] = []
        for record in iterator:
            if tail.generation != before:  # the file was cut: what came before belongs to the old one
                before = tail.generation
                taken.clear()
            taken.append(record)
            if len(taken) >= limit:
                return taken, True
        del self._waiting[log]
        return taken, False

    def _clear_metrics(self) -> None:
        self._train_step, self._train_loss = Column(), Column()
        self._val_step, self._val_loss = Column(), Column()
        self._smooth_anew()

    def _add_metrics(self, records: list[dict[str, Any]]) -> None:
        rows: dict[object, tuple[list[float], list[float]]] = {"train": ([], []), "val": ([], [])}
        for record in records:
            split, step = record.get("split"), as_number(record.get("step"))
            if isinstance(split, str) and split in rows and math.isfinite(step):
                rows[split][0].append(step)
                rows[split][1].append(as_number(record.get("loss")))
        steps, losses = rows["train"]
        self._train_step.extend(steps)
        self._train_loss.extend(losses)
        if self.beta is None and len(self._train_loss.view()) > 2 * max(self._fitted, 64):
            self._smooth_anew()
        else:
            self._smooth.extend(self._smoother.extend(np.array(losses, np.float64)))
        self._val_step.extend(rows["val"][0])
        self._val_loss.extend(rows["val"][1])

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
        self.snapshot = Snapshot(
            sum(self._generations),
            self._train_step.view(),
            self._train_loss.view(),
            self._smooth.view(),
            self._val_step.view(),
            self._val_loss.view(),
            tuple(self._evaluations.values()),
            self._metrics.damaged + self._samples.damaged,
        )


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
