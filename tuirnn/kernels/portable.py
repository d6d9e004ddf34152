"""The sequence loop in plain tensor operations: any cell, device and dtype.

Only the recurrent product and a few elementwise operations stay in the loop; buffers for all T steps are
allocated once and written in place. States and gates are kept in the accumulation dtype; the operands of the
products are cast to the weights' dtype, so bfloat16 weights meet float32 states.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tuirnn.cells import Cell, State, Step
from tuirnn.kernels.products import TimesTransposed, times_transposed
from tuirnn.kernels.trace import Trace


def _steps(trace: Trace) -> list[Step]:
    """The buffers of each time step, as views."""
    states = list(zip(*(buffer.unbind(0) for buffer in trace.states), strict=True))
    pairs = zip(trace.a.unbind(0), states[:-1], states[1:], trace.saved.unbind(0), strict=True)
    return [Step(*pair) for pair in pairs]


def _by_rows(prepare: Callable[[slice], TimesTransposed]) -> Callable[[slice], TimesTransposed]:
    """Prepare each block of weight_hh's rows when it is first asked for."""
    ready: dict[tuple[int | None, int | None], TimesTransposed] = {}

    def product(rows: slice) -> TimesTransposed:
        key = (rows.start, rows.stop)
        if key not in ready:
            ready[key] = prepare(rows)
        return ready[key]

    return product


def forward(cell: Cell, gx: Tensor, weight_hh: Tensor, bias_hh: Tensor, state: State) -> Trace:
    """Run the cell over gx [T, B, G·H] from `state`; gx is overwritten with the gates' activations.

    Args:
        cell: the mathematics.
        gx: input half of every gate, biases that fold already in it.
        weight_hh: [G·H, H], in the products' dtype.
        bias_hh: [G·H], used by cells that do not fold it.
        state: each [B, H].
    """
    T, B, _ = gx.shape
    H = weight_hh.shape[1]
    states = tuple(gx.new_empty(T + 1, B, H) for _ in state)
    for buffer, first in zip(states, state, strict=True):
        buffer[0] = first
    saved = gx.new_empty(T, B, cell.saved_width * H)
    times = _by_rows(lambda rows: times_transposed(weight_hh[rows], B))

    def product(h: Tensor, onto: Tensor | None = None, rows: slice = slice(None)) -> Tensor:
        return times(rows)(h.to(weight_hh.dtype), bias_hh[rows] if onto is None else onto)

    trace = Trace(gx, states, saved)
    for step in _steps(trace):
        cell.step(step, product)
    return trace


def backward(cell: Cell, trace: Trace, weight_hh: Tensor, dh_all: Tensor, dlast: State) -> tuple[Tensor, Tensor, State]:
    """Walk back through a forward pass.

    Args:
        cell: the mathematics.
        trace: what `forward` returned; its `dh_norm` is filled in.
        weight_hh: as in the forward pass.
        dh_all: gradient of every h after its step, [T, B, H].
        dlast: gradients of the last state beyond `dh_all`, each [B, H].
    Returns:
        dgx [T, B, G·H], dgh [T, B, G·H], and the gradients of the first state.
    """
    dgh, kept = torch.empty_like(trace.a), torch.empty_like(trace.saved)
    B = dgh.shape[1]
    times = _by_rows(lambda rows: times_transposed(weight_hh[rows].t(), B))

    def product_T(d: Tensor, rows: slice = slice(None)) -> Tensor:
        return times(rows)(d.to(weight_hh.dtype), None).to(d.dtype)

    dh_each = dh_all.clone()  # becomes the whole gradient that reaches each h
    dh_rows, dgh_rows, kept_rows = dh_each.unbind(0), dgh.unbind(0), kept.unbind(0)
    steps = _steps(trace)
    dstate = tuple(d.clone() for d in dlast)
    for t in range(len(steps) - 1, -1, -1):
        dh = dh_rows[t].add_(dstate[0])
        dstate = cell.step_backward(steps[t], product_T, (dh, *dstate[1:]), dgh_rows[t], kept_rows[t])
    trace.dh_norm = torch.linalg.vector_norm(dh_each, dim=(1, 2))
    return cell.dgx(dgh, kept), dgh, dstate
