"""Following the logs of a run: reading in pieces, and only what is new."""

import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tuirnn.runlog.answers import answers_in, outlook_in
from tuirnn.runlog.folder import Signature, signature
from tuirnn.runlog.log_sampling import sample_records
from tuirnn.runlog.memory import give_memory_back
from tuirnn.runlog.smoothing import Smoother
from tuirnn.runlog.snapshot import MAX_SHOWN, Evaluation, Snapshot, Table, mistakes_in
from tuirnn.runlog.track import Curve, SeriesBuffer
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, as_number

KEPT_EVALUATIONS = 1_000
"""Samples and mistakes of older evaluations are dropped; their losses are kept."""

BATCH = 1_000

LONG = 4 * 2**20
"""Size of a log in bytes from which a preview is made first."""

PREVIEW_POSITIONS, PREVIEW_BYTES = 250, 4096
"""Positions of a long log that are read for the preview, and bytes at each."""

SMOOTHED_AT_ONCE = 2**16


class RunFeed:
    """Follows the metrics and samples of one run. `advance` may run in any thread, one at a time.

    Args:
        paths: the run.
        beta: smoothing of the training loss; None selects it by the number of points. It can be changed at any time;
            the next `advance` then smooths the whole curve again.
        rest: called between two pieces of a long log; may block for a moment.
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
        self._preview: Snapshot | None = None
        self._smooth_again()
        self.snapshot = Snapshot()

    def signature(self) -> Signature:
        """Changes whenever there is something to read."""
        return signature(self.paths.metrics, self.paths.samples)

    def advance(self, limit: int = BATCH) -> bool:
        """Read about `limit` further records of each log and replace `snapshot`.

        The first call on a long log makes a preview instead.

        Returns:
            Whether there are more.
        """
        with self._lock:
            if self._metrics.offset == 0 and self._preview is None and (preview := self._make_preview()):
                self._preview = self.snapshot = preview
                return True
            if self.beta != self._smoothed_with:
                self._smooth_again()
            more_metrics = self._take("metrics", self._metrics, limit)
            more_samples = self._take("samples", self._samples, limit)
            done = not more_metrics and self._preview is not None
            if done:
                self._preview = None
                self._smooth_again()
            self._update_snapshot()
        if done:
            give_memory_back()
        return more_metrics or more_samples

    def _beta(self, points: int) -> float:
        return suited_beta(points) if self.beta is None else self.beta

    def _smooth_again(self) -> None:
        losses = self._train.curves()["loss"]
        self._smoothed_with = self.beta
        self._fitted = len(losses)  # points that the smoothing was selected for
        self._smoother = Smoother(self._beta(len(losses)))
        self._smooth = SeriesBuffer(exact=False)
        if self._preview is not None:  # smoothed by itself; the whole curve follows when it has been read
            smoother = Smoother(self._beta(len(self._preview.train)))
            smooth = Curve.of(smoother.extend(self._preview.train["loss"].at(slice(None))))
            self._preview = replace(self._preview, smooth=smooth)
            return
        for start in range(0, len(losses), SMOOTHED_AT_ONCE):
            self._smooth.extend(self._smoother.extend(losses.at(slice(start, start + SMOOTHED_AT_ONCE))))
            if len(losses) > SMOOTHED_AT_ONCE:
                self._rest()

    def _make_preview(self) -> Snapshot | None:
        """A snapshot from lines spread evenly over a long log; None for a log that is read quickly."""
        try:
            if os.stat(self.paths.metrics).st_size < LONG:
                return None
        except OSError:
            return None
        train, val = Table(), Table()
        records = sample_records(self.paths.metrics, PREVIEW_POSITIONS, PREVIEW_BYTES)
        train.extend([record for record in records if record.get("split") == "train"])
        val.extend([record for record in records if record.get("split") == "val"])
        curves = train.curves()
        smoother = Smoother(self._beta(len(curves)))
        smooth = Curve.of(smoother.extend(curves["loss"].at(slice(None))))
        return Snapshot(-1, curves, smooth, val.curves(), share=0.0)

    def _take(self, log: str, tail: LogTail, limit: int) -> bool:
        """Read further in one log; its iterator is kept until it ends. Returns whether there is more."""
        iterator = self._waiting.setdefault(log, tail.batches())
        add = self._add_metrics if log == "metrics" else self._add_samples
        records: list[dict[str, Any]] = []
        generation = tail.generation
        for batch in iterator:
            if tail.generation != generation:  # the file was truncated: what was read before belongs to the old one
                generation, records = tail.generation, []
            records += batch
            if self._preview is not None:
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
        """Drop what was read from a log that has been truncated since."""
        generations = (self._metrics.generation, self._samples.generation)
        if generations[0] != self._generations[0]:
            self._train, self._val = Table(), Table()
            self._smooth_again()
        if generations[1] != self._generations[1]:
            self._evaluations = {}
        self._generations = generations

    def _add_metrics(self, records: list[dict[str, Any]]) -> None:
        known = len(self._train)
        self._train.extend([record for record in records if record.get("split") == "train"])
        self._val.extend([record for record in records if record.get("split") == "val"])
        if self._preview is not None:
            return
        if self.beta is None and len(self._train) > 2 * max(self._fitted, 64):
            self._smooth_again()
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
            kind, text = record.get("kind"), record.get("text")
            if kind == "sample" and isinstance(text, str):
                self._evaluations[at] = replace(known, text=text[:MAX_SHOWN])
            elif kind == "mistakes" and (mistakes := mistakes_in(record)) is not None:
                self._evaluations[at] = replace(known, mistakes=mistakes)
            elif kind == "answers" and (answers := answers_in(record)) is not None:
                self._evaluations[at] = replace(known, answers=answers)
            elif (outlook := outlook_in(record)) is not None:
                self._evaluations[at] = replace(known, outlook=outlook)
        while len(self._evaluations) > KEPT_EVALUATIONS:
            del self._evaluations[next(iter(self._evaluations))]

    def _update_snapshot(self) -> None:
        evaluations = tuple(self._evaluations.values())
        if self._preview is not None:
            share = min(self._metrics.offset / max(self._metrics.size, 1), 0.99)
            self.snapshot = replace(self._preview, evaluations=evaluations, share=share)
            return
        self.snapshot = Snapshot(
            sum(self._generations),
            self._train.curves(),
            self._smooth.curve(),
            self._val.curves(),
            evaluations,
            self._metrics.damaged + self._samples.damaged,
        )


def held_out(paths: RunPaths) -> Snapshot:
    """What a table of results needs of a run's logs: the held-out figures alone, without curves of the training."""
    val = Table()
    for records in LogTail(paths.metrics, marked=b'"val"').batches():
        val.extend([record for record in records if record.get("split") == "val"])
    return Snapshot(val=val.curves())


def whole(paths: RunPaths) -> Snapshot:
    """All that a run's logs hold now."""
    feed = RunFeed(paths)
    while feed.advance():
        pass
    return feed.snapshot


def suited_beta(points: int) -> float:
    """The smoothing that averages over a hundredth of so many points, and over at least ten."""
    return 1.0 - 1.0 / max(10.0, points / 100)
