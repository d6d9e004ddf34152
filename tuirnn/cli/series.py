"""What `tuirnn predict` shows of a series and its forecast: CSV, JSON, a chart in the terminal, a picture in a file."""

import csv
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.cli.options import print_json
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.escaping import for_csv
from tuirnn.files import atomic_write
from tuirnn.scaling import Series
from tuirnn.tasks.task import Held, OpenCell, Task

MOST_CHARTS, CHART_HEIGHT, CHART_WIDTH = 4, 12, 100
PICTURES = (".svg", ".png", ".pdf")
AHEAD = "forecast"
"""What the points are called that are not there yet."""

COLOURS = {"history": "36", AHEAD: "1;33", "axis": "2", "label": "2", "alarm": "31", "cursor": "2"}
"""ANSI colours of a chart's parts."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for; `chart` None: where standard output is a terminal."""

    horizon: int
    output: Path | None = None
    plot: Path | None = None
    chart: bool | None = None
    as_json: bool = False


def show(cell: OpenCell, task: Task, held: Held, wanted: Wanted) -> None:
    """Go on from the end of a table, or of a run's own series, and show what comes.

    Raises:
        DataError: a table that the network cannot read.
        ConfigError: a picture of a kind that is not known, or without matplotlib.
    """
    if wanted.plot is not None and wanted.plot.suffix not in PICTURES:
        raise ConfigError(f"--plot takes a file name that ends in {', '.join(PICTURES)}, not '{one_line(wanted.plot)}'")
    found = task.history(cell, held, whole=True)
    for note in found.notes:
        print(f"tuirnn: {found.what}: {note}", file=sys.stderr)
    points = task.go_on(cell, found.values, wanted.horizon)
    assert cell.metadata.scaling is not None
    names = cell.metadata.scaling.columns
    if not np.isfinite(points).all():
        step = int(np.argmin(np.isfinite(points).all(1))) + 1
        print(f"tuirnn: the forecast grows beyond all numbers at step {step}", file=sys.stderr)
    if wanted.plot is not None:
        _picture(wanted.plot, names, found.values, points)
    if wanted.output is not None:
        _write(wanted.output, to_csv(names, points).encode())
        print(f"{one_line(wanted.output)}: {len(points):,} points after {len(found.values):,}", file=sys.stderr)
    terminal = sys.stdout.isatty()
    if wanted.as_json:
        print_json({"model": cell.name, "after": len(found.values), "columns": names, AHEAD: points.tolist()})
    elif wanted.chart if wanted.chart is not None else terminal:
        print(charts(names, found.values, points, colour=terminal))
        if wanted.output is None:
            print("the numbers: -o FILE.csv, --no-chart, or a pipe")
    elif wanted.output is None:
        sys.stdout.write(to_csv(names, points))


def to_csv(names: tuple[str, ...], points: Series) -> str:
    """A line of names, and one for each point with as many digits as float32 has."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([for_csv(name) for name in names])
    table.writerows([str(value) for value in point] for point in points.astype(np.float32))
    return text.getvalue()


def charts(names: tuple[str, ...], history: Series, points: Series, *, colour: bool) -> str:
    """A chart for each of the first columns: the end of the history, and the forecast."""
    from tuirnn.charts import plot
    from tuirnn.charts.plot import Canvas, Options, draw
    from tuirnn.runlog.track import Curve

    width = min(CHART_WIDTH, shutil.get_terminal_size((CHART_WIDTH, 24)).columns)
    (x_old, old), (x_new, new) = _ends(history, points)

    def painted(canvas: Canvas, row: int) -> str:
        spans = canvas.spans(row)
        if not colour:
            return "".join(text for text, _ in spans).rstrip()
        return "".join(f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if style in COLOURS else text for text, style in spans)

    lines = []
    for f, name in enumerate(names[:MOST_CHARTS]):
        curves = [
            plot.Series("history", Curve.of(x_old), Curve.of(old[:, f]), "history"),
            plot.Series(AHEAD, Curve.of(x_new), Curve.of(new[:, f]), AHEAD),
        ]
        canvas = draw(curves, width, CHART_HEIGHT, Options(cursor=float(len(history))))
        lines.append(f"{one_line(name, 60)}: {len(points):,} points after row {len(history):,}")
        lines += [painted(canvas, row) for row in range(canvas.height)]
    if len(names) > MOST_CHARTS:
        lines.append(f"and {len(names) - MOST_CHARTS} columns more")
    return "\n".join(lines)


def _ends(history: Series, points: Series) -> tuple[tuple[Any, Series], tuple[Any, Series]]:
    """(rows, values) of the history's end, as long as the forecast or longer, and of the forecast joined to it."""
    shown = history[-max(len(points), 50) :]
    last = len(history)
    joined = np.concatenate([history[-1:], points])
    return (
        (np.arange(last - len(shown) + 1, last + 1, dtype=np.float64), shown),
        (np.arange(last, last + len(joined), dtype=np.float64), joined),
    )


def _picture(path: Path, names: tuple[str, ...], history: Series, points: Series) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs matplotlib; install it with: pip install 'tuirnn[plots]'") from None
    (x_old, old), (x_new, new) = _ends(history, points)
    shown = names[:MOST_CHARTS]
    figure = Figure(figsize=(8, 1 + 2 * len(shown)), layout="constrained")
    for f, (name, axes) in enumerate(zip(shown, figure.subplots(len(shown), squeeze=False)[:, 0], strict=True)):
        axes.plot(x_old, old[:, f], color="#0072B2", label="history")
        axes.plot(x_new, new[:, f], color="#D55E00", label=AHEAD)
        axes.set_ylabel(one_line(name, 40).replace("$", r"\$"))
        axes.grid(alpha=0.2)
    axes.set_xlabel("row")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=150)
    _write(path, picture.getvalue())


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data)
    except OSError as error:
        raise RunError(f"cannot write {one_line(path)}: {error.strerror}; name another file") from None
