"""The running maximum over the steps of a sequence, and its derivative.

    m_t = max(m_{t-1}, x_t)

Of two equal ones the earlier takes the gradient.
"""

from typing import Any

import torch
from torch import Tensor


class RunningMax(torch.autograd.Function):
    """x [T, B, H] and the maximum before it [B, H] to the maxima up to each step [T, B, H]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: Tensor) -> Tensor:
        """See the class; one byte an element is kept for the way back."""
        most, larger = torch.empty_like(x), torch.empty(x.shape, dtype=torch.bool, device=x.device)
        last = before
        for t in range(len(x)):
            torch.gt(x[t], last, out=larger[t])
            last = torch.maximum(x[t], last, out=most[t])
        ctx.save_for_backward(larger)
        return most

    @staticmethod
    def backward(ctx: Any, dmost: Tensor) -> tuple[Tensor, Tensor]:
        """δx_t is what arrives at m_t where x_t is the maximum; the rest goes on to m_{t-1}."""
        (larger,) = ctx.saved_tensors
        dx = torch.empty_like(dmost)
        d = torch.zeros_like(dmost[0])  # [B, H]
        for t in reversed(range(len(dmost))):
            d += dmost[t]
            torch.mul(d, larger[t], out=dx[t])
            d -= dx[t]
        return dx, d


def running_max(x: Tensor, before: Tensor) -> Tensor:
    """The maxima up to each step [T, B, H] of x [T, B, H] and of the maximum before it [B, H]."""
    return RunningMax.apply(x, before)  # type: ignore[no-untyped-call, no-any-return]
