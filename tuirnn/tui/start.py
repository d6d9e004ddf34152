"""Two ways to start the dashboard: in the terminal, or for one picture."""

import asyncio
from pathlib import Path

from tuirnn import preferences
from tuirnn.errors import RunError
from tuirnn.text import visible_line
from tuirnn.tui.app import DashboardApp


def run(folder: Path, run: str | None = None, ascii: bool = False, theme: str | None = None) -> int:
    """Open the dashboard and block until it is closed.

    Args:
        folder: of runs; need not exist.
        run: name of the run to open.
        ascii: draw ASCII characters only.
        theme: one of `theme.THEMES`.
    Returns:
        The exit status for the shell.
    """
    app = DashboardApp(folder, run, ascii, preferences.read())
    app.theme = theme or app.theme
    app.run()
    return app.return_code or 0


def screenshot(
    folder: Path, run: str | None, path: Path, size: tuple[int, int] = (120, 40), theme: str | None = None
) -> None:
    """Write a picture of the dashboard as SVG: the Train tab with a run, the Runs tab without one.

    Args:
        folder: of runs.
        run: name of a run, or None.
        path: of the picture.
        size: columns and rows.
        theme: one of `theme.THEMES`.
    Raises:
        RunError: the picture cannot be written.
    """

    async def draw() -> str:
        app = DashboardApp(folder, run)
        app.theme = theme or app.theme
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause(0.7)  # until the logs have been looked at again, and drawn
            await app.workers.wait_for_complete()
            await pilot.pause()
            return app.export_screenshot(title="tuirnn")

    picture = asyncio.run(draw())
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {visible_line(str(path))}: {error.strerror}") from None
