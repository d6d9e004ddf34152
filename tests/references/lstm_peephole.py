"""LSTM with peepholes as one product: gates = [U | R | diag(p)] [x; h; c] (Gers, Schmidhuber, Schraudolph 2002)."""

import torch
from torch import Tensor

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state (h, c)."""
    (h, c), outputs = first, []

    def gate(name: str, x_t: Tensor, memory: Tensor) -> Tensor:
        matrix = torch.cat([w.U[name], w.R[name], torch.diag(w.v[f"p_{name}"])], 1)
        return torch.sigmoid(torch.cat([x_t, h, memory], 1) @ matrix.T + w.b[name])

    for x_t in x:
        squashed = torch.tanh(x_t @ w.U["g"].T + h @ w.R["g"].T + w.b["g"])
        new = gate("f", x_t, c) * c + gate("i", x_t, c) * squashed
        h, c = gate("o", x_t, new) * torch.tanh(new), new
        outputs.append(h)
    return torch.stack(outputs), (h, c)
