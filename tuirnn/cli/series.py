"""What `tuirnn predict` shows of a series and its forecast: CSV, JSON, a chart in the terminal, a picture in a file."""

import csv
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.calibration import COVERAGE
from tuirnn.cli.options import print_json
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.escaping import for_csv
from tuirnn.files import atomic_write
from tuirnn.scaling import Series
from tuirnn.tasks.history import Forecast, History
from tuirnn.tasks.task import Held, OpenCell, Task

MOST_CHARTS, CHART_HEIGHT, CHART_WIDTH = 4, 12, 100
PICTURES, MOST_DATES = (".svg", ".png", ".pdf"), 5
MOST_DIGITS, MOST_DECIMALS, LARGEST, MOST_LOOKED_AT = 7, 13, 1e9, 2_000
"""Of numbers in CSV: digits where a column has more, as many as float32 carries; its decimals, and the largest whole
number that its values make without their point, from which it has more; values at its end that are looked at."""

AHEAD = "forecast"
"""What the points are called that are not there yet."""

INTERVAL = "interval"
"""Style of the ends of an interval."""

COLOURS = {"history": "36", AHEAD: "1;33", INTERVAL: "2;33", "axis": "2", "label": "2", "alarm": "31", "cursor": "2"}
"""ANSI colours of a chart's parts."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for; `chart` None: where standard output is a terminal; `usual`: nobody gave the horizon."""

    horizon: int
    output: Path | None = None
    plot: Path | None = None
    chart: bool | None = None
    as_json: bool = False
    usual: bool = False


def show(cell: OpenCell, task: Task, held: Held, wanted: Wanted) -> None:
    """Go on from the end of a table, or of a run's own series, and show what comes.

    Raises:
        DataError: a table that the network cannot read.
        ConfigError: a picture of a kind that is not known, or without matplotlib.
    """
    if wanted.plot is not None and wanted.plot.suffix not in PICTURES:
        raise ConfigError(f"--plot takes a file name that ends in {', '.join(PICTURES)}, not '{one_line(wanted.plot)}'")
    histories = task.histories(cell, held, whole=True)
    for note in histories[0].notes:
        print(f"tuirnn: {note}", file=sys.stderr)
    assert cell.metadata.scaling is not None
    names = cell.metadata.scaling.columns
    made = [(history, task.go_on(cell, history, wanted.horizon)) for history in histories]
    for note in (*made[0][1].notes, *[f"{wanted.horizon} points ahead, the default of --horizon"] * wanted.usual):
        print(f"tuirnn: {note}", file=sys.stderr)
    for history, forecast in made:
        if not np.isfinite(forecast.points).all():
            step, of = (
                int(np.argmin(np.isfinite(forecast.points).all(1))) + 1,
                f" of {history.group}" * bool(history.group),
            )
            print(f"tuirnn: the forecast{one_line(of, 40)} grows beyond all numbers at step {step}", file=sys.stderr)
    if wanted.plot is not None:
        _picture(wanted.plot, names, *made[0])
        if len(made) > 1:
            print(f"tuirnn: the picture shows the first of {len(made):,} series", file=sys.stderr)
    if wanted.output is not None:
        _write(wanted.output, to_csv(names, made).encode())
        print(f"{one_line(wanted.output)}: {_counted(made)}", file=sys.stderr)
    terminal = sys.stdout.isatty()
    if wanted.as_json:
        print_json(_json(cell.name, names, made))
    elif wanted.chart if wanted.chart is not None else terminal:
        for history, forecast in made[:MOST_CHARTS]:
            print(charts(names, history, forecast, colour=terminal))
        if len(made) > MOST_CHARTS:
            print(f"and {len(made) - MOST_CHARTS:,} series more")
        if wanted.output is None:
            print("the numbers: -o FILE.csv, --no-chart, or a pipe")
    elif wanted.output is None:
        sys.stdout.write(to_csv(names, made))


Made = list[tuple[History, Forecast]]
"""Each series and how it goes on."""


