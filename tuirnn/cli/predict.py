"""`tuirnn predict`: the answer of a network's task to a text, or how a series goes on."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import (
    Checkpoint,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Json,
    Missing,
    Model,
    NoHeader,
    RunsFolder,
    TextColumn,
    print_json,
    said_of_file,
)  # fmt: skip
from tuirnn.errors import ConfigError, DataError, one_line
from tuirnn.files import read_bounded
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.tables.given import Given
    from tuirnn.tasks.task import OpenCell, Report, Task

MAX_FILE_BYTES = 256 * 2**20
MAX_HORIZON, USUAL = 10_000_000, 200
"""Points to forecast at most, and where nobody says how many."""


TextOrTable = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT|TABLE",
        help="A text to classify or tag; a table or '-' to forecast from \\[default: the run's own data].",
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Answer every line of a text, or row of a table ('-': standard input)."
    ),
]
Horizon = Annotated[
    int | None, typer.Option(metavar="N", help=f"Points to forecast, each fed back as input \\[default: {USUAL}].")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Write the forecast here.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE.svg|png", help="Draw the forecast (needs matplotlib).")]
Chart = Annotated[
    bool | None, typer.Option("--chart/--no-chart", help="A chart, or CSV \\[default: a chart on a terminal].")
]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        epilog='Examples: tuirnn predict surnames "Tribbiani"    tuirnn predict power.onnx may.csv --horizon 96'
    )(predict)


def predict(
    model: Model,
    text: TextOrTable = None,
    file: File = None,
    horizon: Horizon = None,
    output: Output = None,
    plot: Plot = None,
    chart: Chart = None,
    text_column: TextColumn = "",
    delimiter: Delimiter = "",
    decimal: Decimal = "auto",
    no_header: NoHeader = False,
    missing: Missing = "",
    encoding: Encoding = "",
    checkpoint: Checkpoint = "best",
    device: Device = "auto",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Predict the class or tags of a text, or of each line of a file, or forecast a series."""
    from tuirnn.loading.cell import load_cell
    from tuirnn.runtime.data import read_before
    from tuirnn.runtime.opened import opened

    if horizon is not None and not 1 <= horizon <= MAX_HORIZON:
        raise ConfigError(f"--horizon must be from 1 to {MAX_HORIZON:,}, not {horizon}")
    folder = runs_folder(runs)
    cell = load_cell(model, folder, checkpoint)
    task, ready = cell.metadata.learned, opened(cell, model, device)
    said = said_of_file(delimiter=delimiter, decimal=decimal, encoding=encoding, no_header=no_header, missing=missing)
    if task.points:
        from tuirnn.cli import series
        from tuirnn.runtime.data import measured_on

        if file is not None:
            raise ConfigError("a series is named without --file: tuirnn predict MODEL TABLE")
        wanted = series.Wanted(horizon or USUAL, output, plot, chart, as_json, usual=horizon is None)
        if text_column:
            raise ConfigError(f"--text-column is for texts; {one_line(model)} reads numbers")
        series.show(ready, task, measured_on(model, folder, cell.metadata, text, said), wanted)
        return
    if any(option is not None for option in (horizon, output, plot, chart)):
        raise ConfigError(f"--horizon, -o, --plot and --chart are for forecasts; {one_line(model)} makes none")
    if (text is None) == (file is None):
        raise ConfigError("predict takes either a TEXT or --file FILE")
    if text is not None:
        reports = _answer(task, ready, text)
    else:
        reports = task.predict_lines(
            ready, _texts(file or Path("-"), said, text_column, ready, read_before(model, folder))
        )
    for report in reports:
        print_json(report.values) if as_json else print("\n".join(report.lines))


def _answer(task: "Task", cell: "OpenCell", text: str) -> "Iterable[Report]":
    """The answer to one text; its unknown symbols are named on standard error."""
    report = task.predict(cell, text)
    if unknown := cell.metadata.vocab.unknown(text):
        shown = one_line(" ".join(unknown), 60)
        print(f"tuirnn: not in this network's vocabulary, read as unknown: {shown}", file=sys.stderr)
    return [report]


def _texts(file: Path, said: "Given", column: str, cell: "OpenCell", known: "Mapping[str, Any]") -> list[str]:
    """The texts of a file; how they were read, and the share of unknown symbols, are told on standard error."""
    from tuirnn.tasks import texts

    data = (
        sys.stdin.buffer.read(MAX_FILE_BYTES)
        if str(file) == "-"
        else read_bounded(file, MAX_FILE_BYTES, DataError, follow_links=True)
    )
    found = texts.read(data, one_line(file.name), said, column=column, known=known)
    vocab = cell.metadata.vocab
    for note in (*found.notes, *texts.unknown_share(vocab, [vocab.encode(text) for text in found.texts])):
        print(f"tuirnn: {note}", file=sys.stderr)
    return found.texts
