"""How large a layer of a cell is and what a step of it costs, from the traced cell."""

from dataclasses import dataclass

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, walk
from tuirnn.codegen.trace import traced


@dataclass(frozen=True)
class Cost:
    """Of one layer.

    Attributes:
        parameters: numbers that are trained.
        state: numbers that are carried from step to step.
        multiplications: multiply-adds in the matrix products of a step, for each sequence.
        in_loop: those that wait for the state, and so for the step before.
        elementwise: operations and functions of a step for each unit.
    """

    parameters: int
    state: int
    multiplications: int
    in_loop: int
    elementwise: int


def cost(cell: Cell, inputs: int, hidden: int) -> Cost:
    """Sizes and operations of a layer.

    Args:
        cell: the definition.
        inputs: width of what the layer reads.
        hidden: units.
    """
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
