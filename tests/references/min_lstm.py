"""minLSTM in parallel, its normalised gates in log space (2410.01201, appendix B)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from references import Weights
from references.min_gru import scanned


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state."""
    forget, write, candidate = (x @ w.U[gate].T + w.b[gate] for gate in ("f", "i", "n"))
    difference = softplus(-forget) - softplus(-write)
    return scanned(-softplus(difference), torch.exp(-softplus(-difference)) * candidate, first[0])
