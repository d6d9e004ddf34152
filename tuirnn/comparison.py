"""Runs side by side, those of one unit together: what came of them, what differs, their curves; as a table, a Markdown
report and pictures."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn import text
from tuirnn.charts.colours import COLOURS
from tuirnn.errors import RunError, TuirnnError, chosen, one_line
from tuirnn.escaping import for_markdown
from tuirnn.figures import PERCENT, Figure
from tuirnn.files import atomic_write
from tuirnn.runlog.snapshot import NOTHING, Snapshot
from tuirnn.runlog.track import Curve
from tuirnn.runs.layout import RunPaths, creation_order
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import present_record

ALIGNMENTS = ("step", "tokens", "time")
LABELS = {"step": "step", "tokens": "tokens trained on", "time": "seconds of training"}

KEY = "★ best · ↓ lower is better · ↑ higher is better"
"""How a table of results is read."""

COMMON = "What runs of different units have in common"
"""Heading of the figures by which they can be compared."""

WORDS = """\
*Carried*: one pass over the held-out text, the hidden state carried along. *Blocks*: independent blocks of 256 tokens
from a zero state. *σ*: standard deviation of each column's training part. *Bits per character*: of the carried loss; an
unknown symbol counts as 8 bits for each byte of its spelling."""
"""What the report says of its figures' names."""


@dataclass(frozen=True)
class Compared:
    """One run of a comparison, with what has been read of its logs."""

    run: RunSummary
    snapshot: Snapshot

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting as it stands after all resumes; none of a damaged run."""
        if self.run.record is None:
            return {}
        try:
            return present_record(self.run.paths, self.run.record).config.flat()
        except TuirnnError:
            return self.run.record.config.flat()

    @property
    def held_out(self) -> tuple[Hashable, ...]:
        """What the held-out data are, the name first: equal for equal data, the same cut of them; empty if unknown."""
        if self.run.record is None or not self.run.record.data.get("sha256"):
            return ()
        config, data = self.run.record.config.data, self.run.record.data
        cut = (config.val_fraction, config.fraction, config.split_seed, config.lines)
        return (str(data.get("name", "")), str(data["sha256"]), *cut)

    def knows(self, figure: Figure | None) -> bool:
        """Whether this run is judged by a figure."""
        return figure is None or figure in self.run.judgement.figures

    def x(self, alignment: str, figure: Figure | None) -> Curve:
        """Where the points of `y` lie: steps, tokens, or seconds of training."""
        if not self.knows(figure):
            return NOTHING
        curves = self.snapshot.train if figure is None else self.snapshot.val
        if alignment == "time":
            return self.snapshot.elapsed(curves)
        if alignment == "tokens" and self.run.record is not None:
            train = self.run.record.config.train
            return Curve.of(curves.step.values * (train.batch_size * train.seq_len))
        return curves.step

    def y(self, figure: Figure | None) -> Curve:
        """A figure of the held-out data; None: the smoothed training loss."""
        if not self.knows(figure):
            return NOTHING
        return self.snapshot.smooth if figure is None else self.snapshot.val[figure.key]

    def at_best(self, figure: Figure) -> float:
        """A figure of the checkpoint with the best loss; NaN where there is none."""
        status = self.run.status
        if not status.best_step or not self.knows(figure):
            return math.nan
        if figure == self.run.judgement.loss:
            return status.best_val_loss
        val = self.snapshot.val
        at = np.flatnonzero(val.step.values == status.best_step)
        return float(val[figure.key].values[at[-1]]) if len(at) and len(val[figure.key]) else math.nan


@dataclass(frozen=True)
class Group:
    """Runs whose losses are in one unit."""

    runs: tuple[Compared, ...]

    @property
    def loss(self) -> Figure:
        """The figure that decides which checkpoint is the best."""
        return self.runs[0].run.judgement.loss

    @property
    def kind(self) -> Hashable:
        """Another one for each group."""
        return self.runs[0].run.judgement.kind

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure that one of the runs is judged by, the loss first."""
        return tuple(dict.fromkeys(figure for one in self.runs for figure in one.run.judgement.figures))

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names."""
        return tuple(one.run.name for one in self.runs)

    @property
    def mixed(self) -> bool:
        """Whether the runs were measured on different data."""
        return len({one.held_out for one in self.runs if one.held_out}) > 1

    @property
    def notes(self) -> list[str]:
        """What is to be said of the runs, a line each."""
        if not self.mixed:
            return []
        data: dict[tuple[Hashable, ...], list[str]] = {}
        for one in self.runs:
            data.setdefault(one.held_out or ("unknown",), []).append(one.run.name)
        told = "; ".join(f"{', '.join(names)}: {one_line(held[0], 60)}" for held, names in data.items())
        return [f"Measured on different data ({told}): none is the best, as the data may be easier or harder."]


def apart(found: Sequence[Group]) -> str:
    """How many runs these are, and in which units: why they are not drawn or listed with others."""
    names = dict.fromkeys(one.loss.unit or "no known unit" for one in found)
    return f"{sum(len(one.runs) for one in found)} kept apart: in {', '.join(names)}"


def groups(runs: Sequence[Compared]) -> tuple[Group, ...]:
    """The runs, those whose losses are in one unit together, in the order in which they are given."""
    found: dict[Hashable, list[Compared]] = {}
    for one in runs:
        found.setdefault(one.run.judgement.kind, []).append(one)
    return tuple(Group(tuple(alike)) for alike in found.values())


def common(found: Sequence[Group]) -> "Shared | None":
    """The figures by which runs of several groups can be compared all the same: these runs, and a row for each.

    None where no such figure is known of runs of two groups.
    """
    known = {
        figure: [[one for one in group.runs if math.isfinite(one.at_best(figure))] for group in found]
        for figure in dict.fromkeys(figure for group in found for figure in group.figures if figure.common)
    }
    shared = {figure: runs for figure, runs in known.items() if sum(map(bool, runs)) > 1}
    if not shared:
        return None
    whole = Group(tuple({one.run.name: one for of in shared.values() for runs in of for one in runs}.values()))
    return whole, tuple(_row(whole, figure, figure.directed) for figure in shared)


@dataclass(frozen=True)
class Row:
    """One line of a table: a name, a value for each run, which of them are the best, and how far they are apart.

    `delta` is the second less the first of two values, and of more the distance of the largest from the smallest.
    """

    name: str
    values: tuple[str, ...]
    best: frozenset[int] = frozenset()
    delta: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The values, the best ones with a star."""
        return tuple("★ " * (at in self.best) + value for at, value in enumerate(self.values))


