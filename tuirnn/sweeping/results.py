"""What came of a sweep: tables for people, and the data of a chart."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuirnn.escaping import for_markdown
from tuirnn.figures import number
from tuirnn.files import atomic_write, to_json
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.sweeping.points import Point

if TYPE_CHECKING:
    from tuirnn.sweeping.plans import Plan

FORMAT = 1
"""Version of `sweep.json`."""

GROUPS = 4
"""Groups of equal size that the values of a range are put into, to tell how much of the loss they explain."""


def figure(run: RunSummary) -> str:
    """The best held-out loss, called leaky where it is."""
    return number(run.status.best_val_loss, 4) + " leaky" * run.leaky if run.status.best_step else "–"


Row = tuple[str, ...]


def table(points: Sequence[Point], folder: Path, pruned: frozenset[str] = frozenset()) -> list[Row]:
    """A line for each run below a line of titles: what was varied, the best held-out loss, where, and what it took.

    Args:
        points: the runs.
        folder: of runs.
        pruned: names of those that the sweep has stopped early.
    """
    axes = list(points[0].at)
    rows: list[Row] = [("run", *axes, "best val", "unit", "accuracy", "at step", "seconds", "parameters", "state")]
    for point in points:
        run = summarize(RunPaths(folder / point.name))
        status, record = run.status, run.record
        share = status.figure("accuracy")
        accuracy = "–" if math.isnan(share) else f"{100 * share:.2f} %" + " leaky" * run.leaky
        values = (_shown(point.at[name]) for name in axes)
        size = f"{record.parameters:,}" if record else "–"
        counts = (f"{status.best_step:,}", f"{status.elapsed:,.0f}", size)
        rows.append(
            (
                point.name,
                *values,
                figure(run),
                run.judgement.loss.unit,
                accuracy,
                *counts,
                "pruned" if point.name in pruned else status.state if record else "failed",
            )
        )
    return rows if any(row[-5] != "–" for row in rows[1:]) else [row[:-5] + row[-4:] for row in rows]


def over_seeds(points: Sequence[Point], folder: Path) -> list[Row]:
    """Means and deviations over the seeds, of the best held-out loss and the last accuracy; empty for one seed."""
    seeds = {"seed", "split_seed"} & points[0].at.keys()
    if not seeds:
        return []
    axes = [name for name in points[0].at if name not in seeds]
    groups: dict[Row, list[RunSummary]] = {}
    for point in points:
        key = tuple(_shown(point.at[name]) for name in axes)
        groups.setdefault(key, []).append(summarize(RunPaths(folder / point.name)))
    rows: list[Row] = [(*axes, "runs", "mean best val", "deviation", "unit", "mean accuracy", "deviation of it")]
    for key, runs in groups.items():
        leaky = any(run.leaky for run in runs)
        losses = [run.status.best_val_loss for run in runs if run.status.best_step]
        accuracies = [run.status.figure("accuracy") for run in runs]
        shares = [100 * accuracy for accuracy in accuracies if not math.isnan(accuracy)]
        unit = runs[0].judgement.loss.unit
        rows.append((*key, str(len(losses)), *_spread(losses, leaky), unit, *_spread(shares, leaky, 2)))
    return rows if any(row[-2] != "–" for row in rows[1:]) else [row[:-2] for row in rows]


def _spread(values: Sequence[float], leaky: bool, places: int = 4) -> tuple[str, str]:
    mean = number(statistics.fmean(values), places) + " leaky" * leaky if values else "–"
    return mean, number(statistics.stdev(values), places) if len(values) > 1 else "–"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def markdown(tables: Sequence[Sequence[Row]]) -> str:
    """Tables of rows as Markdown, each with its line of titles first."""
    lines = ["# Sweep", ""]
    for rows in tables:
        cells = ["| " + " | ".join(map(for_markdown, row)) + " |" for row in rows]
        lines += [*cells[:1], "|" + "---|" * len(rows[0]), *cells[1:], ""] if cells else []
    return "\n".join(lines)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep in `sweep.json`.

    Attributes:
        name: of the run.
        number: its place in the sweep, from 0.
        values: of the settings that the sweep varies.
        state: of the run, or 'pruned' where the sweep stopped it as hopeless, or 'failed' where it never began.
        loss: the best held-out loss; None: there is none.
        unit: of the loss.
        scale: what the unit depends on beyond its name, in words that differ where it does.
        at_step: where it was found.
        steps: taken.
        seconds: of training.
        leaky: whether the held-out part is also trained on.
        why: what went wrong; '' for nothing.
    """

    name: str
    number: int
    values: dict[str, Any]
    state: str
    loss: float | None
    unit: str
    scale: str
    at_step: int
    steps: int
    seconds: float
    leaky: bool
    why: str = ""


