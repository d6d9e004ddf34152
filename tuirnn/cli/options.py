"""Options shared by commands, and the training options that the configuration itself describes."""

import functools
import inspect
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tuirnn.figures import number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.section import flag_of
from tuirnn.tables.given import Given

PANELS = {
    "model": "The network",
    "data": "The data",
    "train": "The training",
    "display": "What evaluations write",
}
"""Headings of the sections of settings."""

_DATA = PANELS["data"]

YEAR_3000 = 32_503_680_000

RunsFolder = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Folder of runs \\[default: $TUIRNN_RUNS, else ./checkpoints]."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON on standard output.")]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")]
Model = Annotated[
    str,
    typer.Argument(metavar="RUN|FILE.onnx", help="A run, or a cell file; shakespeare.onnx comes with tuirnn."),
]
Checkpoint = Annotated[str, typer.Option("--checkpoint", metavar="best|last|STEP", help="Which checkpoint of the run.")]

TextColumn = Annotated[
    str, typer.Option("--text-column", metavar="NAME", help="The table's column of texts.", rich_help_panel=_DATA)
]
Delimiter = Annotated[
    str,
    typer.Option(
        "--delimiter", metavar="CHAR", help="Separator of a table's fields, or 'tab', 'space'.", rich_help_panel=_DATA
    ),
]
Decimal = Annotated[
    str, typer.Option("--decimal", metavar="auto|.|,", help="The decimal sign of a table.", rich_help_panel=_DATA)
]
Encoding = Annotated[
    str, typer.Option("--encoding", metavar="NAME", help="Encoding of the file, such as cp1252.", rich_help_panel=_DATA)
]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="Same as --header no: a table's first line holds values.", rich_help_panel=_DATA),
]
Missing = Annotated[
    str,
    typer.Option("--missing", metavar="CELLS", help="Cells of a table that mean no value.", rich_help_panel=_DATA),
]


def said_of_file(
    *, delimiter: str = "", decimal: str = "auto", encoding: str = "", no_header: bool = False, missing: str = ""
) -> "Given":
    """What the options of a command say about a file."""
    from tuirnn.tasks import sources

    config = DataConfig(
        delimiter=delimiter, decimal=decimal, encoding=encoding, header="no" if no_header else "auto", missing=missing
    )
    return sources.given(config)


def with_settings(command: Callable[..., Any], section: str = "") -> Callable[..., Any]:
    """Give `command` one option for each configuration field; it receives the given ones as `settings`.

    Args:
        command: to be given the options.
        section: whose fields alone are meant; empty: all.
    """
    from tuirnn.config import FIELDS, checked  # only `train` and `data look` have settings

    own = list(inspect.signature(command).parameters.values())
    kept = [parameter for parameter in own if parameter.name != "settings"]
    options = [_option(name) for name in FIELDS if name != "sources" and section in ("", FIELDS[name][0])]
    options.append(inspect.Parameter("no_header", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=NoHeader))

    @functools.wraps(command)
    def wrapped(**values: Any) -> Any:
        if values.pop("no_header"):
            values["header"] = "no"
        given = {name: values.pop(name) for name in FIELDS if name in values and name != "sources"}
        settings = {name: checked(name, value) for name, value in given.items() if value is not None}
        return command(**values, settings=settings)

    wrapped.__signature__ = inspect.Signature([*kept, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *options)}
    return wrapped


def _option(name: str) -> inspect.Parameter:
    from tuirnn.config import FIELDS

    section, spec = FIELDS[name]
    kind: Any = spec.type
    flag, meta = flag_of(name), spec.metadata
    metavar = "|".join(meta["choices"]) or {int: "N", float: "X", str: "NAME"}.get(kind)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{meta['help']} \\[default: {_default(name)}]",
        metavar=metavar,
        rich_help_panel=PANELS[section],
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _default(name: str) -> str:
    """The default of a setting, and those of the tasks that have another."""
    from tuirnn.config import FIELDS
    from tuirnn.tasks import TASKS

    def word(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    others = [f"{task.name}: {word(task.defaults[name])}" for task in TASKS.values() if name in task.defaults]
    return "; ".join([word(FIELDS[name][1].default), *others])


def print_json(value: Any) -> None:
    """One line of JSON on standard output; numbers that JSON lacks as strings."""
    sys.stdout.write(_ascii_json(value, None) + "\n")
    sys.stdout.flush()


def print_json_pretty(value: Any) -> None:
    """Indented JSON on standard output."""
    print(_ascii_json(value, 2))


def _ascii_json(value: Any, indent: int | None) -> str:
    """ASCII alone: what is not, a terminal's control characters among it, stands escaped."""
    from tuirnn.files import to_json

    return json.dumps(json.loads(to_json(value)), indent=indent)


def figure(loss: float, places: int = 4) -> str:
    """A loss to so many places, or to two digits where these would be lost."""
    return number(loss, places)


def duration(seconds: float) -> str:
    """Such as '42 s', '3 m 10 s', '2 h 05 m'."""
    if not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def date(moment: float) -> str:
    """The local day and minute of a time in seconds since the epoch; a dash where no calendar has it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if 0 < moment < YEAR_3000 else "–"


def plain(value: Any) -> str:
    """A value of a record for people: floats in four digits, lists with commas, nothing for what is empty."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    return "" if value is None else str(value)
