"""Where cell files lie, and their names on the screen."""

from pathlib import Path

from tuirnn import shipped

CELLS = Path("export") / "cells"
"""Where the dashboard writes cell files, relative to the working folder."""


def find_cell_files() -> list[Path]:
    """The cell files in the working folder, then the one that comes with the program."""
    own, shared = sorted(CELLS.glob("*.onnx")), shipped.CELLS / shipped.CELL
    return own if not shared.is_file() or any(_same(shared, path) for path in own) else [*own, shared]


def display_name(cell: str) -> str:
    """The name of a run, or the name of a cell file without its folder."""
    return Path(cell).name if cell.endswith(".onnx") else cell


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