Shared = tuple[Group, tuple[Row, ...]]
"""Runs of several units, and the figures that they have in common."""


def differing(group: Group) -> list[Row]:
    """The settings that are not the same in all runs, each with its value in every run."""
    settings = [one.settings for one in group.runs]
    names = dict.fromkeys(name for one in settings for name in one)
    rows = []
    for name in names:
        values = [one.get(name) for one in settings]
        if any(value != values[0] for value in values):
            rows.append(Row(name, tuple(_shown(value) for value in values)))
    return rows


def results(group: Group) -> list[Row]:
    """What came of each run: its figures, then what they took. A leaky figure is never the best one."""
    rows = []
    for figure in group.figures:
        row = _row(group, figure, f"best validation {figure.directed}" if figure == group.loss else figure.directed)
        if not figure.common or any(math.isfinite(one.at_best(figure)) for one in group.runs):
            rows.append(row)  # logs of earlier versions lack what is common
    columns: dict[str, Callable[[Compared], str]] = {
        "at step": lambda one: text.count(one.run.status.best_step),
        "steps": lambda one: text.count(one.run.status.step),
        "time": lambda one: text.duration(one.run.status.elapsed),
        "parameters": lambda one: text.count(one.run.record.parameters) if one.run.record else "–",
        "device": lambda one: one_line(one.run.status.device, 40) or "–",
        "state": lambda one: one.run.status.state,
    }
    return rows + [Row(name, tuple(column(one) for one in group.runs)) for name, column in columns.items()]


def _row(group: Group, figure: Figure, name: str) -> Row:
    """A figure of each run; none is the best where they were measured on different data."""
    values = [one.at_best(figure) for one in group.runs]
    pairs = list(zip(group.runs, values, strict=True))
    mixed = group.mixed
    honest = [math.nan if one.run.leaky or mixed else value for one, value in pairs]
    shown = tuple(figure.shown(value) + " leaky" * one.run.leaky for one, value in pairs)
    return Row(name, shown, figure.best(honest), _delta(figure, values))


