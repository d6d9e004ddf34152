"""How large a value can be, by interval arithmetic over its expression."""

import math

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, walk


def largest(node: Expr, cell: Cell) -> float | None:
    """The largest absolute value of an expression over the cell's state before a step; None: there is no limit."""
    found: dict[Expr, float] = {}
    for each in walk(node):
        operands = [found[operand] for operand in each.args]
        if each.op == LEAF:
            found[each] = cell.bounds.get(each.name, math.inf) if each.of == "state" else math.inf
        elif each.op == CONSTANT:
            found[each] = abs(each.value)
        elif each.op in ("sigmoid", "tanh", "is_positive"):
            found[each] = 1.0
        elif each.op == "mul":
            found[each] = math.prod(operands) if 0.0 not in operands else 0.0  # and not 0 × ∞
        else:
            found[each] = sum(operands)
    return found[node] if math.isfinite(found[node]) else None
