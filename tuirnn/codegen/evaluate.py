"""Compute the value of an expression from values for its leaves."""

from collections.abc import Mapping

from tuirnn.cells import functions
from tuirnn.cells.functions import V
from tuirnn.codegen.expression import ARITHMETIC, CONSTANT, Expr


def evaluate(node: Expr, leaves: Mapping[Expr, V]) -> V:
    """Compute the value of an expression.

    Args:
        node: contains at least one leaf.
        leaves: a value for each leaf: numpy arrays or tensors, of shapes that broadcast.
    Returns:
        The value, of the type and the broadcast shape of the leaves' values.
    """
    return _value(node, dict(leaves))


def _value(node: Expr, done: dict[Expr, V]) -> V:
    """Compute a value unless `done` contains it.

    Not a closure inside `evaluate`: a recursive closure refers to itself, so the values, as large as the activations of
    a sequence, would stay until Python collects cycles.
    """
    if node not in done:
        done[node] = _applied(node, done)
    return done[node]


def _applied(node: Expr, done: dict[Expr, V]) -> V:
    if node.op == CONSTANT:
        return node.value  # type: ignore[return-value]  # numbers mix with all values
    operands = [_value(operand, done) for operand in node.args]
    if node.op in functions.FUNCTIONS:
        return functions.apply(node.op, *operands)
    return ARITHMETIC[node.op](*operands)  # type: ignore[return-value]
