"""Minimal gated unit with matrices over [h; x], as the paper writes them (1603.09420, equations 9)."""

import torch
from torch import Tensor

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state."""
    (h,), outputs = first, []
    W_f, W_h = (torch.cat([w.R[gate], w.U[gate]], 1) for gate in ("f", "n"))
    for x_t in x:
        f = torch.sigmoid(torch.cat([h, x_t], 1) @ W_f.T + w.b["f"])
        candidate = torch.tanh(torch.cat([f * h, x_t], 1) @ W_h.T + w.b["n"])
        h = (1 - f) * h + f * candidate
        outputs.append(h)
    return torch.stack(outputs), (h,)
