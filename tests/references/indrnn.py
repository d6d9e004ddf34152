"""IndRNN as a vanilla RNN with relu whose recurrent matrix is diagonal (1803.04831, equation 3)."""

import torch
from torch import Tensor

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state."""
    (h,), outputs = first, []
    for x_t in x:
        h = torch.clamp(x_t @ w.U["h"].T + h @ torch.diag(w.v["u"]) + w.b["h"], min=0)
        outputs.append(h)
    return torch.stack(outputs), (h,)
