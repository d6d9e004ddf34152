"""`tuirnn train` and `tuirnn recipes`."""

import contextlib
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.importing import need_torch
from tuirnn.cli.options import Json, RunsFolder, print_json, with_settings
from tuirnn.config import FIELDS, Recipe, RunConfig, load_recipe, recipe_names, recipe_text
from tuirnn.errors import ConfigError, RunError
from tuirnn.runs.layout import RunPaths, check_free, find_run, run_names, runs_folder
from tuirnn.settings.section import flag_of
from tuirnn.shortage import TO_TRAIN, need_room, told
from tuirnn.tasks import DEFAULT
from tuirnn.training.member import find_member, launch_id, under_torchrun

if TYPE_CHECKING:
    from tuirnn.runs.parent import Parent


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(
        epilog="Examples: tuirnn train shakespeare --minutes 3 --name first    tuirnn train mine.txt --from first"
    )(with_settings(train))
    app.command(epilog="Example: tuirnn recipes surnames > mine.toml")(recipes)


def train(
    *,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders, '-' for standard input, or data sets ('tuirnn data ls'); nothing: the embedded text.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.toml", help="Begin with a recipe's settings ('tuirnn recipes')."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="Name of the new run.")] = None,
    begun: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin a new run with the best weights, vocabulary and settings of this one."
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run from its last checkpoint.")
    ] = None,
    runs: RunsFolder = None,
    detach: Annotated[bool, typer.Option("--detach", help="Train in the background; watch it with 'tuirnn'.")] = False,
    as_json: Json = False,
    settings: dict[str, Any],
) -> None:
    """Train a network on text, labels, tags or a series; the dashboard ('tuirnn') shows it live."""
    if (member := find_member()).follows:
        from tuirnn.training.following import follow

        follow(member)
        return
    if detach and under_torchrun():
        raise ConfigError("--detach is for --processes, not for torchrun, which has started this training already")
    need_torch()
    folder = runs_folder(runs)
    if resume is not None:
        _resume(find_run(folder, resume), sources, recipe, name or begun, detach, as_json, runs, settings)
        return
    settings = settings if recipe or begun else preferred(settings)
    config, parent = configured(recipe, find_run(folder, begun) if begun is not None else None, sources, settings)
    given = given_settings(recipe, parent, settings)
    from tuirnn.runs import detached

    if detach:
        run = _detached(config, folder, name, parent, given)
        print_json({"run": run}) if as_json else print(f"run {run} trains in the background; watch it with 'tuirnn'")
        return
    need_room(TO_TRAIN)
    if config.train.processes > 1 and not under_torchrun():
        paths = RunPaths(folder / (check_free(folder, name) if name else detached.default_name(config, folder)))
        _share(["--name", paths.name, *detached.arguments(config, parent, given)], config, paths, as_json, runs)
        return
    if under_torchrun() and (unfinished := _unfinished(config, folder, name)):
        _resume(unfinished, None, None, None, detach, as_json, runs, {})
        return
    _tell_of_table(config, recipe, settings)
    _begin(config, parent, given, folder, name, as_json, runs)


