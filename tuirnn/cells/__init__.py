"""The recurrent cells: one file each, forward and backward under one another; everything else reads them here.

A new cell is one file in this folder.
"""

import importlib
import inspect
import pkgutil

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct

BROKEN: dict[str, str] = {}
"""File of this folder that cannot be imported -> why; the command line says so."""


def _found() -> dict[str, Cell]:
    """Every cell of every module of this folder, those of a module in its order."""
    cells: dict[str, Cell] = {}
    for module in pkgutil.iter_modules(__path__):
        try:
            names = vars(importlib.import_module(f"{__name__}.{module.name}"))
        except (MemoryError, OSError):  # says nothing about the file
            raise
        except Exception as error:  # the others are there all the same
            BROKEN[module.name] = f"{type(error).__name__}: {error}"
            continue
        for kind in names.values():
            if inspect.isclass(kind) and issubclass(kind, Cell) and not inspect.isabstract(kind):
                cells.setdefault(kind.name, kind())
    return cells


CELLS: dict[str, Cell] = _found()
"""name -> cell."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(cell.family for cell in CELLS.values()))


def find_cell(family: str, **options: str) -> Cell:
    """The cell that a configuration names: a family, and the options that choose its variant.

    Args:
        family: or the name of a variant.
        options: settings such as nonlinearity='relu'; those of other families do not matter.
    Raises:
        KeyError: there is none.
    """
    for cell in CELLS.values():
        if cell.family == family and (cell.option is None or options.get(cell.option[0]) == cell.option[1]):
            return cell
    return CELLS[family]


__all__ = ["BROKEN", "CELLS", "FAMILIES", "Cell", "Gradients", "Parts", "Product", "TransposedProduct", "find_cell"]
