"""`tuirnn sweep`: a grid of runs."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import PANELS, Json, RunsFolder, print_json
from tuirnn.cli.train import lasting
from tuirnn.config import FIELDS, RunConfig, checked, load_recipe
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import runs_folder
from tuirnn.settings.section import flag_of

if TYPE_CHECKING:
    from tuirnn.sweeping import Point

MOST_JOBS = 1024
WORDS = {"true": True, "false": False}


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    example = "Example: tuirnn sweep shakespeare --cell rnn,lstm,gru --seed 0,1,2 --steps 2000 -o report/"
    app.command(epilog=example)(_with_axes(sweep))


def sweep(
    *,
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help="As of 'tuirnn train'.")] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.toml", help="Begin with a recipe's settings ('tuirnn recipes').")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="STEM", help="Beginning of the runs' names \\[default: the recipe's, else sweep]."),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", help="Runs at a time, sharing the cores; 0: one a core.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write the tables and the curves here.")
    ] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
    axes: dict[str, str],
) -> None:
    """Train every combination of values, given with commas; the same command again continues an interrupted sweep."""
    from tuirnn import sweeping

    if not 0 <= jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs must be from 0 to {MOST_JOBS}, not {jobs}")
    config = load_recipe(recipe).config if recipe else RunConfig()
    if sources:
        config = config.replace(sources=tuple(lasting(source) for source in sources))
    if "-" in config.data.sources:
        raise ConfigError("a sweep reads its text many times; save standard input to a file first")
    stem = name or (Path(recipe).stem if recipe else "sweep")
    values = {setting: _values(setting, text) for setting, text in axes.items()}
    single = {setting: found[0] for setting, found in values.items() if len(found) == 1}
    varied = {setting: found for setting, found in values.items() if len(found) > 1}
    if not varied:
        raise ConfigError("a sweep needs a setting with several values, such as --seed 0,1,2")
    folder = runs_folder(runs)
    points = sweeping.grid(config.replace(**single), varied, stem)
    _check_read(points, single)
    say: Callable[[str], None] = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
    jobs = min(jobs or os.cpu_count() or 1, len(points))
    say(f"{len(points)} runs of {' × '.join(flag_of(axis) for axis in varied)}, {jobs} at a time")
    failed = sweeping.train(points, folder, jobs, say)
    rows, means = sweeping.table(points, folder), sweeping.over_seeds(points, folder)
    written = _report(points, folder, output, rows, means) if output is not None else []
    if as_json:
        tables = {"runs": _records(rows), "over_seeds": _records(means)}
        print_json({**tables, "failed": failed, "written": [str(path) for path in written]})
    else:
        for one in (rows, means):
            _print(one)
        for path in written:
            print(path)
    if failed:
        raise typer.Exit(1)


def _check_read(points: "Sequence[Point]", single: dict[str, Any]) -> None:
    """Refuse settings without effect: one that varies must be read by every cell, any other by one at least.

    Raises:
        ConfigError: there is such a setting.
    """
    everywhere = frozenset.intersection(*(point.config.unread for point in points))
    for point in points:
        point.config.check_given({**point.at, **{name: single[name] for name in single.keys() & everywhere}})


def _with_axes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` an option for each setting that takes several values; it receives the given ones as `axes`."""
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "axes"]
    options = [_axis(name) for name in FIELDS if name != "sources"]

    @functools.wraps(command)
    def wrapped(**values: Any) -> Any:
        given = {name: values.pop(name) for name in FIELDS if name in values and name != "sources"}
        return command(**values, axes={name: text for name, text in given.items() if text is not None})

    wrapped.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
    return wrapped


def _axis(name: str) -> inspect.Parameter:
    section, spec = FIELDS[name]
    panel = PANELS[section]
    option = typer.Option(flag_of(name), metavar="A,B,…", help=str(spec.metadata["help"]), rich_help_panel=panel)
    kind = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _values(name: str, text: str) -> list[Any]:
    """The values of one setting in a text with commas; `classes` has commas of its own and takes one value."""
    kind: Any = FIELDS[name][1].type
    pieces = [text] if kind is str and not FIELDS[name][1].metadata["choices"] else text.split(",")
    try:
        found = [WORDS[piece.strip().lower()] if kind is bool else kind(piece.strip()) for piece in pieces]
    except (ValueError, KeyError):
        wanted = {bool: "true and false", int: "whole numbers", float: "numbers"}[kind]
        raise ConfigError(f"{flag_of(name)} takes {wanted} with commas between, not '{one_line(text, 60)}'") from None
    return [checked(name, value) for value in found]


def _report(points: Sequence[Any], folder: Path, output: Path, rows: Any, means: Any) -> list[Path]:
    from tuirnn import sweeping
    from tuirnn.comparison import Compared, write_report
    from tuirnn.files import atomic_write
    from tuirnn.runlog.feed import RunFeed
    from tuirnn.runs.layout import RunPaths, is_run
    from tuirnn.runs.listing import summarize

    compared = []
    for point in points:
        if is_run(folder / point.name):
            feed = RunFeed(RunPaths(folder / point.name))
            while feed.advance():
                pass
            compared.append(Compared(summarize(feed.paths), feed.snapshot))
    written = write_report(compared, output)
    summary = output / "sweep.md"
    atomic_write(summary, sweeping.markdown((means, rows)).encode())
    return [summary, *written]


def _records(rows: Sequence[tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
