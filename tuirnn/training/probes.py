"""What is seen inside the network: how far back the error reaches, how saturated the gates are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
        `gates`: per layer, per gate, the share of its values in ten equal bins of (0, 1), or of (-1, 1) for those
        that tanh makes.
    """
    traces: list[ForwardCache] = []
    with torch.enable_grad():
        outputs, _ = model(x, model.zero_state(x.shape[1]), observe=traces)
        gates = [_gate_histograms(model, i, trace) for i, trace in enumerate(traces)]
        torch.autograd.grad(loss(outputs[-1:], y[-1:]), list(model.parameters()), allow_unused=True)
    norms = [trace.dh_norm for trace in traces]
    return {
        "gradient": [[float(f"{float(v):.4g}") for v in norm] if norm is not None else [] for norm in norms],
        "gates": gates,
    }


def _gate_histograms(model: SequenceModel, index: int, trace: ForwardCache) -> dict[str, list[float]]:
    cell = model.recurrent(index).cell
    shares = {}
    for name, values in zip(cell.gates, trace.a.chunk(cell.G, -1), strict=True):
        if name not in cell.kept:
            values = trace.states[0][1:]
        low = 0.0 if name in cell.kept and cell.kept[name].op == "sigmoid" else -1.0
        counts = torch.histc(values.float(), bins=BINS, min=low, max=1.0)
        shares[name] = [round(float(c) / values.numel(), 4) for c in counts]
    return shares
