"""Compute an expression from values for its leaves."""

import operator
from collections.abc import Callable, Mapping

from tuirnn.cells import functions
from tuirnn.cells.functions import V
from tuirnn.codegen.expression import CONSTANT, Expr

ARITHMETIC: Mapping[str, Callable[..., object]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
}


def evaluate(node: Expr, leaves: Mapping[Expr, V]) -> V:
    """The value of an expression.

    Args:
        node: an expression that depends on leaves, not a number alone.
        leaves: their values, numpy arrays or tensors.
    """
    return _value(node, dict(leaves))


def _value(node: Expr, done: dict[Expr, V]) -> V:
    """What is done already is not computed again.

    A function of this module, not one inside `evaluate`: that would hold itself and with it every value, as large as a
    sequence's activations, until Python looks for cycles.
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
