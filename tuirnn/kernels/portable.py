"""The sequence loop in plain tensor operations: any cell, device and dtype.

Only the recurrent product and a few elementwise operations stay in the loop; buffers for all T steps are
allocated once and written in place. States and gates are kept in the accumulation dtype; the operands of the
products are cast to their own dtype, so bfloat16 weights meet float32 states.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tuirnn.cells import Cell, State, Step
from tuirnn.kernels.products import TimesTransposed, times_transposed
from tuirnn.kernels.trace import Trace, begun

BLOCK = 2**16
"""Elements of a gate in steps that are taken together: enough to share between threads, few enough for the cache; and
the views of a long sequence would call the garbage collector."""


def _blocks(T: int, B: int, H: int) -> list[slice]:
    steps = max(1, BLOCK // max(1, B * H))
    return [slice(first, min(first + steps, T)) for first in range(0, T, steps)]


def _each(trace: Trace, cell: Cell, steps: slice) -> Iterator[Step]:
    """The buffers of each of some steps, as views."""
    whole = trace.buffers(cell, steps, trace.a)
    states = _by_step(tuple(state[steps.start : steps.stop + 1] for state in trace.states))
    rows = zip(whole.a.unbind(0), _by_step(whole.gates), states[:-1], states[1:], whole.saved.unbind(0), strict=True)
    return (Step(*row) for row in rows)


def _by_step(tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))


def _by_rows(prepare: Callable[[slice], TimesTransposed]) -> Callable[[slice], TimesTransposed]:
    """Prepare each block of weight_hh's rows when it is first asked for."""
    ready: dict[tuple[int | None, int | None], TimesTransposed] = {}

    def product(rows: slice) -> TimesTransposed:
        key = (rows.start, rows.stop)
        if key not in ready:
            ready[key] = prepare(rows)
        return ready[key]

    return product


def forward(
    cell: Cell, gx: Tensor, weight_hh: Tensor, bias_hh: Tensor, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> Trace:  # fmt: skip
    """Run the cell over gx [T, B, G·H] from `state`; gx is overwritten with the gates' activations.

    Args:
        cell: the mathematics.
        gx: input half of every gate, biases that fold already in it.
        weight_hh: [G·H, H].
        bias_hh: [G·H], used by cells that do not fold it.
        state: each [B, H].
        into: where the first of the states, h or h and c, are written for all steps, each [T+1, B, H].
        dtype: of the product's operands; None: weight_hh's own.
    """
    weight_hh = weight_hh.to(dtype or weight_hh.dtype)
    T, B, _ = gx.shape
    H = weight_hh.shape[1]
    states = begun(state, T, into)
    saved = gx.new_empty(T, B, cell.saved_width * H)
    times = _by_rows(lambda rows: times_transposed(weight_hh[rows], B))

    def product(h: Tensor, rows: slice = slice(None)) -> Tensor:
        return times(rows)(h, None if cell.folds_bias else bias_hh[rows])

    trace = Trace(gx, states, saved)
    for steps in _blocks(T, B, H):
        for step in _each(trace, cell, steps):
            cell.step(step, product)
    return trace


def backward(
    cell: Cell, trace: Trace, weight_hh: Tensor, dh_all: Tensor, dlast: State, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor, State]:
    """Walk back through a forward pass.

    Args:
        cell: the mathematics.
        trace: what `forward` returned; its `dh_norm` is filled in, its activations are overwritten with gradients.
        weight_hh: as in the forward pass.
        dh_all: gradient of every h after its step, [T, B, H].
        dlast: gradients of the last state beyond `dh_all`, each [B, H].
        dtype: as in the forward pass.
    Returns:
        dgx [T, B, G·H], dgh [T, B, G·H], and the gradients of the first state.
    """
    weight_hh = weight_hh.to(dtype or weight_hh.dtype)
    T, B, H = dh_all.shape
    times = _by_rows(lambda rows: times_transposed(weight_hh[rows].t(), B))

    def product_T(d: Tensor, rows: slice = slice(None)) -> Tensor:
        return times(rows)(d, None)

    dgh = trace.room(cell)
    norms = dh_all.new_empty(T) if trace.observed else None
    dstate = tuple(d.clone() for d in dlast)
    for steps in reversed(_blocks(T, B, H)):
        factors = _by_step(cell.factors(trace.buffers(cell, steps, dgh)))
        rows = zip(range(T)[steps], dh_all[steps], dgh[steps], trace.saved[steps], factors, strict=True)
        for t, dh_t, dgh_t, kept, factors_t in reversed(list(rows)):
            dh = dstate[0].add_(dh_t)
            if norms is not None:
                norms[t] = torch.linalg.vector_norm(dh)
            dstate = cell.step_backward(dgh_t, kept, factors_t, product_T, dstate)
    trace.dh_norm = norms
    return cell.dgx(dgh, trace.saved), dgh, dstate
