"""Cell files within reach: where they lie, and what they are called on the screen."""

from pathlib import Path

CELLS = Path("export") / "cells"
SHIPPED = Path(__file__).parents[2] / CELLS
"""Where a clone of the project keeps the cell that comes with it."""


def cell_files() -> list[Path]:
    """The cell files of this folder, and those that come along."""
    own = sorted(CELLS.glob("*.onnx"))
    return own + [path for path in sorted(SHIPPED.glob("*.onnx")) if not any(_same(path, other) for other in own)]


def called(cell: str) -> str:
    """A run's name, or the name of a cell file without its folder."""
    return Path(cell).name if cell.endswith(".onnx") else cell


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
