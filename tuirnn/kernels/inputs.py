"""The input half of every gate, and its gradients, some steps at a time.

A layer reads vectors x [T, B, I] or tokens [T, B]. Tokens need no product over time: their half is a row of
`table = embedding weight_ihᵀ + bias` (V rows), gathered forward and summed backward. Where a batch has fewer
tokens than the vocabulary, their rows of the embedding are vectors like others.
"""

import torch
from torch import Tensor

from tuirnn.kernels.products import multiply


class InputHalf:
    """gx = x weight_ihᵀ + bias.

    Args:
        source: vectors [T, B, I], or int64 tokens [T, B].
        embedding: [V, I] for tokens; None with tokens means one-hot vectors (I = V).
        weight_ih: [G·H, I].
        bias: [G·H], what enters once beside the product.
        operand: dtype of the products' operands.
    """

    def __init__(
        self, source: Tensor, embedding: Tensor | None, weight_ih: Tensor, bias: Tensor, operand: torch.dtype
    ) -> None:
        self.source, self.embedding, self.weight_ih, self.bias = source, embedding, weight_ih, bias
        self.operand, self.W = operand, weight_ih.to(operand)
        self.table: Tensor | None = None  # [V, G·H]
        if not source.is_floating_point() and (embedding is None or len(embedding) <= source.numel()):
            rows = self.W.t() if embedding is None else torch.mm(embedding.to(operand), self.W.t())
            self.table = rows.to(bias.dtype) + bias

    def vectors(self, steps: slice) -> Tensor:
        """x of some steps, [t, B, I]."""
        x = self.source[steps]
        return x if self.embedding is None else self.embedding[x]

    def __call__(self, steps: slice) -> Tensor:
        """gx of some steps, [t, B, G·H], in the weights' dtype."""
        if self.table is not None:
            tokens = self.source[steps]
            return self.table.index_select(0, tokens.flatten()).view(*tokens.shape, -1)
        x = self.vectors(steps)
        product = multiply(x.flatten(0, 1).to(self.operand), self.W.t())
        return product.to(self.bias.dtype).add_(self.bias).view(*x.shape[:2], -1)


class InputGradients:
    """Gradients of source, embedding, weight_ih and bias, summed up some steps at a time.

    Args:
        half: the input half.
        needs_source: whether the gradient of vectors is asked for.
    """

    def __init__(self, half: InputHalf, needs_source: bool) -> None:
        self.half = half
        self._source = torch.empty_like(half.source) if needs_source else None
        self._table = torch.zeros_like(half.table) if half.table is not None else None
        looked_up = half.embedding if half.table is None else None
        self._embedding = torch.zeros_like(looked_up) if looked_up is not None else None  # [V, I]
        self._weight_ih, self._bias = torch.zeros_like(half.weight_ih), torch.zeros_like(half.bias)

    def add(self, steps: slice, dgx: Tensor) -> None:
        """Take in dgx of some steps, [t, B, G·H]."""
        half, d, read = self.half, dgx.flatten(0, 1), self.half.source[steps]
        if self._table is not None:
            self._table.index_add_(0, read.flatten(), d)
            return
        self._weight_ih += product_over_time(dgx, half.vectors(steps), half.operand)
        self._bias += d.sum(0)
        if self._source is not None:
            self._source[steps] = multiply(d.to(half.operand), half.W).view_as(read)
        if self._embedding is not None:
            dx = multiply(d.to(half.operand), half.W)
            self._embedding.index_add_(0, read.flatten(), dx.to(self._embedding.dtype))

    def total(self) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
        """Gradients of (source, embedding, weight_ih, bias)."""
        dtable, embedding = self._table, self.half.embedding
        if dtable is None:
            return self._source, self._embedding, self._weight_ih, self._bias
        if embedding is None:
            return None, None, dtable.t().contiguous(), dtable.sum(0)
        return None, torch.mm(dtable, self.half.weight_ih), torch.mm(dtable.t(), embedding), dtable.sum(0)


def product_over_time(d: Tensor, operand: Tensor, dtype: torch.dtype) -> Tensor:
    """Σ_t d_tᵀ operand_t: a weight gradient [rows, columns] in one product over all T·B."""
    return multiply(d.flatten(0, 1).t().to(dtype), operand.flatten(0, 1).to(dtype))
