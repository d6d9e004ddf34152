"""`tuirnn predict`: a classifier's answer, as the text arrives; how a series goes on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Checkpoint, Device, Json, Model, RunsFolder, print_json
from tuirnn.errors import ConfigError, DataError, one_line
from tuirnn.files import read_bounded
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.cellfile.cell import TrustedCell

BAR = 24
MAX_FILE_BYTES = 256 * 2**20
MAX_HORIZON = 10_000_000


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        epilog='Examples: tuirnn predict surnames "Tribbiani"    tuirnn predict power.onnx may.csv --horizon 96'
    )(predict)


def predict(
    model: Model,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT|TABLE",
            help="What to classify; or a CSV file, data set or '-' to forecast from \\[default: the run's own data].",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Classify every line of a file ('-': standard input).")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(metavar="N", help="Points to forecast, each read as if it were true \\[default: 200].")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Write the forecast here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg|png", help="Draw the forecast (needs matplotlib).")
    ] = None,
    chart: Annotated[
        bool | None, typer.Option("--chart/--no-chart", help="A chart, or CSV \\[default: a chart on a terminal].")
    ] = None,
    checkpoint: Checkpoint = "best",
    device: Device = "auto",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Say which class a text belongs to, symbol by symbol or for each line of a file; or forecast a series."""
    from tuirnn.cli.forecast import Wanted, forecast
    from tuirnn.loading.cell import load_cell

    if horizon is not None and not 1 <= horizon <= MAX_HORIZON:
        raise ConfigError(f"--horizon must be from 1 to {MAX_HORIZON:,}, not {horizon}")
    cell = load_cell(model, runs_folder(runs), checkpoint)
    if cell.metadata.task == "forecast":
        if file is not None:
            raise ConfigError("a series is named without --file: tuirnn predict MODEL TABLE")
        forecast(cell, model, runs_folder(runs), Wanted(text, horizon or 200, output, plot, chart, as_json), device)
        return
    if any(option is not None for option in (horizon, output, plot, chart)):
        raise ConfigError(f"--horizon, -o, --plot and --chart are for forecasts; {one_line(model)} makes none")
    if (text is None) == (file is None):
        raise ConfigError("predict takes either a TEXT or --file FILE")
    _classify(cell, one_line(model), text, file, device, as_json)


def _classify(cell: "TrustedCell", model: str, text: str | None, file: Path | None, device: str, as_json: bool) -> None:
    """The probabilities after each symbol of a text, or one line for each line of a file."""
    from tuirnn.runtime.classify import Classifier, need_classifier
    from tuirnn.runtime.session import CellSession

    need_classifier(cell.metadata, model)
    classes = cell.metadata.classes
    if file is not None:
        _many(cell, _lines(file), device, as_json)
        return
    if not text:
        raise ConfigError("an empty text has no last symbol to judge by; give at least one")
    unknown = cell.metadata.vocab.unknown(text)
    if unknown:
        shown = one_line(" ".join(unknown), 60)
        print(f"tuirnn: not in this network's vocabulary, read as unknown: {shown}", file=sys.stderr)
    steps = list(Classifier(CellSession(cell, device=device)).stream(text))
    if as_json:
        print_json({"text": text, "classes": classes, "steps": [{"symbol": s, "p": p.tolist()} for s, p in steps]})
        return
    best = [int(i) for i in steps[-1][1].argsort()[::-1][:6]]
    width = max(5, *(len(_name(classes[i])) for i in best))
    print("   " + "  ".join(f"{_name(classes[i]):>{width}}" for i in best))
    for symbol, p in steps:
        row = "  ".join(f"{p[i]:>{width}.3f}" for i in best)
        print(f"{one_line(symbol):<3}{row}  {'█' * round(BAR * float(p[best[0]]))}")
    print(f"{_name(classes[best[0]], 60)}  {float(steps[-1][1][best[0]]):.3f}")


def _name(label: str, limit: int = 14) -> str:
    return one_line(label, limit)


def _lines(file: Path) -> list[str]:
    data = (
        sys.stdin.buffer.read(MAX_FILE_BYTES)
        if str(file) == "-"
        else read_bounded(file, MAX_FILE_BYTES, DataError, follow_links=True)
    )
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    if not any(lines):
        raise DataError(f"{one_line(file)} has no line with text")
    return [line for line in lines if line]


def _many(cell: Any, lines: list[str], device: str, as_json: bool) -> None:
    """One line each: the class, its probability, the text."""
    from tuirnn.runtime.classify import last_logits, softmax

    vocab, classes = cell.metadata.vocab, cell.metadata.classes
    p = softmax(last_logits(cell, [vocab.encode(line) for line in lines], device=device))
    for line, row in zip(lines, p, strict=True):
        guess = int(row.argmax())
        if as_json:
            print_json({"text": line, "class": classes[guess], "p": dict(zip(classes, row.tolist(), strict=True))})
        else:
            print(f"{_name(classes[guess], 60)}\t{float(row[guess]):.3f}\t{one_line(line)}")
