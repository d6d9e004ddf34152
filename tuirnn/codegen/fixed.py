"""The parts of a step that depend on vectors alone: files that store a network contain their values."""

from tuirnn.codegen.arrays import Array
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import CONSTANT, Expr, is_steady, leaf, outermost
from tuirnn.codegen.trace import Traced


def fixed_parts(cell: Traced) -> tuple[Expr, ...]:
    """List the largest expressions of a forward step, vectors included, that depend on vectors alone."""
    roots = (*cell.after.values(), *(stage.operand for stage in cell.stages))
    return tuple(outermost(roots, lambda node: node.op != CONSTANT and is_steady(node)))


def fixed_values(cell: Traced, vectors: Array) -> list[Array]:
    """Compute the values of `fixed_parts`.

    Args:
        cell: the traced cell.
        vectors: [P, H] float64.
    Returns:
        A value [H] for each part.
    """
    leaves = {leaf("p", name): row for name, row in zip(cell.vectors, vectors, strict=True)}
    return [evaluate(node, leaves) for node in fixed_parts(cell)]