def _counted(made: Made) -> str:
    if len(made) > 1:
        return f"{len(made[0][1].points):,} points for each of {len(made):,} series"
    return f"{len(made[0][1].points):,} points after {len(made[0][0].values):,}"


def _json(model: str, names: tuple[str, ...], made: Made) -> dict[str, Any]:
    """The forecast of one series, or of each under `series`."""

    def of(history: History, forecast: Forecast) -> dict[str, Any]:
        values: dict[str, Any] = {"after": len(history.values), "columns": names, AHEAD: forecast.points.tolist()}
        if forecast.times:
            values["times"] = list(forecast.times)
        if forecast.low is not None and forecast.high is not None:
            values |= {"low": forecast.low.tolist(), "high": forecast.high.tolist(), "coverage": COVERAGE}
        return values

    if len(made) == 1 and not made[0][0].group:
        return {"model": model, **of(*made[0])}
    return {"model": model, "series": [{"group": history.group, **of(history, forecast)} for history, forecast in made]}


def to_csv(names: tuple[str, ...], made: Made) -> str:
    """A line of names, and one for each point, with one decimal more than the column has in the data.

    Before the columns stand the group and the time, where there are any; after them the ends of the intervals.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    first, (history, forecast) = [], made[0]
    if history.group:
        first.append("group")
    if forecast.times:
        first.append(history.clock.name if history.clock and history.clock.name not in names else "time")
    ends = (
        [f"{name} {end} {COVERAGE:.0%}" for name in names for end in ("low", "high")]
        if forecast.low is not None
        else []
    )
    table.writerow([for_csv(name) for name in (*first, *names, *ends)])
    for history, forecast in made:
        written = [_as_written(history, f) for f in range(len(names))]
        for step, point in enumerate(forecast.points):
            row = [for_csv(history.group)] if history.group else []
            row += [forecast.times[step]] if forecast.times else []
            row += [write(value) for write, value in zip(written, point, strict=True)]
            if forecast.low is not None and forecast.high is not None:
                for write, low, high in zip(written, forecast.low[step], forecast.high[step], strict=True):
                    row += [write(low), write(high)]
            table.writerow(row)
    return text.getvalue()


def _as_written(history: History, f: int) -> Callable[[float], str]:
    """Writes a value with one decimal more than a column of the data has; in `MOST_DIGITS` digits where it has many."""
    values = history.values[-MOST_LOOKED_AT:, f]
    if history.real is not None:  # not what is filled in
        values = values[history.real[-MOST_LOOKED_AT:, f]]
    values = values[np.isfinite(values)]
    size = float(np.abs(values).max(initial=0.0))
    for decimals in range(MOST_DECIMALS):
        if size * 10**decimals >= LARGEST:
            break
        if np.allclose(values, np.round(values, decimals), rtol=1e-9, atol=1e-12 * max(size, 1e-300)):
            return lambda value: f"{value:.{decimals + 1}f}" if np.isfinite(value) else str(value)
    return lambda value: f"{value:.{MOST_DIGITS}g}"


def charts(names: tuple[str, ...], series: History, forecast: Forecast, *, colour: bool) -> str:
    """A chart for each of the first columns: the end of the history, the forecast, and its interval."""
    from tuirnn.charts import plot
    from tuirnn.charts.plot import Axis, Canvas, Options, draw
    from tuirnn.runlog.track import Curve

    history, points = series.values, forecast.points
    width = min(CHART_WIDTH, shutil.get_terminal_size((CHART_WIDTH, 24)).columns)
    (x_old, old), (x_new, new) = _ends(history, points)

    def painted(canvas: Canvas, row: int) -> str:
        spans = canvas.spans(row)
        if not colour:
            return "".join(text for text, _ in spans).rstrip()
        return "".join(f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if style in COLOURS else text for text, style in spans)

    times = _times(series, forecast, len(old))
    axis = Axis(x_old[0], kind="name", names=times) if times else Axis()
    after = f" ({times[len(old) - 1]})" if times else ""
    lines = []
    for f, name in enumerate(names[:MOST_CHARTS]):
        curves = [
            plot.Series("history", Curve.of(x_old), Curve.of(old[:, f]), "history"),
            *_interval(history, forecast, f, x_new),
            plot.Series(AHEAD, Curve.of(x_new), Curve.of(new[:, f]), AHEAD),
        ]
        canvas = draw(curves, width, CHART_HEIGHT, Options(cursor=float(len(history)), axis=axis))
        of = f"{one_line(series.group, 40)}, " if series.group else ""
        lines.append(f"{of}{one_line(name, 60)}: {len(points):,} points after row {len(history):,}{after}")
        lines += [painted(canvas, row) for row in range(canvas.height)]
    if len(names) > MOST_CHARTS:
        lines.append(f"and {len(names) - MOST_CHARTS} columns more")
    return "\n".join(lines)


def _interval(history: Series, forecast: Forecast, f: int, x: Any) -> list[Any]:
    """The ends of a column's interval as curves."""
    from tuirnn.charts import plot
    from tuirnn.runlog.track import Curve

    if forecast.low is None or forecast.high is None:
        return []
    ends = (("low", forecast.low), ("high", forecast.high))
    joined = [(name, np.concatenate([history[-1:, f], end[:, f]])) for name, end in ends]
    return [plot.Series(name, Curve.of(x), Curve.of(end), INTERVAL) for name, end in joined]


