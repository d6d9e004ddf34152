"""Compute an expression from values for its leaves."""

from collections.abc import Callable, Mapping

from tuirnn.cells import functions
from tuirnn.cells.functions import V
from tuirnn.codegen.expression import CONSTANT, Expr


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
    if node.op == "neg":
        return -visit(node.args[0])
    if node.op in functions.FUNCTIONS:
        return functions.apply(node.op, visit(node.args[0]))
    left, right = map(visit, node.args)
    if node.op == "add":
        return left + right
    if node.op == "sub":
        return left - right
    return left * right
