"""A run's logs as the dashboard needs them: read in pieces, only when they have changed."""

import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tuirnn.runlog.folder import Signature, signature
from tuirnn.runlog.glances import glances
from tuirnn.runlog.memory import give_memory_back
from tuirnn.runlog.smoothing import Smoother
from tuirnn.runlog.snapshot import MAX_SHOWN, Evaluation, Snapshot, Table, mistakes_in
from tuirnn.runlog.track import Curve, Track
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, as_number

KEPT_EVALUATIONS = 1_000
"""Older samples and mistakes are let go of; their losses stay."""


BATCH = 1_000

LONG = 4 * 2**20
"""Bytes of a log from which a sketch is drawn first."""

GLANCES, GLANCE = 250, 4096
"""How many places of a long log are looked at for the sketch, and bytes at each."""

QUIET, PATIENCE = 0.1, 0.3
"""Seconds after input before a long log is read further, and seconds after which it is read further in any case."""


SMOOTHED_AT_ONCE = 2**16


class InputPriority:
    """Lets input go before the reading of long logs, since both need the interpreter."""

    def __init__(self) -> None:
        self._until = 0.0

    def received(self) -> None:
        """Note that a key was pressed or the mouse was used."""
        self._until = time.monotonic() + QUIET

    @property
    def is_idle(self) -> bool:
        """Whether there was no input in the last `QUIET` seconds."""
        return time.monotonic() >= self._until

    def wait(self) -> None:
        """Block a reader between two pieces until input pauses, for `PATIENCE` seconds at most."""
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
            text, mistakes = record.get("text"), mistakes_in(record)
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


def suited_beta(points: int) -> float:
    """A smoothing that averages over about a hundredth of so many points, and over ten at least."""
    return 1.0 - 1.0 / max(10.0, points / 100)
