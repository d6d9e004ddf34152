"""RG-LRU by powers: a^(c r) with a = σ(−Λ), and √(1 − a²) as it stands (2402.19427, section 2.4).

The paper writes a = σ(Λ); the authors' code, and tuirnn, have log a = −softplus(Λ), which is σ(−Λ).
"""

import torch
from torch import Tensor

from references import Weights

C = 8


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state."""
    (h,), outputs = first, []
    base = 1 / (1 + torch.exp(w.v["Lambda"]))
    for x_t in x:
        r, i, u = (x_t @ w.U[gate].T + w.b[gate] for gate in ("r", "i", "u"))
        a = base ** (C / (1 + torch.exp(-r)))
        h = a * h + torch.sqrt(1 - a**2) * u / (1 + torch.exp(-i))
        outputs.append(h)
    return torch.stack(outputs), (h,)
