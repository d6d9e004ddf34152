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
    done = dict(leaves)

    def visit(each: Expr) -> V:
        if each not in done:
            done[each] = _apply(each, visit)
        return done[each]

    return visit(node)


def _apply(node: Expr, visit: Callable[[Expr], V]) -> V:
    if node.op == CONSTANT:
        return node.value  # type: ignore[return-value]  # numbers mix with all values
    operands = [visit(operand) for operand in node.args]
    if node.op in functions.FUNCTIONS:
        return functions.apply(node.op, *operands)
    return ARITHMETIC[node.op](*operands)  # type: ignore[return-value]
