"""A head and its cross-entropy in one, in pieces: the logits of a large vocabulary are never in memory together.

Letters: N rows (steps times batch), n rows of a piece, H width of what the head reads, V vocabulary.

    logits = x weightᵀ + bias                       [N, V]
    loss   = mean over targets of  log Σ exp(logits) − logits[target]
    dlogits = (softmax(logits) − onehot(target)) / count

The gradient of a piece's logits follows from these logits alone, so that the forward pass makes it while they are there
and the backward pass only multiplies by the gradient of the loss. Products and exponentials are those of the usual way,
each made once; sums over rows are taken piece by piece, so results differ by rounding.
"""

from typing import Any

import torch
from torch import Tensor

from tuirnn import spans


class HeadLoss(torch.autograd.Function):
    """Mean nats of targets under a linear head; may be differentiated once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, ignored: int) -> Tensor:
        """The mean over the targets that are not `ignored`; 0 / 0 where there is none.

        Args:
            ctx: of autograd.
            x: what the head reads, [N, H].
            weight, bias: of the head, [V, H] and [V].
            targets: int64 [N].
            ignored: the target that does not count.
        """
        counted = (targets != ignored).to(x.dtype)  # [N]
        each = counted / counted.sum()  # [N], the share of each row in the mean
        wanted = targets.clamp(min=0)[:, None]  # [N, 1]
        dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
        loss = x.new_zeros(())
        rows = spans.head_rows(len(x), len(weight))
        for first in range(0, len(x), rows):
            own = slice(first, first + rows)
            share = each[own, None]  # [n, 1]
            logits = torch.addmm(bias, x[own], weight.t())  # [n, V]
            logits -= logits.amax(-1, keepdim=True)
            of_targets = logits.gather(-1, wanted[own])
            total = logits.exp_().sum(-1, keepdim=True)
            loss += ((total.log() - of_targets) * share).sum()
            dlogits = logits.mul_(share / total).scatter_add_(-1, wanted[own], -share)
            torch.mm(dlogits, weight, out=dx[own])
            dweight.addmm_(dlogits.t(), x[own])
            dbias += dlogits.sum(0)
        ctx.gradients = dx, dweight, dbias
        return loss

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients, which are handed on without a copy."""
        dx, dweight, dbias = ctx.gradients
        del ctx.gradients
        return dx.mul_(dloss), dweight.mul_(dloss), dbias.mul_(dloss), None, None
