"""A cell as the source of Triton kernels: time loops with its products and phases.

    forward, backward                 all products of some steps, or one of them (STAGE > 0), each followed by its
                                      phase; for a cell without products a loop over all steps
    forward_begin, backward_begin     the phase before the first product of the first step, unless it is empty

The phase before the first product of a step runs right after the preceding step, in the same program and launch: the
results of the last phase are still in registers, and one barrier is saved. `kernels/cuda.py` launches the kernels;
`kernels/triton_blocks.py` defines the functions that they call, and the letters.
"""

from functools import cache

from tuirnn.codegen.schedule import forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_backward import Backward
from tuirnn.codegen.triton_forward import Forward

MOST_GATES = 8
"""Most gates of one product: its tile contains all of them."""

BLOCKS = (
    "apart1", "apart2", "apart4", "apart8", "arrive", "expm1", "is_positive", "log_sigmoid", "maximum", "part_of_W",
    "product", "relu", "select", "softplus", "tanh", "wait", "where_more",
)  # fmt: skip
"""The functions of `kernels.triton_blocks` that a kernel may call."""


def unsupported_reason(cell: Traced) -> str:
    """Return why a cell cannot have kernels; '' if it can."""
    most = max((each.rows for each in forward_schedule(cell).products), default=0)
    return f"a product of {most} gates, more than {MOST_GATES}" if most > MOST_GATES else ""


@cache
def source(cell: Traced) -> str:
    """Generate the Python source of a module with the cell's kernels."""
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
