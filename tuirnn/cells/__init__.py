"""The recurrent cells, one file each with the forward and the backward step; all other parts read them.

A new cell is one file in this folder.
"""

import importlib
import inspect
import pkgutil

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct

BROKEN: dict[str, str] = {}
"""Module of this folder that cannot be imported -> the reason, which the command line reports."""


def _found() -> dict[str, Cell]:
    """Import the modules of this folder and return their cells by name, in the order of definition."""
    cells: dict[str, Cell] = {}
    for module in pkgutil.iter_modules(__path__):
        try:
            names = vars(importlib.import_module(f"{__name__}.{module.name}"))
        except (MemoryError, OSError):  # not a fault of the file
            raise
        except Exception as error:  # the other cells stay available
            BROKEN[module.name] = f"{type(error).__name__}: {error}"
            continue
        for kind in names.values():
            if inspect.isclass(kind) and issubclass(kind, Cell) and not inspect.isabstract(kind):
                cells.setdefault(kind.name, kind())
    return cells


CELLS: dict[str, Cell] = _found()
"""Name -> cell."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(cell.family for cell in CELLS.values()))
"""Names of the families."""


def find_cell(family: str, **options: str) -> Cell:
    """Return the cell that a configuration names.

    Args:
        family: name of a family or of a variant.
        options: settings that select a variant, such as nonlinearity='relu'; those of other families have no effect.
    Raises:
        KeyError: there is no such cell.
    """
    for cell in CELLS.values():
        if cell.family == family and (cell.option is None or options.get(cell.option[0]) == cell.option[1]):
            return cell
    return CELLS[family]


__all__ = ["BROKEN", "CELLS", "FAMILIES", "Cell", "Gradients", "Parts", "Product", "TransposedProduct", "find_cell"]
