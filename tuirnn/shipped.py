"""What comes with the program beside its code: a trained cell, and programs that run cells.

In a checkout they are folders of `export/`; `setup.py` copies them into the package that is built.
"""

from pathlib import Path

_INSTALLED = Path(__file__).with_name("_shipped")
_FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "export"

CELLS = _FOLDER / "cells"
"""The folder of the cell files that come with the program; in a checkout, `tuirnn export` writes there too."""

EXAMPLES = _FOLDER / "examples"
"""The folder of the programs that run cells, one folder each."""

CELL = "shakespeare.onnx"
"""The cell file that comes with the program."""


def cell_path(name: str) -> Path:
    """The file that a person means by the name of a cell file: the one at that path, else the one that is shipped."""
    path = Path(name)
    return CELLS / CELL if name == CELL and not path.exists() else path


def example_names() -> list[str]:
    """The names of the examples."""
    return sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
