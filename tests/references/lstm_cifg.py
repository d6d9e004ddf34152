"""LSTM with coupled gates as the paper has it: an input gate i, and f = 1 − i (1503.04069, variant CIFG).

The rows of i are those of tuirnn's f with opposite signs.
"""

import torch
from torch import Tensor

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state (h, c)."""
    (h, c), outputs = first, []
    for x_t in x:
        f, z, o = (x_t @ w.U[gate].T + h @ w.R[gate].T + w.b[gate] for gate in ("f", "g", "o"))
        i = torch.sigmoid(-f)
        c = (1 - i) * c + i * torch.tanh(z)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), (h, c)
