"""The input half of every gate, and its gradients, some steps at a time.

A layer reads vectors x [T, B, I] or tokens [T, B]. Tokens need no product over time: their half is a row of
`table = embedding weight_ihᵀ + bias` (V rows), gathered forward and summed backward. Where a batch has fewer
tokens than the vocabulary, their rows of the embedding are vectors like others.
"""

from functools import cached_property

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
        self.operand = operand
        self.tabular = not source.is_floating_point() and (embedding is None or len(embedding) <= source.numel())

    @cached_property
    def table(self) -> Tensor:
        """The half of every token of the vocabulary, [V, G·H]."""
        embedding, W = self.embedding, self.weight_ih.t()
        return W + self.bias if embedding is None else multiply(embedding, W, self.bias, dtype=self.operand)

    def vectors(self, steps: slice) -> Tensor:
        """x of some steps, [t, B, I]."""
        x = self.source[steps]
        return x if self.embedding is None else self.embedding[x]

    def __call__(self, steps: slice) -> Tensor:
        """gx of some steps, [t, B, G·H], in the weights' dtype."""
        if self.tabular:
            tokens = self.source[steps]
            return self.table.index_select(0, tokens.flatten()).view(*tokens.shape, len(self.bias))
        x = self.vectors(steps)
        gx = multiply(x.flatten(0, 1), self.weight_ih.t(), self.bias, dtype=self.operand)
        return gx.view(*x.shape[:2], len(self.bias))


class InputGradients:
    """Gradients of source, embedding, weight_ih and bias, summed up some steps at a time.

    Args:
        half: the input half.
        needs_source: whether the gradient of vectors is asked for.
    """

    def __init__(self, half: InputHalf, needs_source: bool) -> None:
        self.half = half
        self._source = torch.empty_like(half.source) if needs_source else None
        looked_up = None if half.tabular else half.embedding
        self._embedding = torch.zeros_like(looked_up) if looked_up is not None else None  # [V, I]
        self._bias = torch.zeros_like(half.bias)
        self._sum: Tensor | None = None  # dtable [V, G·H], or dweight_ih

    def add(self, steps: slice, dgx: Tensor) -> None:
        """Take in dgx of some steps, [t, B, G·H]."""
        half, d, read = self.half, dgx.flatten(0, 1), self.half.source[steps]
        if half.tabular:
            if self._sum is None:
                vocabulary = half.weight_ih.shape[1] if half.embedding is None else len(half.embedding)
                self._sum = d.new_zeros(vocabulary, d.shape[1])
            self._sum.index_add_(0, read.flatten(), d)
            return
        product = product_over_time(dgx, half.vectors(steps), half.operand)
        self._sum = product if self._sum is None else self._sum.add_(product)
        self._bias += d.sum(0)
        if self._source is not None:
            self._source[steps] = multiply(d, half.weight_ih, dtype=half.operand).view_as(read)
        if self._embedding is not None:
            dx = multiply(d, half.weight_ih, dtype=half.operand)
            self._embedding.index_add_(0, read.flatten(), dx)

    def total(self) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
        """Gradients of (source, embedding, weight_ih, bias)."""
        half, embedding, dtable = self.half, self.half.embedding, self._sum
        assert dtable is not None, "there is a span at least"
        if not half.tabular:
            return self._source, self._embedding, dtable, self._bias
        if embedding is None:
            return None, None, dtable.t().contiguous(), dtable.sum(0)
        return None, torch.mm(dtable, half.weight_ih), torch.mm(dtable.t(), embedding), dtable.sum(0)


def product_over_time(d: Tensor, operand: Tensor, dtype: torch.dtype) -> Tensor:
    """Σ_t d_tᵀ operand_t: a weight gradient [rows, columns] in one product over all T·B."""
    return multiply(d.flatten(0, 1).t(), operand.flatten(0, 1), dtype=dtype)
