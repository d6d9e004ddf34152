"""What the dashboard does to runs, each in a thread and with a word when it is done: start, delete, rename, export."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.cells import CELLS

if TYPE_CHECKING:
    from tuirnn.tui.app import DashboardApp

Result = TypeVar("Result")


class Errands:
    """Done for the dashboard, which hears what has changed.

    Args:
        app: the dashboard.
    """

    def __init__(self, app: "DashboardApp") -> None:
        self.app = app

    def start(self, config: RunConfig, name: str | None, failed: Callable[[TuirnnError], None]) -> None:
        """Start a training as a process of its own, and watch it; `failed` hears why it did not start."""

        def start() -> RunPaths:
            from tuirnn.runs import detached

            return detached.start(config, self.app.folder, name)

        self._do("start", start, lambda paths: self.app.started(paths.name), failed)

    def delete(self, paths: RunPaths) -> None:
        """Delete a run."""
        from tuirnn.runs.housekeeping import remove

        def deleted(_: object) -> None:
            self.app.gone(paths)
            self.app.say(f"{paths.name} is deleted")

        self._do("move", lambda: remove(paths), deleted)

    def rename(self, paths: RunPaths, name: str) -> None:
        """Rename a run, which keeps its colour and its mark."""
        from tuirnn.runs.housekeeping import rename

        def renamed(_: object) -> None:
            self.app.gone(paths)
            self.app.say(f"{paths.name} is now called {name}")

        self.app.keep_look(paths.name, name)
        self._do("move", lambda: rename(paths, name), renamed)

    def export(self, name: str) -> None:
        """Write the cell file of a run."""
        if name.endswith(".onnx"):
            self.app.say(f"{name} is a cell file already: that one file is all that a program needs")
            return
        path = CELLS / f"{name}.onnx"

        def export() -> str:
            from tuirnn.export.exporter import export_network, write_cell
            from tuirnn.export.network import read_network

            network = read_network(RunPaths(self.app.folder / name))
            cell = export_network(network)
            write_cell(cell, path)
            return f"wrote {path}, {len(cell.data) / 1e6:.1f} MB, step {network.step:,}: one step of the cell, checked"

        self.app.say(f"exporting {name} …")
        self._do("export", export, self.app.say)

    def _do(
        self,
        group: str,
        action: Callable[[], Result],
        then: Callable[[Result], None],
        failed: Callable[[TuirnnError], None] | None = None,
    ) -> None:
        """In a thread `action`; then, in the app's own, what becomes of its result, or of the error."""

        def work() -> None:
            try:
                result = action()
            except TuirnnError as error:
                self.app.call_from_thread(failed or self._say_error, error)
            else:
                self.app.call_from_thread(then, result)

        self.app.run_worker(work, thread=True, group=group)

    def _say_error(self, error: TuirnnError) -> None:
        self.app.say(str(error), error=True)
