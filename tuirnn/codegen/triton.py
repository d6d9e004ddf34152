"""A cell as the source of Triton kernels: time loops around its products, with its phases in them.

    forward, backward                 all products of some steps, or one of them (STAGE > 0), each with the phase after
                                      it; of a cell without products, a loop over all steps
    forward_begin, backward_begin     the phase before the first product of the first step, where it does anything

The phase before a step's first product follows the step before it at once, in the same program and launch: what the
last phase has made is still in registers, and there is one barrier less. `kernels/cuda.py` launches the kernels;
`kernels/triton_blocks.py` has what they are built from, and the letters.
"""

from functools import cache

from tuirnn.codegen.schedule import forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_backward import Backward
from tuirnn.codegen.triton_forward import Forward

MOST_GATES = 8
"""Of one product, whose tile has all of them side by side."""

BLOCKS = (
    "apart1", "apart2", "apart4", "apart8", "arrive", "expm1", "is_positive", "log_sigmoid", "maximum", "part_of_W",
    "product", "relu", "select", "softplus", "tanh", "wait",
    "where_more",
)  # fmt: skip
"""What a kernel may call of `kernels.triton_blocks`."""


def refusal(cell: Traced) -> str:
    """Why the kernels cannot take a cell, in a few words; empty where they can."""
    most = max((each.rows for each in forward_schedule(cell).products), default=0)
    return f"a product of {most} gates, where the kernels make {MOST_GATES}" if most > MOST_GATES else ""


@cache
def source(cell: Traced) -> str:
    """The Python source of a module with the cell's kernels."""
    kernels = "\n".join([*Forward(cell).lines(), *Backward(cell).lines()])
    head = [
        f'"""The cell \'{cell.name}\' as Triton kernels, from its definition."""',
        "",
        "import triton",
        "import triton.language as tl",
        "",
        *(f"from tuirnn.kernels.triton_blocks import {name}" for name in BLOCKS if f" {name}(" in kernels),
    ]
    return "\n".join(head) + f"\n{kernels}\n"
