"""Where cell files lie, and their names on the screen."""

from pathlib import Path

from tuirnn import shipped

CELLS = Path("export") / "cells"
"""Where the dashboard writes cell files, relative to the working folder."""


def find_cell_files() -> list[Path]:
    """The cell files in the working folder, then those that come with the program."""
    own = sorted(CELLS.glob("*.onnx"))
    return own + [path for path in sorted(shipped.CELLS.glob("*.onnx")) if not any(_same(path, other) for other in own)]


def display_name(cell: str) -> str:
    """The name of a run, or the name of a cell file without its folder."""
    return Path(cell).name if cell.endswith(".onnx") else cell


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
