"""minGRU in parallel: each state as a weighted sum of all candidates, weights in log space (2410.01201, appendix B)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from references import Weights


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state."""
    k = x @ w.U["z"].T + w.b["z"]
    candidate = x @ w.U["n"].T + w.b["n"]
    return scanned(-softplus(k), torch.exp(-softplus(-k)) * candidate, first[0])


def scanned(log_a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h_t = a_t h + b_t for all t at once: h_t is the sum over k ≤ t of b_k times all a after k."""
    log_product = torch.cumsum(torch.cat([torch.zeros_like(log_a[:1]), log_a]), 0)  # [T + 1, B, H]
    T = len(log_a)
    later = torch.ones(T + 1, T + 1).tril()[:, :, None, None] > 0
    share = torch.where(later, torch.exp(log_product[:, None] - log_product[None]), 0.0)  # [T + 1, T + 1, B, H]
    states = (share * torch.cat([h[None], b])).sum(1)
    return states[1:], (states[-1],)
