"""What is seen inside the network: how far back the error reaches, how saturated the gates are."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tuirnn import gates
from tuirnn.kernels import ForwardCache
from tuirnn.models import SequenceModel

BINS = 10


Loss = Callable[[Tensor, Tensor], Tensor]
"""Of outputs and targets, each [T, B, …]."""


def probe(model: SequenceModel, loss: Loss, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Look into the network on one batch.

    Args:
        model: the network; its gradients are left as they were.
        loss: what the network is trained on.
        x: what it reads, [T, B, …].
        y: what was to come, [T, B, …].
    Returns:
        `gradient`: per layer, the norm of ∂(loss at the last step)/∂h_t for t = 0..T-1.
        `gates`: per layer, per gate that can be seen (`gates.visible`), the share of its values in ten equal bins.
        `ranges`: per layer, per gate, the least and largest value of these bins: (0, 1) of a sigmoid, (-1, 1) of a
        tanh, and where the mathematics sets no limit, the batch's own least and largest.
    """
    traces: list[ForwardCache] = []
    with torch.enable_grad():
        outputs, _ = model(x, model.zero_state(x.shape[1]), observe=traces)
        spread = [_gate_histograms(model, i, trace) for i, trace in enumerate(traces)]
        torch.autograd.grad(loss(outputs[-1:], y[-1:]), list(model.parameters()), allow_unused=True)
    norms = [trace.dh_norm for trace in traces]
    return {
        "gradient": [[float(f"{float(v):.4g}") for v in norm] if norm is not None else [] for norm in norms],
        "gates": [{gate: shares for gate, (shares, _) in layer.items()} for layer in spread],
        "ranges": [{gate: ends for gate, (_, ends) in layer.items()} for layer in spread],
    }


def _gate_histograms(
    model: SequenceModel, index: int, trace: ForwardCache
) -> dict[str, tuple[list[float], list[float]]]:
    """gate -> (shares, [least, largest])."""
    cell = model.recurrent(index).cell
    by_gate = dict(zip(cell.gates, trace.gates.chunk(cell.G, -1), strict=True))
    found = {}
    for name in gates.visible(cell):
        values = (by_gate[name] if name in cell.kept else trace.states[cell.state.index(name)][1:]).float()
        low, high = _ends(gates.span(cell, name), values)
        counts = torch.histc(values.clamp(low, high), bins=BINS, min=low, max=high)  # rounding may reach beyond an end
        shares = [round(float(c) / values.numel(), 4) for c in counts]
        found[name] = shares, [float(f"{low:.4g}"), float(f"{high:.4g}")]
    return found


def _ends(known: tuple[float, float], values: Tensor) -> tuple[float, float]:
    """The known ends of a range; in place of each that is not known, that of the values."""
    finite = values[values.isfinite()]
    least, largest = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    low, high = (end if math.isfinite(end) else of for end, of in zip(known, (least, largest), strict=True))
    return (low, high) if low < high else (low, low + 1.0)
