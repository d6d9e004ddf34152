"""Parameters, state and operations per step of a layer, counted in the traced cell."""

from dataclasses import dataclass

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, walk
from tuirnn.codegen.trace import traced


@dataclass(frozen=True)
class Cost:
    """Sizes and operations of one layer.

    Attributes:
        parameters: trained numbers.
        state: numbers of the state, per sequence.
        multiplications: multiply-adds of the matrix products, per step and sequence.
        in_loop: those of the recurrent products, which depend on the previous step.
        elementwise: operations and functions, per step and unit.
    """

    parameters: int
    state: int
    multiplications: int
    in_loop: int
    elementwise: int


def cost(cell: Cell, inputs: int, hidden: int) -> Cost:
    """Count the sizes and operations of a layer of I inputs and H hidden units."""
    made = traced(cell)
    of_input, of_state = made.G * hidden * inputs, made.R * hidden * hidden
    forward = walk(*made.after.values(), *(stage.operand for stage in made.stages))
    return Cost(
        parameters=of_input + of_state + (made.G + made.R + len(made.vectors)) * hidden,
        state=len(made.state) * hidden,
        multiplications=of_input + of_state,
        in_loop=of_state,
        elementwise=sum(node.op not in (LEAF, CONSTANT) for node in forward),
    )
