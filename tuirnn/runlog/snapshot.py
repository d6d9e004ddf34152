"""What is known about a run at one time: curves, samples, mistakes."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.runlog.answers import Answers, Outlook
from tuirnn.runlog.track import Curve, SeriesBuffer
from tuirnn.runs.reader import ELAPSED, as_number

Floats = npt.NDArray[np.float64]

MAX_SHOWN = 4_000
"""Characters of a sample, and symbols of mistakes, that are kept: more than any screen has."""

MOST_SERIES = 64

INTERRUPTION, LONGEST = 600.0, 60.0
"""A record that follows another after so many seconds, and after so many times the usual, follows an interruption."""


@dataclass(frozen=True)
class Mistakes:
    """Held-out text as the network predicts it: each symbol, its loss in nats, the likeliest symbol in its place."""

    symbols: tuple[str, ...]
    nats: tuple[float, ...]
    guesses: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation in `samples.jsonl`; what the task or an earlier version does not record is None."""

    step: int
    text: str = ""
    mistakes: Mistakes | None = None
    answers: Answers | None = None
    outlook: Outlook | None = None


@dataclass(frozen=True)
class Curves:
    """The records of one split as columns of equal length: step, wall time, and every number that was recorded."""

    step: Curve = field(default_factory=Curve)
    at: Curve = field(default_factory=Curve)
    values: Mapping[str, Curve] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, name: str) -> Curve:
        """The column of this name; an empty one if it was not recorded."""
        return self.values.get(name, NOTHING)


class Table:
    """Growing `Curves`."""

    def __init__(self) -> None:
        self._columns: dict[str, SeriesBuffer] = {"step": SeriesBuffer(), "at": SeriesBuffer()}

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
                self._columns[name] = SeriesBuffer()
                self._columns[name].extend(np.full(known, np.nan))
            self._columns[name].extend(numbers[kept])
        self._columns["step"].extend(steps[kept])
        for buffer in self._columns.values():
            if len(buffer) < len(self):
                buffer.extend(np.full(len(self) - len(buffer), np.nan))

    def curves(self) -> Curves:
        """The columns so far."""
        columns = {name: buffer.curve() for name, buffer in self._columns.items()}
        return Curves(columns.pop("step"), columns.pop("at"), columns)


def _numbers(values: Sequence[object]) -> Floats:
    """JSON values as floats; NaN for values that are not numbers."""
    if set(map(type, values)) <= {int, float}:
        with contextlib.suppress(OverflowError):
            return np.array(values, np.float64)
    return np.array([as_number(value) for value in values], np.float64)


NOTHING = Curve()


@dataclass(frozen=True)
class Snapshot:
    """A run's logs up to some time; immutable.

    Attributes:
        generation: grows when the logs were truncated and read again.
        train: every training step.
        smooth: the training loss, smoothed.
        val: every evaluation.
        evaluations: the newest ones, oldest first.
        damaged: lines that could not be read.
        share: how much of the log has been read; below 1 the curves are a preview from some of its lines.
    """

    generation: int = 0
    train: Curves = field(default_factory=Curves)
    smooth: Curve = NOTHING
    val: Curves = field(default_factory=Curves)
    evaluations: tuple[Evaluation, ...] = ()
    damaged: int = 0
    share: float = 1.0

    def elapsed(self, curves: Curves) -> Curve:
        """Seconds of training at each record of one of the splits, never falling.

        Logs of earlier versions hold the time of day alone: there an interruption counts as a usual step, and a clock
        that was set back as none.
        """
        own = curves[ELAPSED].at(slice(None))
        if len(own) == len(curves) and np.isfinite(own).all():
            return Curve.of(np.maximum.accumulate(own)) if len(own) else NOTHING
        train = self.train if len(self.train) > 1 else curves
        derived = np.interp(curves.step.values, train.step.values, _seconds_of(train.at.at(slice(None))))
        if len(own):
            derived = np.where(np.isfinite(own), own, derived)
        return Curve.of(np.maximum.accumulate(derived))


def _seconds_of(at: Floats) -> Floats:
    """Seconds since the first of some times of day, interruptions left out."""
    taken = np.diff(at, prepend=at[:1])
    taken = np.where(np.isfinite(taken) & (taken > 0), taken, 0.0)
    usual = float(np.median(taken[taken > 0])) if (taken > 0).any() else 0.0
    seconds: Floats = np.cumsum(np.where(taken > max(INTERRUPTION, LONGEST * usual), usual, taken))
    return seconds


def mistakes_in(record: dict[str, Any]) -> Mistakes | None:
    """The mistakes in a record of `samples.jsonl`; None if the record is damaged."""
    symbols, nats, guesses = (record.get(key) for key in ("symbols", "nats", "guesses"))
    if not (isinstance(symbols, list) and isinstance(nats, list) and isinstance(guesses, list)):
        return None
    length = min(len(symbols), len(nats), len(guesses), MAX_SHOWN)
    if not all(isinstance(token, str) for token in (*symbols[:length], *guesses[:length])):
        return None
    return Mistakes(tuple(symbols[:length]), tuple(map(as_number, nats[:length])), tuple(guesses[:length]))


def last_text(snapshot: Snapshot) -> str:
    """The newest sample; '' if there is none."""
    return next((one.text for one in reversed(snapshot.evaluations) if one.text), "")