def preferred(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given, and before them the user's defaults that this cell and task read; says which."""
    from tuirnn import preferences

    own = preferences.read().train
    task, cell = (settings.get(name, own.get(name)) for name in ("task", "cell"))
    config = RunConfig.of(task or DEFAULT).replace(**({"cell": cell} if cell else {}))
    used = {name: value for name, value in own.items() if name not in settings and name not in config.unread}
    if used:
        print(
            f"tuirnn: preferred: {', '.join(f'{flag_of(k)} {v}' for k, v in used.items())} ('tuirnn config')",
            file=sys.stderr,
        )
    return used | settings


def _tell_of_table(config: RunConfig, recipe: str | None, settings: dict[str, Any]) -> None:
    """Say where a table is learned from as plain text, and nobody has asked for that."""
    from tuirnn.tasks.look import suited

    if "task" not in settings and not recipe and (note := suited(config.data.sources, config.data.task)):
        print(f"tuirnn: {note}", file=sys.stderr)


def _begin(
    config: RunConfig,
    parent: "Parent | None",
    given: Collection[str],
    folder: Path,
    name: str | None,
    as_json: bool,
    runs: Path | None,
) -> None:
    from tuirnn import tasks
    from tuirnn.runs import detached

    with told("use a part of the data, such as --fraction 0.1"):
        # before torch is imported: what is wrong with a text is said at once
        data = parent.load(config) if parent else tasks.load(config.data)
    from tuirnn.survey import suiting

    config, said = suiting(config, partial(config.task.suited, data), given)
    from tuirnn.training import launch

    name = name or detached.default_name(config, folder)
    with _reporter(config, as_json, runs) as report:
        outcome = launch.start(config, folder, name, report, data=data, parent=parent, said=said)
    _leave(outcome)


def given_settings(recipe: str | None, parent: "Parent | None", settings: Mapping[str, Any]) -> frozenset[str]:
    """The settings of a new run that somebody gave: beside the command, in its recipe, or in the run it begins with."""
    if parent is not None:
        return frozenset(FIELDS)
    return frozenset(settings) | (load_recipe(recipe).given if recipe else frozenset())


def configured(
    recipe: str | None, begun: RunPaths | None, sources: list[str] | None, settings: dict[str, Any]
) -> tuple[RunConfig, "Parent | None"]:
    """The settings of a new run, and the run it begins with.

    Args:
        recipe: whose settings it has.
        begun: the run that it begins with, whose settings it has.
        sources: added to `settings`.
        settings: given beside these.
    """
    if begun is not None:
        from tuirnn.runs.parent import Parent

        if recipe:
            raise ConfigError("--from takes its settings from the run it names; it takes no --recipe")
        if sources:
            settings["sources"] = tuple(lasting(source) for source in sources)
        parent = Parent.read(begun)
        return parent.config(settings), parent
    config = RunConfig.of(settings.get("task", DEFAULT), settings)
    if recipe:
        loaded = load_recipe(recipe)
        config = loaded.config
        if loaded.unread:
            flags = ", ".join(map(flag_of, loaded.unread))
            print(f"tuirnn: recipe '{loaded.name}' sets {flags}, which its cell and task do not read", file=sys.stderr)
    if sources:
        settings["sources"] = tuple(lasting(source) for source in sources)
    config = config.replace(**settings)
    config.check_given(settings)
    return config, None


def _detached(
    config: RunConfig, folder: Path, name: str | None, parent: "Parent | None", given: Collection[str]
) -> str:
    """Start a training in the background; returns the run's name."""
    from tuirnn.runs import detached

    if "-" in config.data.sources:
        raise ConfigError("--detach cannot read standard input; save the text to a file first")
    return detached.start(config, folder, name, parent=parent, given=given).name


def _unfinished(config: RunConfig, folder: Path, name: str | None) -> RunPaths | None:
    """The run that the torchrun above this process has begun and not finished: processes started again resume it.

    Args:
        config: every setting.
        folder: of runs.
        name: of the run; None: any run of this torchrun with these settings.
    """
    from tuirnn.runs.reader import read_record, written_status

    launch = launch_id()["torchrun"]
    if launch == "none" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None  # 'none' is the id of every torchrun that is given none
    for paths in (RunPaths(folder / run) for run in ([name] if name else run_names(folder))):
        with contextlib.suppress(RunError):
            record, status = read_record(paths), written_status(paths)
            ours = record.environment.get("torchrun") == launch
            same = record.config.replace(processes=config.train.processes) == config
            if ours and same and (status is None or status.state != "done"):
                return paths
    return None


def lasting(source: str) -> str:
    """A path that still means the same when the run is resumed from another folder; names stay names.

    A pipe, such as a shell's <(…), becomes standard input, which can be read once: a run keeps a copy of it.

    Raises:
        ConfigError: a second pipe.
    """
    if source not in ("", "-") and Path(source).is_fifo():
        return _piped(source)
    return str(Path(source).resolve()) if source not in ("", "-") and Path(source).exists() else source


_PIPES: list[str] = []


def _piped(source: str) -> str:
    """Make a pipe standard input."""
    if _PIPES and [source] != _PIPES:
        raise ConfigError("only one pipe can be read; save the others to files")
    if not _PIPES:
        _PIPES.append(source)
        descriptor = os.open(source, os.O_RDONLY)
        os.dup2(descriptor, 0)
        os.close(descriptor)
    return "-"


def _resume(
    paths: RunPaths,
    sources: list[str] | None,
    recipe: str | None,
    name: str | None,
    detach: bool,
    as_json: bool,
    runs: Path | None,
    settings: dict[str, Any],
) -> None:
    if recipe or name:
        raise ConfigError("--resume goes on with a run as it is; it takes no --recipe, --name or --from")
    if sources:
        settings["sources"] = tuple(lasting(source) for source in sources)
    from tuirnn.runs import detached

    if detach:
        detached.resume(paths, detached.words(settings))
        print(f"run {paths.name} resumes in the background; watch it with 'tuirnn'")
        return
    need_room(TO_TRAIN)
    from tuirnn.runs.reader import present_record

    config = present_record(paths).config.replace(**settings)
    config.check_given(settings)
    if config.train.processes > 1 and not under_torchrun():
        _share(["--resume", paths.name, *detached.words(settings)], config, paths, as_json, runs)
        return
    from tuirnn.training import launch

    with _reporter(config, as_json, runs) as report:
        outcome = launch.resume(paths, settings, report)
    _leave(outcome)


def _share(words: list[str], config: RunConfig, paths: RunPaths, as_json: bool, runs: Path | None) -> None:
    """Train in several processes; `words` are arguments of `tuirnn train` for each of them."""
    try:
        from tuirnn.training import torchrun
    except ImportError:
        raise ConfigError("this PyTorch is built without torch.distributed; leave --processes out") from None
    where = ["--runs", str(runs)] if runs else []
    code = torchrun.train(["train", *where, *["--json"] * as_json, *words], config.train, paths)
    if code:
        raise typer.Exit(code)


def _reporter(config: RunConfig, as_json: bool, runs: Path | None) -> Any:
    from tuirnn.cli.progress import JsonReport, PlainReport, TerminalReport

    kind = JsonReport if as_json else TerminalReport if sys.stdout.isatty() else PlainReport
    return kind(config, runs)


def _leave(outcome: str) -> None:
    """Exit as a shell, or a cluster's scheduler, expects of a program that a signal ended."""
    from tuirnn.training.signals import exit_code

    if outcome in signal.Signals.__members__:
        sys.stdout.flush()
        raise typer.Exit(exit_code(outcome))


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this recipe's TOML, to be copied and changed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the ready-made configurations, or print one."""
    if name is not None:
        recipe = load_recipe(name)  # refuses what is none
        print_json(_recipe_json(recipe)) if as_json else print(recipe_text(name), end="")
        return
    found = [load_recipe(name) for name in recipe_names()]
    if as_json:
        print_json([_recipe_json(recipe) for recipe in found])
        return
    margin = max(len(recipe.name) for recipe in found) + 2
    width = max(margin + 30, min(shutil.get_terminal_size().columns, 120))
    for recipe in found:
        print(
            textwrap.fill(
                recipe.about, width, initial_indent=f"{recipe.name:<{margin}}", subsequent_indent=" " * margin
            )
        )
    print("\nuse one: tuirnn train --recipe demo    copy one: tuirnn recipes demo > mine.toml, then --recipe mine.toml")


def _recipe_json(recipe: Recipe) -> dict[str, Any]:
    return {"name": recipe.name, "about": recipe.about, "settings": recipe.config.to_json()}
