"""What can be seen of a cell's gates while it works, and in which range."""

import math

from tuirnn.codegen.ranges import Interval, interval
from tuirnn.codegen.trace import Traced

SHUT_OPEN: Interval = (0.0, 1.0)


def visible(cell: Traced) -> tuple[str, ...]:
    """The gates whose values a forward pass leaves behind: those that the cell keeps, and those that are a state."""
    return tuple(gate for gate in cell.gates if gate in cell.kept or gate in cell.state)


def span(cell: Traced, gate: str) -> Interval:
    """Where the values of a visible gate lie, whatever the weights; ±∞ where only the values themselves can say."""
    return interval(cell.kept[gate] if gate in cell.kept else cell.after[gate], cell.cell)


def is_known(span: Interval) -> bool:
    """Whether both ends are known beforehand."""
    return all(map(math.isfinite, span))
