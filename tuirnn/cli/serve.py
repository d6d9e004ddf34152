"""`tuirnn serve`: the dashboard in a web browser."""

import contextlib
import sys
from typing import Annotated

import typer

from tuirnn.cli.options import RunsFolder
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import find_run, runs_folder

EXPOSED = (
    "listening at {host}: whoever has the address below, with its token, can watch, stop, delete and start trainings "
    "and write files, as you; it travels unencrypted: use a network you trust, or keep 127.0.0.1 and an ssh tunnel"
)


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn serve --port 8123")(serve)


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:PORT]", help="A further host name to accept, as a browser or proxy sends it; repeatable."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Open the dashboard on this run.")] = None,
    runs: RunsFolder = None,
) -> None:
    """Show the dashboard in a web browser, on this machine only unless --host says otherwise."""
    if not 1 <= port <= 65_535:
        raise ConfigError(f"--port must be from 1 to 65535, not {port}")
    import asyncio

    try:
        from tuirnn.web import server
        from tuirnn.web.access import Access
    except ImportError as error:
        raise ConfigError(
            f"the browser needs textual-serve ({one_line(error, 100)}); install it with: pip install 'tuirnn[serve]'"
        ) from None
    folder = runs_folder(runs)
    if run is not None:
        find_run(folder, run)
    allowed = allow_host or []
    access = Access.to(host, port, allowed)
    words = [sys.executable, "-m", "tuirnn", "--runs", str(folder.resolve())]
    words += ["--run", run] if run is not None else []
    site = server.Site(words, access)

    def ready() -> None:
        if not access.local:
            print(f"tuirnn: {EXPOSED.format(host=one_line(access.host, 60))}", file=sys.stderr)
        print(f"the dashboard is at {access.url(allowed)}\nctrl+c ends it; trainings go on", flush=True)

    with contextlib.suppress(KeyboardInterrupt):  # ctrl+c where there are no signal handlers
        asyncio.run(server.serve(site, ready))
