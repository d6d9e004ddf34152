"""Settings that only some cells read: options that choose a variant by its older name, and numbers of some cells."""

from collections.abc import Mapping
from typing import Any

from tuirnn.cells import CELLS, Cell, find_cell
from tuirnn.cells.initial import Setting
from tuirnn.errors import ConfigError


def _options() -> dict[str, dict[str, Cell]]:
    found: dict[str, dict[str, Cell]] = {}
    for cell in CELLS.values():
        if cell.option is not None:
            name, value = cell.option
            found.setdefault(name, {})[value] = cell
    return found


OPTIONS: Mapping[str, Mapping[str, Cell]] = _options()
"""Setting -> its values, and the cell that each chooses; the cell's own name says the same."""

NUMBERS: frozenset[str] = frozenset(
    rule.name for cell in CELLS.values() for rule in cell.initial.values() if isinstance(rule, Setting)
)
"""Settings that are first values of some cells' parameters."""

OF_PRODUCT = "weight_dropout"
"""The setting that only cells with a recurrent product read."""


def cell_of(family: str, variant: str) -> Cell:
    """The cell that a cell file names; of a variant that is not known the family's own.

    Args:
        family: its metadata 'cell'.
        variant: its metadata 'variant': the value of the family's option, empty where there is none.
    """
    options = (cell.option for cell in CELLS.values() if cell.family == family and cell.option is not None)
    return find_cell(family, **{name: variant for name, _ in options})


def choices(option: str) -> tuple[str, ...]:
    """The values of an option."""
    return tuple(OPTIONS[option])


def meaning(option: str) -> str:
    """What the values of an option stand for, such as 'tanh is --cell a, relu is --cell b'."""
    return ", ".join(f"{value} is --cell {cell.name}" for value, cell in OPTIONS[option].items())


def reads(cell: Cell, setting: str) -> bool:
    """Whether a cell reads a setting of the network."""
    if setting in OPTIONS:
        return any(other.family == cell.family for other in OPTIONS[setting].values())
    if setting in NUMBERS:
        return any(isinstance(rule, Setting) and rule.name == setting for rule in cell.initial.values())
    from tuirnn.codegen.trace import traced  # a network that plays needs no tracer

    return setting != OF_PRODUCT or traced(cell).R > 0


def readers(setting: str) -> tuple[str, ...]:
    """The names of the cells that read a setting."""
    return tuple(cell.name for cell in CELLS.values() if reads(cell, setting))


def check_given(cell: Cell, given: Mapping[str, Any]) -> None:
    """Refuse settings that were given on purpose and have no effect.

    Args:
        cell: that the settings result in.
        given: settings by name, of the network and others.
    Raises:
        ConfigError: the cell does not read one, or its name says otherwise.
    """
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        if not reads(cell, name):
            known = ", ".join(readers(name)) or "no cell"
            raise ConfigError(f"{flag} has no effect on --cell {cell.name}: only {known} read it; leave it out")
        if name in OPTIONS and cell.option != (name, value):
            raise ConfigError(
                f"--cell {cell.name} and {flag} {value} contradict each other ({meaning(name)}); leave one of them out"
            )
