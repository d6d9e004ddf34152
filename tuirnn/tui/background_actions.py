"""What the dashboard does to runs, each in a thread and with a notice at its end: start, delete, rename, export."""

from collections.abc import Callable

from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.notes import Notes, write_notes
from tuirnn.tui.cell_files import CELLS
from tuirnn.tui.context import Context


class BackgroundActions:
    """Starts, deletes, renames and exports runs.

    Args:
        context: learns what has changed.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def start(self, config: RunConfig, name: str | None, failed: Callable[[TuirnnError], None]) -> None:
        """Start a training as a detached process and open it.

        Args:
            config: of the run.
            name: of the run; None for a generated one.
            failed: receives the reason if the training does not start.
        """
        folder = self._context.folder.path

        def start() -> RunPaths:
            from tuirnn.runs import detached

            return detached.start(config, folder, name)

        self._context.in_background("start", start, lambda paths: self._context.run_started(paths.name), failed)

    def resume(self, paths: RunPaths) -> None:
        """Resume a run that has ended, as a detached process."""

        def resume() -> None:
            from tuirnn.runs import detached

            detached.resume(RunPaths(paths.root.resolve()), [])

        self._context.notice(f"resuming {paths.name} …")
        self._context.in_background("resume", resume, lambda _: self._context.notice(f"{paths.name} is training again"))

    def delete(self, paths: RunPaths) -> None:
        """Delete a run."""
        from tuirnn.runs.housekeeping import remove

        def deleted(_: object) -> None:
            self._context.run_removed(paths)
            self._context.notice(f"deleted {paths.name}")

        self._context.in_background("move", lambda: remove(paths), deleted)

    def rename(self, paths: RunPaths, name: str) -> None:
        """Rename a run; it keeps its line style and its mark."""
        from tuirnn.runs.housekeeping import rename

        def renamed(_: object) -> None:
            self._context.run_removed(paths)
            self._context.notice(f"renamed {paths.name} to {name}")

        self._context.folder.carry_style(paths.name, name)  # before the next scan assigns another style
        self._context.in_background("move", lambda: rename(paths, name), renamed)

    def note(self, paths: RunPaths, notes: Notes) -> None:
        """Write tags and note of a run."""
        self._context.in_background("note", lambda: write_notes(paths, notes), lambda _: self._context.scan())

    def export(self, name: str) -> None:
        """Write the cell file of a run into `CELLS`."""
        if name.endswith(".onnx"):
            self._context.notice(f"{name} is a cell file already; a program needs no other file")
            return
        path, folder = CELLS / f"{name}.onnx", self._context.folder.path

        def export() -> str:
            from tuirnn.export.exporter import export_network, write_cell
            from tuirnn.export.network import read_network

            network = read_network(RunPaths(folder / name))
            cell = export_network(network)
            write_cell(cell, path)
            return f"wrote {path}: {len(cell.data) / 1e6:.1f} MB, checkpoint of step {network.step:,}, verified"

        self._context.notice(f"exporting {name} …")
        self._context.in_background("export", export, self._context.notice)
