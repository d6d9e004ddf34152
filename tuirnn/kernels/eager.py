"""The definition itself, run on tensors step by step: slow, and the judge of every other kernel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tuirnn.cells import Parts
from tuirnn.cells.functions import register
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, State, begun

register(
    Tensor,
    {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "is_positive": lambda x: (x > 0).to(x.dtype),
    },
)


def _by_gate(cell: Traced, rows: Tensor, dim: int = -1) -> Parts[Tensor]:
    return Parts(zip(cell.gates, rows.chunk(cell.G, dim), strict=True))


def forward(
    cell: Traced, gx: Tensor, weight_hh: Tensor, bias_hh: Tensor, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> ForwardCache:  # fmt: skip
    """As `portable.forward`."""
    weight, bias = _by_gate(cell, weight_hh.to(dtype or weight_hh.dtype), 0), _by_gate(cell, bias_hh, 0)
    states = begun(state, len(gx), into)
    saved = gx.new_zeros(*gx.shape[:2], cell.extra_width * weight_hh.shape[1])

    def W(operand: Tensor, gates: str) -> Parts[Tensor]:
        """The product; bias_hh is in gx where the two halves are only summed."""
        found = {gate: (operand.to(weight[gate].dtype) @ weight[gate].t()).to(gx.dtype) for gate in gates.split()}
        return Parts({gate: a if cell.sums_halves else a + bias[gate] for gate, a in found.items()})

    for t in range(len(gx)):
        before = Parts(zip(cell.state, (s[t] for s in states), strict=True))
        after, kept = cell.cell.step(_by_gate(cell, gx[t].clone()), before, W)
        for name, buffer in zip(cell.state, states, strict=True):
            buffer[t + 1] = after[name]
        for name, place in _by_gate(cell, gx[t]).items():
            if name in kept:
                place.copy_(kept[name])
        if cell.extra:
            saved[t] = torch.cat([kept[name] for name in cell.extra], -1)
    return ForwardCache(gx, states, saved)


def backward(
    cell: Traced, trace: ForwardCache, weight_hh: Tensor, dh_all: Tensor, dlast: State, *,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, State]:  # fmt: skip
    """As `portable.backward`; leaves the activations as they are."""
    weight = _by_gate(cell, weight_hh.to(dtype or weight_hh.dtype), 0)
    dgx, dgh, norms = torch.empty_like(trace.a), torch.empty_like(trace.a), dh_all.new_empty(len(dh_all))

    def Wt(**gradients: Tensor) -> Tensor:
        products = [(g.to(weight[gate].dtype) @ weight[gate]).to(dh_all.dtype) for gate, g in gradients.items()]
        return torch.stack(products).sum(0)

    d = Parts(zip(cell.state, dlast, strict=True))
    for t in reversed(range(len(dh_all))):
        d = Parts({**d, cell.state[0]: d[cell.state[0]] + dh_all[t]})
        norms[t] = torch.linalg.vector_norm(d[cell.state[0]])
        kept = Parts({name: value for name, value in _by_gate(cell, trace.a[t]).items() if name in cell.kept})
        kept.update(zip(cell.extra, trace.saved[t].chunk(max(1, cell.extra_width), -1), strict=False))
        before, after = (Parts(zip(cell.state, (s[at] for s in trace.states), strict=True)) for at in (t, t + 1))
        d, x, gates = cell.cell.step_backward(d, kept, before, after, Wt)
        dgx[t] = torch.cat([x[gate] for gate in cell.gates], -1)
        dgh[t] = torch.cat([(x if gates is None else gates)[gate] for gate in cell.gates], -1)
    trace.dh_norm = norms
    return dgx, dgh, tuple(d[name] for name in cell.state)
