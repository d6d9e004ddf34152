"""Compute the value of an expression from values for its leaves."""

from collections.abc import Mapping

from tuirnn.cells.functions import FUNCTIONS, V, apply
from tuirnn.codegen.expression import ARITHMETIC, CONSTANT, Expr, walk


def evaluate(node: Expr, leaves: Mapping[Expr, V]) -> V:
    """Compute the value of an expression.

    Args:
        node: contains at least one leaf.
        leaves: a value for each leaf: numpy arrays or tensors, of shapes that broadcast.
    Returns:
        The value, of the type and the broadcast shape of the leaves' values.
    """
    values: dict[Expr, V] = dict(leaves)
    for each in walk(node):
        if each in values:
            continue
        operands = [values[operand] for operand in each.args]
        if each.op == CONSTANT:
            values[each] = each.value  # type: ignore[assignment]  # numbers mix with all values
        elif each.op in FUNCTIONS:
            values[each] = apply(each.op, *operands)
        else:
            values[each] = ARITHMETIC[each.op](*operands)  # type: ignore[assignment]
    return values[node]
