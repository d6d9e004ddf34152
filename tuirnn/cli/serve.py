"""`tuirnn serve`: the dashboard in a web browser."""

import shlex
import sys
from typing import Annotated

import typer

from tuirnn.cli.options import RunsFolder
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import runs_folder

LOCAL = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn serve --port 8123")(serve)


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on.")] = 8080,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Open the dashboard on this run.")] = None,
    runs: RunsFolder = None,
) -> None:
    """Show the dashboard in a web browser, on this machine only unless told otherwise."""
    if not 1 <= port <= 65_535:
        raise ConfigError(f"--port must be from 1 to 65535, not {port}")
    try:
        from textual_serve.server import Server
    except ImportError:
        raise ConfigError("the browser needs textual-serve; install it with: pip install 'tuirnn[serve]'") from None
    if host not in LOCAL:
        print(
            f"tuirnn: listening on {one_line(host, 60)}: whoever reaches this port can watch, stop, delete and start "
            "trainings and write files, as you, without a password; use it inside a network you trust, or keep "
            "127.0.0.1 and come through an ssh tunnel",
            file=sys.stderr,
        )
    words = [sys.executable, "-m", "tuirnn", "--runs", str(runs_folder(runs).resolve())]
    words += ["--run", run] if run is not None else []
    print(f"the dashboard is at http://{host}:{port}; ctrl+c ends it, trainings go on")
    Server(shlex.join(words), host=host, port=port, title="tuirnn").serve()
