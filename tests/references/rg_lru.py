"""RG-LRU by powers: a^(c r) with a = σ(−Λ), and √(1 − a²) as it stands (2402.19427, section 2.4).

The paper writes a = σ(Λ); the authors' code, and tuirnn, have log a = −softplus(Λ), which is σ(−Λ).
"""

import torch
from torch import Tensor

from references import Published, Weights

C = 8

PUBLISHED = Published(
    x={"r": [-1.7, -0.47, -2.83], "i": [-1.67, -0.37, -0.03], "u": [-1.07, -1.08, -1.12]},
    before={"h": [0.5, -0.25, 0.875]},
    after={"h": [0.238272195980507, -0.499558779968453, 0.735999667859215]},
    v={"Lambda": [-1.16, -1.84, -2.91]},
)
"""By `RGLRU` of google-deepmind/recurrentgemma, commit 2efa84d, with a float64 state and no reset."""


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