def trial(point: Point, number: int, folder: Path, why: str = "", *, pruned: bool = False) -> Trial:
    """What came of one run so far.

    Args:
        point: the run.
        number: its place in the sweep.
        folder: of runs.
        why: what went wrong, if anything.
        pruned: whether the sweep stopped it.
    """
    run = summarize(RunPaths(folder / point.name))
    status = run.status
    loss = status.best_val_loss if status.best_step and math.isfinite(status.best_val_loss) else None
    state = "failed" if why else "pruned" if pruned else status.state
    judged = run.judgement
    return Trial(
        point.name, number, dict(point.at), state, loss, judged.loss.unit, repr(judged.scale), status.best_step,
        status.step, status.elapsed, run.leaky, why,
    )  # fmt: skip


def as_data(stem: str, search: str, trials: Iterable[Trial]) -> dict[str, Any]:
    """The content of `sweep.json`: what a chart of a sweep needs, plain values.

    `best` names the run with the lowest loss, and `best_so_far` has for each trial with a loss the lowest one until
    then; both only where all losses are in one unit, and leaky ones aside where there are others.
    """
    found = sorted(trials, key=lambda one: one.number)
    known = [one for one in found if one.loss is not None]
    comparable = len({(one.unit, one.scale) for one in known}) == 1 and len({one.leaky for one in known}) == 1
    best: Trial | None = None
    course = []
    for one in known if comparable else ():
        if best is None or _loss(one) < _loss(best):
            best = one
        course.append([one.number, best.loss])
    whole = [one for one in known if one.state == "done"] if comparable else []
    return {
        "format": FORMAT,
        "name": stem,
        "search": search,
        "unit": known[0].unit if comparable else "",
        "best": best.name if best else None,
        "best_so_far": course,
        "importance": importance([one.values for one in whole], [_loss(one) for one in whole]),
        "trials": [asdict(one) for one in found],
    }


def _loss(one: Trial) -> float:
    return math.inf if one.loss is None else one.loss


def importance(values: Sequence[Mapping[str, Any]], losses: Sequence[float]) -> dict[str, float]:
    """How much of the variance of the losses each setting explains alone, from 0 to 1; nothing for too few runs.

    The correlation ratio η² of the groups of equal values (of a setting with many values: of `GROUPS` groups of equal
    size), less what groups of random runs would explain: ε² = 1 - (1 - η²)(n - 1) / (n - k) for n runs in k groups.
    Runs that were stopped early are not counted.

    Args:
        values: of the settings, for each run.
        losses: of the runs.
    Source: T. L. Kelley, An unbiased correlation ratio measure, PNAS 21 (1935).
    """
    n, loss = len(losses), np.array(losses, dtype=float)
    total = float(((loss - loss.mean()) ** 2).sum()) if n else 0.0
    found = {}
    for name in values[0] if total > 0 else ():
        groups = _groups([one[name] for one in values])
        k = len(set(groups))
        if not 1 < k < n:
            continue
        members = [loss[[at for at, group in enumerate(groups) if group == each]] for each in set(groups)]
        between = sum(len(one) * float(one.mean() - loss.mean()) ** 2 for one in members)
        share = 1 - (1 - between / total) * (n - 1) / (n - k)
        found[name] = round(min(1.0, max(0.0, share)), 4)
    return found


def _groups(values: Sequence[Any]) -> list[Any]:
    """The group of each value: itself, or the quarter of its rank where there are many different numbers."""
    if len(set(values)) <= GROUPS or not all(isinstance(value, (int, float)) for value in values):
        return list(values)
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [ranks[value] * GROUPS // len(ranks) for value in values]


def write_data(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `sweep.json`; not synced, because the run directories have the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, to_json(data, indent=1), durable=False)


class Record:
    """The trials of a sweep as they end; `sweep.json` follows them.

    Args:
        stem, search: of the sweep, for the file.
        plan: its runs.
        folder: of runs.
        path: of `sweep.json`.
    """

    def __init__(self, stem: str, search: str, plan: "Plan", folder: Path, path: Path) -> None:
        self.plan, self.folder, self.path = plan, folder, path
        self._stem, self._search = stem, search
        self._trials: dict[str, Trial] = {}

    def take(self, point: Point, failed: Mapping[str, str]) -> None:
        """Read what came of a run, and renew the file."""
        self._read(point, failed.get(point.name, ""))
        write_data(self.path, self.data())

    def _read(self, point: Point, why: str) -> None:
        number = [one.name for one in self.plan.points].index(point.name)
        found = trial(point, number, self.folder, why, pruned=point.name in self.plan.pruned)
        self._trials[point.name] = found

    def complete(self, failed: Mapping[str, str]) -> dict[str, Any]:
        """Read the runs that have begun and were not read yet, renew the file, return its content."""
        for point in self.plan.points:
            begun = point.name in failed or is_run(self.folder / point.name)
            if begun and point.name not in self._trials:
                self._read(point, failed.get(point.name, ""))
        data = self.data()
        write_data(self.path, data)
        return data

    def data(self) -> dict[str, Any]:
        """The content of the file so far."""
        return as_data(self._stem, self._search, self._trials.values())
