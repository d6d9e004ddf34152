"""Multiplicative LSTM as an LSTM whose recurrent matrix depends on the input: R diag(W_mx x) W_mh (1609.07959)."""

import torch
from torch import Tensor

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state (h, c)."""
    (h, c), outputs = first, []
    matrix = torch.cat([w.R[gate] for gate in "ifgo"])  # [4H, H]
    from_input = torch.cat([w.U[gate] for gate in "ifgo"])  # [4H, I]
    bias = torch.cat([w.b[gate] for gate in "ifgo"])
    for x_t in x:
        factor = x_t @ w.U["m"].T + w.b_x["m"]
        transitions = torch.einsum("rm,bm,mh->brh", matrix, factor, w.R["m"])  # [B, 4H, H]
        recurrent = torch.einsum("brh,bh->br", transitions, h) + (factor * w.b_h["m"]) @ matrix.T
        i, f, g, o = (x_t @ from_input.T + recurrent + bias).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), (h, c)
