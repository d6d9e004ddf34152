"""`tuirnn sweep`: many runs, by a grid or a search."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.importing import need_torch
from tuirnn.cli.options import PANELS, Json, RunsFolder, print_json
from tuirnn.cli.train import lasting
from tuirnn.config import FIELDS, RunConfig, load_recipe
from tuirnn.errors import ConfigError
from tuirnn.runs.layout import runs_folder
from tuirnn.settings.section import flag_of
from tuirnn.tasks import DEFAULT

if TYPE_CHECKING:
    from tuirnn.sweeping.ordered import Ordered, Sweeping
    from tuirnn.sweeping.points import Point

_SEARCH, _WORK = "Which runs", "Where and how they are trained"

Sources = Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help="As of 'tuirnn train'.")]
RecipeName = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.toml", help="Begin with a recipe's settings ('tuirnn recipes').")
]
Stem = Annotated[
    str | None, typer.Option(metavar="STEM", help="Beginning of the runs' names \\[default: the recipe's, else sweep].")
]
Jobs = Annotated[int, typer.Option(metavar="N", help="Runs at a time, sharing the cores; 0: one a core.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write the tables and the curves here.")
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="grid|random|tpe|gp",
        help="Every combination, values drawn at random, or values chosen by Optuna from the losses so far: with its "
        "TPE sampler, or with a Gaussian process \\[default: grid; with --trials random].",
        rich_help_panel=_SEARCH,
    ),
]
Trials = Annotated[
    int | None, typer.Option(metavar="N", help="Number of runs of a random, TPE or GP search.", rich_help_panel=_SEARCH)
]
Budget = Annotated[
    float, typer.Option(metavar="MINUTES", help="Begin no run later than this; 0: no limit.", rich_help_panel=_SEARCH)
]
SearchSeed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of a random, TPE or GP search \\[default: 0].", rich_help_panel=_SEARCH),
]
Prune = Annotated[
    str,
    typer.Option(
        metavar="none|halving|median",
        help="Stop runs early by their evaluations, as Optuna's pruners decide: go on with the better half "
        "at evaluation 2, 4, 8, …, or with those better than the median.",
        rich_help_panel=_SEARCH,
    ),
]
Retry = Annotated[int, typer.Option(metavar="N", help="Further tries of a run that fails.", rich_help_panel=_WORK)]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="End the sweep with the first run that fails.", rich_help_panel=_WORK)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print runs, memory and time, and train nothing.", rich_help_panel=_WORK)
]
On = Annotated[
    str,
    typer.Option(
        "--on", metavar="local|ray|ray://HOST:PORT", help="This machine, or a Ray cluster.", rich_help_panel=_WORK
    ),
]
Cpus = Annotated[
    int | None, typer.Option(metavar="N", help="Cores for each run on Ray \\[default: 1].", rich_help_panel=_WORK)
]
Gpus = Annotated[
    float | None, typer.Option(metavar="X", help="GPUs for each run on Ray \\[default: 0].", rich_help_panel=_WORK)
]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    example = "Example: tuirnn sweep shakespeare --cell rnn,lstm,gru --seed 0,1,2 --steps 2000 -o report/"
    search = "tuirnn sweep shakespeare --lr log:1e-4..1e-2 --hidden 64..512:64 --trials 30 --search gp --prune halving"
    app.command(epilog=f"{example.replace('Example', 'Examples')}    {search}")(_with_axes(sweep))


def sweep(
    *,
    sources: Sources = None,
    recipe: RecipeName = None,
    name: Stem = None,
    jobs: Jobs = 0,
    output: Output = None,
    runs: RunsFolder = None,
    search: Method = None,
    trials: Trials = None,
    time_budget: Budget = 0.0,
    search_seed: SearchSeed = None,
    prune: Prune = "none",
    retry: Retry = 0,
    fail_fast: FailFast = False,
    dry_run: DryRun = False,
    on: On = "local",
    cpus: Cpus = None,
    gpus: Gpus = None,
    as_json: Json = False,
    axes: dict[str, str],
) -> None:
    """Train many runs: every combination of values, given with commas, or values drawn from ranges.

    A range is LOW..HIGH, LOW..HIGH:STEP or log:LOW..HIGH. The same command again continues an interrupted sweep.
    """
    from tuirnn.sweeping import ordered, space

    config = _base(recipe, sources, axes)
    found = {setting: space.parse(setting, text) for setting, text in axes.items()}
    order = ordered.Ordered(
        base=config,
        axes=found,
        stem=name or (Path(recipe).stem if recipe else "sweep"),
        folder=runs_folder(runs),
        search=search,
        trials=trials,
        minutes=time_budget,
        seed=search_seed,
        prune=prune,
        jobs=jobs,
        retry=retry,
        fail_fast=fail_fast,
        on=on,
        cpus=cpus,
        gpus=gpus,
    )
    say: Callable[[str], None] = (lambda line: None) if as_json else _say
    say(order.heading)
    if dry_run:
        _foretell(order, as_json)
        return
    need_torch()
    done = order.train(say)
    _tell(order, done, output, as_json)
    if done.failed:
        raise typer.Exit(1)


def _say(line: str) -> None:
    """Print a line; a disk that is full ends no sweep."""
    from tuirnn.cli.progress import give_up

    try:
        print(line, flush=True)
    except OSError as error:
        give_up(error, "the sweep goes on without it, and its runs have the figures")


def _base(recipe: str | None, sources: list[str] | None, axes: dict[str, str]) -> RunConfig:
    """The settings that the options of the sweep change; of several tasks, those of the sections."""
    task = axes.get("task", DEFAULT)
    config = load_recipe(recipe).config if recipe else RunConfig() if "," in task else RunConfig.of(task, axes)
    if sources:
        config = config.replace(sources=tuple(lasting(source) for source in sources))
    if "-" in config.data.sources:
        raise ConfigError("a sweep reads its text many times; save standard input to a file first")
    return config


def _foretell(order: "Ordered", as_json: bool) -> None:
    """Print what the sweep would take."""
    outlook, jobs = order.outlook()
    if as_json:
        print_json({"dry_run": True, "jobs": jobs, **vars(outlook), "names": [one.name for one in order.listed]})
        return
    for point in order.listed:
        print("  " + "  ".join([point.name, *(f"{flag_of(name)} {value}" for name, value in point.at.items())]))
    for line in outlook.lines(jobs):
        print(line)


def _tell(order: "Ordered", done: "Sweeping", output: Path | None, as_json: bool) -> None:
    """Print tables, or everything as JSON, and write the report."""
    from tuirnn.sweeping import results

    points, folder = done.points, order.folder
    rows, means = results.table(points, folder, done.pruned), results.over_seeds(points, folder)
    written = _report(points, folder, output, rows, means, done.data) if output is not None else []
    if as_json:
        tables = {"runs": _records(rows), "over_seeds": _records(means), "sweep": done.data}
        print_json({**tables, "failed": done.failed, "written": [str(path) for path in written]})
        return
    for one in (rows, means):
        _print(one)
    if done.data["best"]:
        print(f"\nbest: {done.data['best']}")
    for name in done.failed:
        if (log := order.log(name)).exists():
            print(f"output of {name}, which failed: {log}")
    for path in (order.data_file, *written):
        print(path)


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
    metavar = "A,B,…|RANGE" if spec.type in (int, float) else "A,B,…"
    option = typer.Option(flag_of(name), metavar=metavar, help=str(spec.metadata["help"]), rich_help_panel=panel)
    kind = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _report(
    points: "Sequence[Point]", folder: Path, output: Path, rows: Any, means: Any, data: dict[str, Any]
) -> list[Path]:
    from tuirnn.comparison import Compared, write_report
    from tuirnn.files import atomic_write
    from tuirnn.runlog.feed import whole
    from tuirnn.runs.layout import RunPaths, is_run
    from tuirnn.runs.listing import summarize
    from tuirnn.sweeping import results

    compared = []
    for point in points:
        if is_run(folder / point.name):
            paths = RunPaths(folder / point.name)
            compared.append(Compared(summarize(paths), whole(paths)))
    written = write_report(compared, output)
    summary = output / "sweep.md"
    atomic_write(summary, results.markdown((means, rows)).encode())
    results.write_data(output / "sweep.json", data)
    return [summary, output / "sweep.json", *written]


def _records(rows: Sequence[tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
