"""The parts of a step that depend on vectors alone: who writes a network down computes them once, not at every step."""

from tuirnn.codegen.arrays import Array
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import CONSTANT, Expr, depends, leaf
from tuirnn.codegen.trace import Traced


def fixed_parts(cell: Traced) -> tuple[Expr, ...]:
    """The largest expressions of a step, vectors themselves among them, that depend on no input and no state."""
    found: dict[Expr, None] = {}
    seen: set[Expr] = set()

    def visit(node: Expr) -> None:
        if node.op == CONSTANT or node in seen:
            return
        seen.add(node)
        if not depends(node, "x", "W", "state"):
            found[node] = None
            return
        for operand in node.args:
            visit(operand)

    for node in (*cell.after.values(), *(stage.operand for stage in cell.stages)):
        visit(node)
    return tuple(found)


def fixed_values(cell: Traced, vectors: Array) -> list[Array]:
    """The values of `fixed_parts` for vectors [P, H], each [H]."""
    leaves = {leaf("p", name): row for name, row in zip(cell.vectors, vectors, strict=True)}
    return [evaluate(node, leaves) for node in fixed_parts(cell)]