def _delta(figure: Figure, values: Sequence[float]) -> str:
    """How far values are apart; '' for fewer than two."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    if len(values) == 2:
        apart = values[1] - values[0]
        return ("+" if apart > 0 else "") + figure.shown(apart)
    return figure.shown(max(known) - min(known))


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value)) or "(embedded text)"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def markdown(runs: Sequence[Compared], pictures: Sequence[str]) -> str:
    """The report: a section for each unit."""
    found = groups(runs)
    lines = ["# " + " · ".join(_cell(one.run.name) for one in runs), ""]
    lines += [f"![curves, one unit an axis](<{picture}>)" for picture in pictures if picture.endswith(".svg")]
    if len(found) > 1:
        lines += ["", "Runs whose figures are in different units are kept apart: no figure of one says anything beside "
                  "one of the other."]  # fmt: skip
    for group in found:
        mark = "#" * (2 + (len(found) > 1))
        if len(found) > 1:
            lines += ["", f"## {_cell(group.loss.titled)}: {', '.join(map(_cell, group.names))}"]
        for heading, rows in (("Results", results(group)), ("Settings that differ", differing(group))):
            lines += ["", f"{mark} {heading}", "", *(_table(group.names, rows) if rows else ["None."])]
        lines += [line for note in group.notes for line in ("", note)]
    if (shared := common(found)) is not None:
        lines += ["", f"## {COMMON}", "", *_table(shared[0].names, shared[1])]
        lines += [line for note in shared[0].notes for line in ("", note)]
    lines += ["", f"{KEY}. Figures are those of the checkpoint with the best loss.", "", WORDS, ""]
    return "\n".join(lines)


def _table(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    lines = ["| | " + " | ".join(map(_cell, names)) + " |", "|---|" + "---|" * len(names)]
    return lines + [f"| {_cell(row.name)} | " + " | ".join(map(_cell, row.cells)) + " |" for row in rows]


def _cell(value: str) -> str:
    return for_markdown(value)


def write_report(runs: Sequence[Compared], folder: Path, alignment: str = "step") -> list[Path]:
    """Write `report.md`, and `curves.svg` and `curves.png` where matplotlib is installed.

    Returns:
        What was written.
    Raises:
        RunError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = _draw(runs, folder, alignment)
        report = folder / "report.md"
        atomic_write(report, markdown(runs, [path.name for path in written]).encode())
    except OSError as error:
        raise RunError(f"cannot write a report into {one_line(folder)}: {error.strerror}") from None
    return [report, *written]


def check_alignment(alignment: str) -> str:
    """The one of `ALIGNMENTS` that `alignment` is in any case; raises ConfigError otherwise."""
    return chosen("--by", alignment, ALIGNMENTS)


def panels(runs: Sequence[Compared]) -> list[tuple[Group, Figure]]:
    """The charts of a report: for each group of runs, the first figure of each unit that its logs hold."""
    found = []
    for group in groups(runs):
        units: dict[str, Figure] = {}
        for figure in group.figures:
            if figure == group.loss or (not figure.common and any(len(one.y(figure)) for one in group.runs)):
                units.setdefault(figure.unit, figure)
        found += [(group, figure) for figure in units.values()]
    return found


def _draw(runs: Sequence[Compared], folder: Path, alignment: str) -> list[Path]:
    """The curves as SVG and PNG; nothing where there is no matplotlib."""
    try:
        picture = drawn(runs, alignment)
    except ImportError:
        return []
    paths = [folder / "curves.svg", folder / "curves.png"]
    for path in paths:
        picture.savefig(path, dpi=150)
    return paths


def drawn(runs: Sequence[Compared], alignment: str) -> Any:
    """The curves as a figure of matplotlib, one unit an axis; raises ImportError where that is not installed."""
    from matplotlib.figure import Figure as Picture

    found = panels(runs)
    picture = Picture(figsize=(8, 1 + 4 * len(found)), layout="constrained")
    colours = colours_of([one.run.paths for one in runs])
    for (group, figure), axes in zip(found, picture.subplots(len(found), squeeze=False)[:, 0], strict=True):
        for one in group.runs:
            _draw_run(axes, one, figure, alignment, colours[one.run.name], faint=figure == group.loss)
        axes.set_xlabel(LABELS[alignment])
        axes.set_ylabel(figure.directed + "\n(faint: training, smoothed)" * (figure == group.loss))
        if len(group.runs) <= MOST_NAMED:
            axes.legend()
        axes.grid(alpha=0.2)
    return picture


def colours_of(runs: Sequence[RunPaths]) -> dict[str, str]:
    """The colour of each run, that of the dashboard; runs of several folders have those of their places here."""
    folders = {paths.root.parent for paths in runs}
    places = creation_order(folders.pop()) if len(folders) == 1 else {}
    return {paths.name: COLOURS[places.get(paths.name, at) % len(COLOURS)] for at, paths in enumerate(runs)}


def _draw_run(axes: Any, one: Compared, figure: Figure, alignment: str, colour: str, faint: bool) -> None:
    if faint:
        x, y = one.x(alignment, None).values, one.y(None).values
        thin = max(1, len(x) // 4000)
        axes.plot(x[::thin], y[::thin], color=colour, alpha=0.35, linewidth=0.8)
    y = one.y(figure).values * (100 if figure.unit == PERCENT else 1)
    x = one.x(alignment, figure).values[: len(y)]
    axes.plot(x, y, color=colour, marker=".", label=one.run.name + " (leaky)" * one.run.leaky)


MOST_NAMED = 24
"""Runs whose names fit into a legend; the tables name all of them."""
