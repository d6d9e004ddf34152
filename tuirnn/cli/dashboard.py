"""`tuirnn` alone: the dashboard."""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tuirnn import __version__
from tuirnn.cli.importing import importing
from tuirnn.cli.options import RunsFolder
from tuirnn.errors import ConfigError, chosen
from tuirnn.runs.layout import find_run, runs_folder
from tuirnn.shortage import need_room


def dashboard(
    context: typer.Context,
    runs: RunsFolder = None,
    screenshot: Annotated[
        Path | None,
        typer.Option("--screenshot", metavar="FILE.svg", help="Write a picture of the dashboard and end."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Open the dashboard on this run.")] = None,
    ascii: Annotated[
        bool, typer.Option("--ascii", help="Draw with plain characters, for fonts without braille and boxes.")
    ] = False,
    theme: Annotated[str | None, typer.Option("--theme", metavar="NAME", help="Colour theme, as T names them.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Open the dashboard: watch runs, start them, play with what they have learned."""
    if version:
        print(f"tuirnn {__version__}")
        raise typer.Exit
    if (command := context.invoked_subcommand) is not None:
        _before(command, runs, {"--screenshot": screenshot, "--run": run, "--ascii": ascii, "--theme": theme})
        return
    need_room()
    folder = runs_folder(runs)
    if run is not None:
        find_run(folder, run)
    gc.disable()  # until the dashboard has its first tab: what is imported is no garbage
    with importing():
        from tuirnn.tui import start
        from tuirnn.tui.theme import FORMER, THEMES
    theme = None if theme is None else chosen("--theme", FORMER.get(theme.lower(), theme), THEMES)
    if screenshot is not None:
        start.screenshot(folder, run, screenshot, theme=theme)
        return
    in_browser = os.environ.get("TEXTUAL_DRIVER") is not None  # `tuirnn serve`: the browser's end is no terminal
    if not in_browser and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("the dashboard needs a terminal; 'tuirnn --help' lists the commands that do not")
    raise typer.Exit(start.run(folder, run, ascii or not _shows("─⣿"), theme))


def _before(command: str, runs: Path | None, own: dict[str, Any]) -> None:
    """Options that stand before a command: the folder of runs is the command's too, the dashboard's own are refused."""
    for flag, value in own.items():
        if value:
            raise ConfigError(f"{flag} is for the dashboard; leave it out of 'tuirnn {command}'")
    if runs is not None:
        os.environ["TUIRNN_RUNS"] = str(runs)


def _shows(characters: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        characters.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
