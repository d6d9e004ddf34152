"""What of a run can be drawn: the loss, every other number that was recorded, the speed; and against what."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tuirnn.charts.plot import Axis, Series
from tuirnn.figures import PERCENT, Judgement
from tuirnn.runlog.snapshot import Curves, Snapshot
from tuirnn.runlog.track import Curve
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import ELAPSED

LOSS, BLOCKS, SPEED = "loss", "loss_blocks", "tokens/s"

NAMES = {"lr": "learning rate", "grad_norm": "gradient norm"}
"""Of what held-out data are not judged by; `figures` has the others."""

SPEED_POINTS = 80

AXES = ("step", "epoch", "relative", "wall")


@dataclass(frozen=True)
class Facts:
    """What the record and the status say of a run that its logs do not.

    Attributes:
        amount: what a step learns from.
        counted: what that is: tokens, points or sequences.
        epochs: in a step.
    """

    amount: int = 0
    counted: str = "tokens"
    epochs: float = 0.0


def facts(run: RunSummary | None) -> Facts:
    """The facts of a run; none where it has no record."""
    if run is None or run.record is None:
        return Facts()
    train, status = run.record.config.train, run.status
    there = run.record.data.get("train")
    amount, counted = run.record.config.task.step_amount(train, there if isinstance(there, int) else 0)
    return Facts(amount, counted, status.epoch / status.step if status.step else 0.0)


def measures(snapshot: Snapshot, facts: Facts) -> list[str]:
    """All that can be drawn of a run: the loss, what held-out data say beside it, how the training goes."""
    train = [name for name in snapshot.train.values if name not in (LOSS, ELAPSED)]
    val = [name for name in snapshot.val.values if name not in (LOSS, ELAPSED) and name not in train]
    timed = (
        facts.amount > 0 and bool(np.isfinite(snapshot.train.at.at(slice(-1, None))).all()) and len(snapshot.train) > 1
    )
    judged = [name for name in val if name != BLOCKS]
    return [LOSS, *judged, *train, *([SPEED] if timed else []), *(name for name in val if name == BLOCKS)]


def unit_of(measure: str, judged: Judgement, wanted: str) -> str:
    """How a measure is written, one of `plot.UNITS`; `wanted` is the reader's choice for a loss in nats."""
    figure = judged.figure(measure)
    if figure is not None and figure.unit == PERCENT:
        return PERCENT
    return wanted if measure == LOSS and judged.loss.unit.startswith("nats") else "nats"


def title(measure: str, judged: Judgement, wanted: str = "nats", counted: str = "tokens") -> str:
    """A measure in words, with its unit; training and validation share the chart of the loss."""
    if measure == SPEED:
        return f"{counted}/s"
    figure = judged.figure(measure)
    if figure is None:
        return NAMES.get(measure, measure)
    if measure != LOSS:
        return figure.titled
    unit = unit_of(measure, judged, wanted)
    shown = unit if unit == "perplexity" else figure.unit.replace("nats", unit)
    return dataclasses.replace(figure, name=figure.kind, unit=shown).titled


def series_of(measure: str, snapshot: Snapshot, axis: str, facts: Facts, smooth: bool = True) -> list[Series]:
    """The lines that show a measure."""
    train, val = snapshot.train, snapshot.val
    x, x_val = place(train, axis), place(val, axis)
    if measure == LOSS:
        if not smooth:
            return [Series("train", x, train[LOSS], "train"), *validation(x_val, val[LOSS])]
        lines = [Series("", x, train[LOSS], "raw", faint=True), Series("train", x, snapshot.smooth, "train")]
        return [*lines, *validation(x_val, val[LOSS])]
    if measure == SPEED:
        return [Series("", *_speed(train, x, facts), "train")]
    if measure in train.values:
        return [Series("", x, train[measure], "train")]
    return [Series("", x_val, val[measure], "val"), Series("", x_val, val[measure], "val", mark="◆")]


@lru_cache(maxsize=16)
def validation(x: Curve, y: Curve) -> tuple[Series, ...]:
    """Validation losses as joined marks, the best of them as a star; the same objects for the same curves."""
    lines = [Series("val", x, y, "val"), Series("", x, y, "val", mark="◆")]
    finite = np.isfinite(y.values)
    if finite.any():
        best = int(np.argmin(np.where(finite, y.values, np.inf)))
        at = Curve.of(x.at(slice(best, best + 1)))
        lines.append(Series("", at, Curve.of(y.at(slice(best, best + 1))), "best", mark="★"))
    return tuple(lines)


def place(curves: Curves, axis: str) -> Curve:
    """Where the points lie on an axis: wall-clock seconds for those of time, else steps."""
    return curves.at if axis in ("wall", "relative") else curves.step


def axis_of(axis: str, snapshot: Snapshot, facts: Facts) -> Axis:
    """How the places on an axis are written."""
    if axis == "epoch":
        return Axis(factor=facts.epochs or 1.0, kind="number")
    if axis == "relative":
        at = snapshot.train.at.values
        return Axis(origin=float(at[0]) if len(at) else 0.0, kind="time")
    return Axis(kind="clock" if axis == "wall" else "count")


def axes(snapshot: Snapshot, facts: Facts) -> list[str]:
    """The axes that this run has what is needed for."""
    timed = bool(np.isfinite(snapshot.train.at.values[:1]).any())
    return [axis for axis in AXES if axis == "step" or (facts.epochs > 0 if axis == "epoch" else timed)]


def position(curves: Curves, axis: str, step: float) -> float:
    """Where a step lies on an axis; NaN where there is none."""
    if not len(curves):
        return float("nan")
    return float(place(curves, axis).values[min(curves.step.before(step), len(curves) - 1)])


def step_at(curves: Curves, axis: str, x: float) -> float:
    """The recorded step nearest to a place on an axis; NaN where there is none."""
    places = place(curves, axis)
    if not len(places):
        return float("nan")
    right = min(places.before(x), len(places) - 1)
    left = max(right - 1, 0)
    nearest = left if abs(float(places.values[left]) - x) < abs(float(places.values[right]) - x) else right
    return float(curves.step.values[nearest])


def _speed(train: Curves, x: Curve, facts: Facts) -> tuple[Curve, Curve]:
    """What is learned from in a second, over some stretches of the run, evaluations and pauses included."""
    chosen = np.unique(np.linspace(0, len(train) - 1, min(len(train), SPEED_POINTS + 1)).astype(np.int64))
    steps, at = train.step.at(chosen), train.at.at(chosen)
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = facts.amount * np.diff(steps) / np.diff(at)
    return Curve.of(x.at(chosen[1:])), Curve.of(np.where(np.diff(at) > 0, speed, np.nan))