def _ends(history: Series, points: Series) -> tuple[tuple[Any, Series], tuple[Any, Series]]:
    """(rows, values) of the history's end, as long as the forecast or longer, and of the forecast joined to it."""
    shown = history[-max(len(points), 50) :]
    last = len(history)
    joined = np.concatenate([history[-1:], points])
    return (
        (np.arange(last - len(shown) + 1, last + 1, dtype=np.float64), shown),
        (np.arange(last, last + len(joined), dtype=np.float64), joined),
    )


def _times(history: History, forecast: Forecast, before: int) -> tuple[str, ...]:
    """The times of the last `before` points of a history and of its forecast; empty where they are not known."""
    return tuple(history.clock.labels(before, len(forecast.points))) if history.clock else ()


def _picture(path: Path, names: tuple[str, ...], series: History, forecast: Forecast) -> None:
    history, points = series.values, forecast.points
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator
    except ImportError:
        raise ConfigError("--plot needs matplotlib; install it with: pip install 'tuirnn[plots]'") from None
    (x_old, old), (x_new, new) = _ends(history, points)
    shown = names[:MOST_CHARTS]
    figure = Figure(figsize=(8, 1 + 2 * len(shown)), layout="constrained")
    for f, (name, axes) in enumerate(zip(shown, figure.subplots(len(shown), squeeze=False)[:, 0], strict=True)):
        axes.plot(x_old, old[:, f], color="#0072B2", label="history")
        axes.plot(x_new, new[:, f], color="#D55E00", label=AHEAD)
        if forecast.low is not None and forecast.high is not None:
            low, high = forecast.low[:, f], forecast.high[:, f]
            axes.fill_between(x_new[1:], low, high, color="#D55E00", alpha=0.2, lw=0, label=f"{COVERAGE:.0%} interval")
        axes.set_ylabel(one_line(name, 40).replace("$", r"\$"))
        axes.grid(alpha=0.2)
        if times := _times(series, forecast, len(old)):
            known = dict(zip(range(int(x_old[0]), int(x_new[-1]) + 1), times, strict=True))
            axes.xaxis.set_major_locator(MaxNLocator(MOST_DATES, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _at, known=known: known.get(round(x), "")))
    axes.set_xlabel(one_line(series.clock.name, 40).replace("$", r"\$") if series.clock else "row")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=150)
    _write(path, picture.getvalue())


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data)
    except OSError as error:
        raise RunError(f"cannot write {one_line(path)}: {error.strerror}; name another file") from None
