"""The parts of `gpu.py`: what each measures or checks, and how long it may take."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gpu_checks import correctness, graphed, layer_gradients
from gpu_common import Row, arithmetic, grid, mine
from gpu_timings import layers, shakespeare, step


def compile_ahead(options: argparse.Namespace) -> Iterator[Row]:
    """Compile every plan of `layers`, in many processes at once, so that the rest does not wait for the compiler."""
    import torch

    from tuirnn.cells import CELLS
    from tuirnn.codegen.trace import traced
    from tuirnn.kernels import cuda
    from tuirnn.kernels.cache import Recurrent
    from tuirnn.kernels.plans import CUBLAS, candidates

    for cell, operands, B, H in mine(options, grid(options)):
        dtype = arithmetic(operands)
        made = traced(CELLS[cell])
        W = torch.zeros(made.R * H, H, device="cuda", dtype=dtype)
        if not cuda.runs(made, W, dtype):
            return
        gx = torch.zeros(2, B, made.G * H, device="cuda", dtype=dtype)
        weights = Recurrent(W, torch.zeros(len(W), device="cuda"), torch.zeros(len(made.vectors), H, device="cuda"))
        state = tuple(torch.zeros(B, H, device="cuda") for _ in made.state)
        for forward in (True, False):
            for plan in candidates(made, cuda.case_of(forward, made, W, B), cuda.processors()):
                with contextlib.suppress(Exception):  # `layers` meets it again, and says so
                    trace = cuda.forward_by(plan if forward else CUBLAS, made, gx, weights, state)
                    if not forward:
                        cuda.backward_by(plan, made, trace, weights, gx[..., :H].float(), state)
    yield {"share": options.share, "done": True}


@dataclass(frozen=True)
class Part:
    """Something to find out, the most seconds that it may take, how many processes share it, and whether it times."""

    rows: Callable[[argparse.Namespace], Iterator[Row]]
    limit: float
    shares: int = 1
    timed: bool = True


PARTS = {
    "correctness": Part(correctness, 150, shares=6, timed=False),
    "layer_gradients": Part(layer_gradients, 120, shares=3, timed=False),
    "graphed": Part(graphed, 120, timed=False),
    "compile_ahead": Part(compile_ahead, 150, shares=8, timed=False),
    "step": Part(step, 90),
    "shakespeare": Part(shakespeare, 120),
    "layers": Part(layers, 300),
}
