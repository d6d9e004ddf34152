"""Runs side by side: what differs, what came of it, their curves; as a table, a Markdown report and pictures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import RunError, TuirnnError, chosen, one_line
from tuirnn.escaping import for_markdown
from tuirnn.files import atomic_write
from tuirnn.runs.listing import RunSummary
from tuirnn.runs.reader import present_record
from tuirnn.tui import text
from tuirnn.tui.snapshot import Snapshot
from tuirnn.tui.track import Curve

ALIGNMENTS = ("step", "tokens", "time")
LABELS = {"step": "step", "tokens": "tokens trained on", "time": "seconds since the start"}


@dataclass(frozen=True)
class Compared:
    """One run of a comparison, with what has been read of its logs."""

    run: RunSummary
    snapshot: Snapshot

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting as it stands after all resumes; none of a damaged run."""
        if self.run.record is None:
            return {}
        try:
            return present_record(self.run.paths).config.flat()
        except TuirnnError:
            return self.run.record.config.flat()

    def x(self, alignment: str, validation: bool) -> Curve:
        """Where the points of a curve lie: steps, tokens, or seconds since the first record."""
        curves = self.snapshot.val if validation else self.snapshot.train
        if alignment == "time":
            first = self.snapshot.train.at.values[:1]
            return Curve.of(curves.at.values - (first[0] if len(first) else 0.0))
        if alignment == "tokens" and self.run.record is not None:
            train = self.run.record.config.train
            return Curve.of(curves.step.values * (train.batch_size * train.seq_len))
        return curves.step

    def y(self, validation: bool) -> Curve:
        """Validation loss, or the smoothed training loss."""
        return self.snapshot.val["loss"] if validation else self.snapshot.smooth


Row = tuple[str, tuple[str, ...]]


def differing(runs: Sequence[Compared]) -> list[Row]:
    """The settings that are not the same in all runs, each with its value in every run."""
    settings = [run.settings for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    rows = []
    for name in names:
        values = [one.get(name) for one in settings]
        if any(value != values[0] for value in values):
            rows.append((name, tuple(_shown(value) for value in values)))
    return rows


def results(runs: Sequence[Compared]) -> list[Row]:
    """What came of each run."""

    def said(one: Compared, figure: str) -> str:
        return f"{figure} leaky" if one.run.leaky else figure

    def blocks(one: Compared) -> str:
        steps, losses = one.snapshot.val.step.values, one.snapshot.val["loss_blocks"].values
        at = np.flatnonzero(steps == one.run.status.best_step)
        return said(one, text.loss(float(losses[at[-1]]))) if len(at) and len(losses) else "–"

    def parameters(one: Compared) -> str:
        return text.count(one.run.record.parameters) if one.run.record else "–"

    def best(one: Compared) -> str:
        return said(one, text.loss(one.run.status.best_val_loss if one.run.status.best_step else math.nan))

    columns: dict[str, Callable[[Compared], str]] = {
        "best validation loss, carried": best,
        "the same in blocks": blocks,
        "at step": lambda one: text.count(one.run.status.best_step),
        "steps": lambda one: text.count(one.run.status.step),
        "time": lambda one: text.duration(one.run.status.elapsed),
        "parameters": parameters,
        "device": lambda one: one_line(one.run.status.device, 40) or "–",
        "state": lambda one: one.run.status.state,
    }
    return [(name, tuple(column(one) for one in runs)) for name, column in columns.items()]


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value)) or "(embedded text)"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def markdown(runs: Sequence[Compared], pictures: Sequence[str]) -> str:
    """The report."""
    names = [one.run.name for one in runs]
    lines = ["# " + " · ".join(map(_cell, names)), ""]
    lines += [f"![validation loss](<{picture}>)" for picture in pictures if picture.endswith(".svg")]
    for heading, rows in (("Results", results(runs)), ("Settings that differ", differing(runs))):
        lines += ["", f"## {heading}", ""]
        if not rows:
            lines.append("None.")
            continue
        lines.append("| | " + " | ".join(map(_cell, names)) + " |")
        lines.append("|---|" + "---|" * len(names))
        lines += [f"| {_cell(name)} | " + " | ".join(map(_cell, values)) + " |" for name, values in rows]
    lines += ["", "Losses in nats per token. *Carried*: one pass over the held-out text, the hidden state carried "
              "along. *Blocks*: independent blocks of 256 tokens from a zero state.", ""]  # fmt: skip
    return "\n".join(lines)


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


def _draw(runs: Sequence[Compared], folder: Path, alignment: str) -> list[Path]:
    """The curves as SVG and PNG; nothing where there is no matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, one in enumerate(runs):
        colour = COLOURS[number % len(COLOURS)]
        x, y = one.x(alignment, False).values, one.y(False).values
        thin = max(1, len(x) // 4000)
        axes.plot(x[::thin], y[::thin], color=colour, alpha=0.35, linewidth=0.8)
        axes.plot(
            one.x(alignment, True).values,
            one.y(True).values,
            color=colour,
            marker=".",
            label=one.run.name + " (leaky)" * one.run.leaky,
        )
    axes.set_xlabel(LABELS[alignment])
    axes.set_ylabel("loss, nats per token (faint: training, smoothed)")
    axes.legend()
    axes.grid(alpha=0.2)
    paths = [folder / "curves.svg", folder / "curves.png"]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#555555")
"""Okabe and Ito's, which colour-blind eyes tell apart."""
