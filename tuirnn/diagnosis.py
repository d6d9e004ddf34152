"""What a run's logs say about how it learns, in words: what was found, the evidence, and what to try.

Each rule looks at one thing and is silent where it cannot be sure: a run without a finding is not thereby a good one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn import gates, tasks, text
from tuirnn.codegen.trace import traced
from tuirnn.errors import one_line
from tuirnn.figures import PERCENT
from tuirnn.runlog.feed import whole
from tuirnn.runlog.probes import Probe, ProbeLog
from tuirnn.runlog.snapshot import Snapshot
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import SAID, SAID_SHARE, SAID_TRUE, RunRecord

Floats = npt.NDArray[np.float64]

LEAST_STEPS = 100
"""Training steps below which nothing is said about the course of the loss."""

RISE = 0.02
"""Share of the best held-out loss by which a later one must lie above it."""

LATER = 2
"""Evaluations after the best one that must confirm a rise."""

CLIPPED = 0.95
"""Share of the recent steps that were clipped."""

RECENT = 0.3
"""Share of a run, at its end, that is recent."""

SATURATED = 0.8
"""Share of a gate's values that lie in the first or the last of the recorded bins."""

STUCK = 0.97
"""The same while the held-out loss still improves."""

UP = 0.15
"""Share of what a loss has fallen by that it must have risen again."""

STRAIGHT = 0.75
"""Share of its first fall by which a loss still falls in the last third: a learned network's flattens far more."""

STILL, USUAL_RATE = 0.02, 1e-3
"""Share of itself by which a loss that hardly falls has fallen, and the rate below which the rate is the reason."""

PER_NUMBER = 2.0
"""Trainable numbers for each token, point or sequence of the training part from which the data are called small."""

HOPELESS = 100.0
"""The same ratio from which they are called small whatever the losses are: so few are memorised in a few passes."""

HIGHEST_RATE, FAR_TOO_HIGH = 0.01, 0.1
"""Learning rate that is advised at most where the loss was not finite, or the rate of an adaptive optimizer above the
second."""

GAP = 0.25
"""Share of the held-out loss that the training loss must lie below it."""

RIGHT, NEARLY_ALL = 0.95, 0.99
"""Shares of right held-out answers from which a network has learned its data, however few they are, and from which
there is nothing left to go on for."""

STILL_FALLS = 0.03
"""Share of itself by which the training loss falls in the last part of a run that has ended too early."""

SMALLEST_DROPOUT, SHORTEST_PATIENCE = 0.3, 5
"""What is advised against overfitting, where a run had less of it."""

ALL, ONCE = 0.995, 2
"""Share of the held-out answers that one class has where a network is said to know no other, and evaluations of a
training in progress that must agree in it: at first every network does so."""

POINTS = 2_000
"""Points of a curve that are looked at."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        name: one of a few words, for programs.
        what: it, in a few words.
        evidence: the figures that say so.
        advice: what to try.
    """

    name: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class _Seen:
    """What the rules look at: the run, its logs, and its training loss as arrays of at most `POINTS` finite points."""

    record: RunRecord
    run: RunSummary
    snapshot: Snapshot
    probes: Sequence[Probe]
    step: Floats
    loss: Floats

    def smoothed_at(self, step: float) -> float:
        """The smoothed training loss at a step; NaN if there is none."""
        at = int(np.searchsorted(self.step, step, "right")) - 1
        return float(self.loss[at]) if at >= 0 else math.nan

    @property
    def improves(self) -> bool:
        """Whether the last evaluation is the best one."""
        steps = self.snapshot.val.step.at(slice(None))
        return len(steps) > 0 and float(steps[-1]) == self.run.status.best_step

    def shown(self, value: float) -> str:
        """A loss in words."""
        return self.run.judgement.loss.shown(value)


def findings_of(run: RunSummary) -> tuple[Finding, ...]:
    """What is found in the logs of a run, the most serious first.

    Args:
        run: with its record and status.
    """
    return diagnose(run, whole(run.paths), ProbeLog(run.paths.probes).read())


def diagnose(run: RunSummary, snapshot: Snapshot, probes: Sequence[Probe] = ()) -> tuple[Finding, ...]:
    """What is found in a run, the most serious first.

    Args:
        run: its record and status.
        snapshot: its logs, whole.
        probes: its probes, oldest first.
    """
    if run.record is None:
        return ()
    step, loss = _course(snapshot)
    seen = _Seen(run.record, run, snapshot, probes, step, loss)
    return tuple(found for rule in RULES if (found := rule(seen)) is not None)


def _course(snapshot: Snapshot) -> tuple[Floats, Floats]:
    """Steps and smoothed training losses, finite ones alone, evenly thinned."""
    count = min(len(snapshot.smooth), len(snapshot.train))
    chosen = (
        np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(np.int64)) if count else np.zeros(0, np.int64)
    )
    step, loss = snapshot.train.step.at(chosen), snapshot.smooth.at(chosen)
    known = np.isfinite(loss)
    return step[known], loss[known]


def _rate_too_high(seen: _Seen) -> Finding | None:
    """The loss was not finite, or it has risen again after it had fallen."""
    lr = seen.record.config.train.lr
    broke = seen.run.status.state == "failed" and "not finite" in seen.run.status.message
    far = lr > FAR_TOO_HIGH and seen.record.config.train.optimizer != "sgd"
    advice = f"try --lr {min(lr / 3, HIGHEST_RATE if broke or far else lr):.2g}, a longer --warmup, or a smaller --clip"
    losses = seen.snapshot.train["loss"]
    broken = seen.snapshot.train.step.at(losses.odd[losses.odd < len(seen.snapshot.train)])
    if len(broken) or broke:
        where = (
            f"at step {text.count(float(broken[0]))}"
            if len(broken)
            else f"after step {text.count(seen.run.status.step)}"
        )
        return Finding(
            "rate-high", "learning rate too high", f"loss or gradient not finite {where} at --lr {lr:g}", advice
        )
    if len(seen.loss) < LEAST_STEPS:
        return None
    at = int(np.argmin(seen.loss))
    lowest, now = float(seen.loss[at]), float(np.median(seen.loss[-len(seen.loss) // 10 :]))
    fallen = float(seen.loss[0]) - lowest
    if now - lowest > max(UP * abs(fallen), RISE * abs(lowest)) and at < (1 - RECENT / 2) * len(seen.loss):
        evidence = (
            f"training loss {seen.shown(lowest)} at step {text.count(seen.step[at])}, {seen.shown(now)} "
            f"{'now' if seen.run.status.live else 'at the end'}, "
            f"at --lr {lr:g}"
        )
        return Finding("rate-high", "learning rate too high", evidence, advice)
    return None


def _overfitting(seen: _Seen) -> Finding | None:
    """Held-out data get worse while training data get better."""
    val = seen.snapshot.val
    losses, steps = val["loss"].at(slice(None)), val.step.at(slice(None))
    known = np.isfinite(losses)
    losses, steps = losses[known], steps[known]
    if len(losses) <= LATER or seen.record.leaky:
        return None
    at = int(np.argmin(losses))
    best, later = float(losses[at]), losses[at + 1 :]
    if len(later) < LATER or float(later[-LATER:].min()) < best + RISE * abs(best):
        return None
    before, now = seen.smoothed_at(float(steps[at])), seen.smoothed_at(math.inf)
    if not now < before:
        return None
    since = text.count(float(steps[at]))
    evidence = (
        f"held-out loss {seen.shown(best)} → {seen.shown(float(later[-1]))}, "
        f"training loss {seen.shown(before)} → {seen.shown(now)}"
    )
    patience = seen.record.config.train.patience
    stop = f", or --patience {SHORTEST_PATIENCE}" * (not 0 < patience <= SHORTEST_PATIENCE)
    advice = f"the checkpoint 'best' is of step {since}; try {_dropout(seen)}a smaller --hidden, more data{stop}"
    return Finding("overfitting", f"overfitting since step {since}", evidence, advice)


def _one_answer(seen: _Seen) -> Finding | None:
    """A network with classes answers one of them to everything, or nearly so."""
    val, names = seen.snapshot.val, seen.record.data.get("classes")
    share, said, true = (val[key].at(slice(None))[-ONCE:] for key in (SAID_SHARE, SAID, SAID_TRUE))
    if not len(share) or not (share >= ALL).all() or (len(val) < ONCE and seen.run.status.live):
        return None
    number, right = int(said[-1]), float(true[-1])
    if right >= ALL or not isinstance(names, list) or not 0 <= number < len(names):
        return None
    train, task = seen.record.config.train, seen.record.config.task
    name, what = one_line(str(names[number]), 30), "words" if task.each else "sequences"
    evidence = (
        f"'{name}' is the answer to {100 * float(share[-1]):.3g} % of the held-out {what} at step "
        f"{text.count(float(val.step.values[-1]))}; it is right for {100 * right:.3g} % of them"
    )
    weights = " or --class-weights" * (tasks.reads(task, "class_weights") and not train.class_weights)
    advice = f"train longer; try --lr {3 * train.lr:.2g}, a larger --hidden{weights}, or examples of the other classes"
    return Finding("one-answer", f"answers '{name}' to everything", evidence, advice)


def _small_data(seen: _Seen) -> Finding | None:
    """More trainable numbers than there is to learn from, and a loss that shows it; or a hundred times as many."""
    there = seen.record.data.get("train")
    if not isinstance(there, int) or there <= 0 or seen.record.parameters < PER_NUMBER * there:
        return None
    steps, losses = (curve.at(slice(None)) for curve in (seen.snapshot.val.step, seen.snapshot.val["loss"]))
    if not len(losses):
        return None
    train, val = seen.smoothed_at(float(steps[-1])), float(losses[-1])  # of the same step
    if not (math.isfinite(train) and math.isfinite(val)) or _answers(seen) >= RIGHT:
        return None
    if (len(losses) < ONCE or val - train < GAP * abs(val)) and seen.record.parameters < HOPELESS * there:
        return None
    noun = seen.record.config.task.counted(seen.record.vocab.kind)
    evidence = (
        f"{text.short(seen.record.parameters)} parameters learn from {text.short(there)} {noun}; "
        f"training loss {seen.shown(train)}, held-out loss {seen.shown(val)}"
    )
    return Finding(
        "small-data", "data too small for the network", evidence, f"try more data, {_dropout(seen)}a smaller --hidden"
    )


def _dropout(seen: _Seen) -> str:
    """The advice to drop more, where a run has not done so."""
    return f"--dropout {SMALLEST_DROPOUT:g}, " * (seen.record.config.model.dropout < SMALLEST_DROPOUT)


def _answers(seen: _Seen) -> float:
    """Share of right held-out answers in the last evaluation; NaN where a network does not answer."""
    shares = (one for one in seen.record.config.task.figures if one.unit == PERCENT and one.higher)
    known = [seen.snapshot.val[one.key].at(slice(None)) for one in shares]
    return float(known[0][-1]) if known and len(known[0]) else math.nan


def _always_clipped(seen: _Seen) -> Finding | None:
    """Nearly every gradient is cut: the norm of a step is then the setting's, not the loss's."""
    clip, norms = seen.record.config.train.clip, seen.snapshot.train["grad_norm"]
    recent = norms.at(slice(int((1 - RECENT) * len(norms)), None))
    recent = recent[np.isfinite(recent)]
    if _rate_too_high(seen) is not None:
        return None  # which is why, and asks for a smaller one
    if clip <= 0 or len(recent) < RECENT * LEAST_STEPS or (share := float((recent > clip).mean())) < CLIPPED:
        return None
    usual = float(np.median(recent))
    evidence = (
        f"{100 * share:.0f} % of the last {text.count(len(recent))} gradients above --clip {clip:g}, median {usual:.3g}"
    )
    return Finding(
        "clipping", "every gradient is clipped", evidence, f"try --clip {_round(2 * usual)}, or a lower --lr with it"
    )


def _saturated_gates(seen: _Seen) -> Finding | None:
    """A gate that stands at an end of its range has next to no gradient."""
    if not seen.probes:
        return None
    probe, cell = seen.probes[-1], traced(seen.record.config.model.recurrent)
    worst = (0.0, "", "")
    for layer, own in enumerate(probe.gates, 1):
        for gate, shares in own.items():
            if gate not in gates.visible(cell) or not gates.is_known(gates.span(cell, gate)) or len(shares) < 3:
                continue
            share, end = shares[0] + shares[-1], "open" if shares[-1] > shares[0] else "shut"
            if share < STUCK and seen.improves:
                continue  # a candidate at ±1 writes characters apart, an open forget gate remembers: it learns
            at_end = end if gates.span(cell, gate) == gates.SHUT_OPEN else "at ±1"
            where = f"{cell.cell.words.get(gate, gate)} gate" + f" of layer {layer}" * (len(probe.gates) > 1)
            worst = max(worst, (share, where, at_end))
    if not worst[0] >= SATURATED:
        return None
    evidence = f"{100 * worst[0]:.0f} % of the {worst[1]} {worst[2]} at step {text.count(probe.step)}"
    return Finding(
        "saturated",
        "gates saturated",
        evidence,
        "try a lower --lr or a larger --weight-decay; X-ray in the dashboard shows them",
    )


def _rate_too_low(seen: _Seen) -> Finding | None:
    """The loss hardly falls, or falls in a straight line: it has not come near to what can be learned."""
    if len(seen.loss) < LEAST_STEPS or seen.record.parent is not None:
        return None
    lr, n = seen.record.config.train.lr, len(seen.loss)
    shares = ((0.05, 0.1), (0.35, 0.4), (0.62, 0.67), (0.95, 1.0))
    a, b, c, d = (float(np.median(seen.loss[int(x * n) : int(y * n)])) for x, y in shares)
    straight = a > b and c - d >= STRAIGHT * (a - b) and d > 0.9 * a
    still = lr < USUAL_RATE and abs(a - d) < STILL * abs(a)
    if not (straight or still):
        return None
    course = "hardly falls" if still else "falls in a straight line"
    evidence = f"training loss {seen.shown(a)} → {seen.shown(d)}: it {course} at --lr {lr:g}"
    return Finding("rate-low", "learning rate too low", evidence, f"try --lr {10 * lr:.2g}")


def _too_short(seen: _Seen) -> Finding | None:
    """A run without another finding has ended while its losses fell."""
    if seen.run.status.live or not seen.improves or len(seen.loss) < LEAST_STEPS or any(rule(seen) for rule in FAULTS):
        return None
    if _answers(seen) >= NEARLY_ALL:
        return None
    n = len(seen.loss)
    at, last = slice(int((0.95 - RECENT) * n), int((1 - RECENT) * n)), slice(int(0.95 * n), n)
    before, now = float(np.median(seen.loss[at])), float(np.median(seen.loss[last]))
    if before - now < STILL_FALLS * abs(before):
        return None
    evidence = (
        f"training loss {seen.shown(before)} → {seen.shown(now)} in the last {100 * RECENT:.0f} % of the steps, "
        "and the last evaluation is the best"
    )
    train = seen.record.config.train
    limits = {"minutes": train.minutes, "epochs": train.epochs, "steps": train.steps}
    set_ones = {name: value for name, value in limits.items() if value} or {"steps": seen.run.status.step}
    longer = " ".join(f"--{name} {2 * value:.10g}" for name, value in set_ones.items())
    return Finding(
        "short", "still learning when it ended", evidence, f"go on: tuirnn train --resume {seen.run.name} {longer}"
    )


def _round(value: float) -> str:
    """To one digit."""
    return f"{float(f'{value:.0e}'):g}"


FAULTS: tuple[Callable[[_Seen], Finding | None], ...] = (
    _rate_too_high, _one_answer, _overfitting, _small_data, _always_clipped, _saturated_gates, _rate_too_low,
)  # fmt: skip
RULES = (*FAULTS, _too_short)
"""The most serious first."""
