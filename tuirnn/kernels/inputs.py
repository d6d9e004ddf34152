"""The input half of every gate, and its gradients, for a span of steps at a time.

A layer reads vectors x [T, B, I] or tokens [T, B]. Tokens need no product over time: the input half of a token is a row
of `table = embedding weight_ihᵀ + bias` [V, G·H], gathered in the forward pass and summed in the backward pass. If a
batch has fewer tokens than the vocabulary, its rows of the embedding are used as vectors instead.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tuirnn.kernels.products import multiply

ONE_HOT_PAYS = 1024
"""Largest vocabulary whose gradient a GPU sums by a product with one-hot rows."""


@dataclass(eq=False)
class InputProjection:
    """Computes input halves gx = x weight_ihᵀ + bias.

    Attributes:
        source: vectors [T, B, I], or int64 tokens [T, B].
        embedding: [V, I] for tokens; None with tokens means one-hot vectors (I = V).
        weight_ih: [G·H, I].
        bias: [G·H], every bias that can be added beforehand.
        operand: dtype of the products' operands.
        stored: dtype of gx.
    """

    source: Tensor
    embedding: Tensor | None
    weight_ih: Tensor
    bias: Tensor
    operand: torch.dtype
    stored: torch.dtype

    @cached_property
    def tabular(self) -> bool:
        """Whether input halves are rows of `table`."""
        rows = 0 if self.embedding is None else len(self.embedding)
        return not self.source.is_floating_point() and rows <= self.source.numel()

    @cached_property
    def table(self) -> Tensor:
        """Input half of every token of the vocabulary, [V, G·H]."""
        embedding, W = self.embedding, self.weight_ih.t()
        table = W + self.bias if embedding is None else multiply(embedding, W, self.bias, dtype=self.operand)
        return table.to(self.stored)

    def vectors(self, steps: slice) -> Tensor:
        """Return x of some steps, [t, B, I]."""
        x = self.source[steps]
        return x if self.embedding is None else self.embedding[x]

    def __call__(self, steps: slice) -> Tensor:
        """Compute gx of some steps, [t, B, G·H] in dtype `stored`."""
        if self.tabular:
            tokens = self.source[steps]
            return self.table.index_select(0, tokens.flatten()).view(*tokens.shape, len(self.bias))
        x = self.vectors(steps)
        rows, W = x.flatten(0, 1), self.weight_ih.t()  # [t·B, I], [I, G·H]
        if x.is_cuda and self.stored == self.operand:  # cuBLAS adds the bias before it rounds and stores
            gx = torch.addmm(self.bias.to(self.operand), rows.to(self.operand), W.to(self.operand))
        else:
            gx = multiply(rows, W, self.bias, dtype=self.operand).to(self.stored)
        return gx.view(*x.shape[:2], len(self.bias))


class InputGradients:
    """Sums the gradients of source (if `needs_source`), embedding, weight_ih and bias over spans of steps."""

    def __init__(self, half: InputProjection, needs_source: bool) -> None:
        self.half = half
        self._needs_source = needs_source
        self._source: Tensor | None = None  # allocated with the first span, the last in time
        looked_up = None if half.tabular else half.embedding
        self._embedding = torch.zeros_like(looked_up) if looked_up is not None else None  # [V, I]
        self._bias = torch.zeros_like(half.bias)
        self._sum: Tensor | None = None  # dtable [V, G·H], or dweight_ih

    def add(self, steps: slice, dgx: Tensor) -> None:
        """Add the gradients of a span.

        Args:
            steps: of the span.
            dgx: gradients of its input halves, [t, B, G·H] in dtype `stored`; sums have the weights' dtype.
        """
        half, d, read = self.half, dgx.flatten(0, 1), self.half.source[steps]  # d [t·B, G·H]
        if half.tabular:
            if self._sum is None:
                vocabulary = half.weight_ih.shape[1] if half.embedding is None else len(half.embedding)
                self._sum = half.bias.new_zeros(vocabulary, d.shape[1])
            _add_by_token(self._sum, read.flatten(), d)
            return
        product = product_over_time(dgx, half.vectors(steps), half.operand)
        self._sum = product if self._sum is None else self._sum.add_(product)
        self._bias += d.sum(0, dtype=self._bias.dtype)
        if self._needs_source:
            dx = multiply(d, half.weight_ih, dtype=half.operand).view_as(read)
            if self._source is None:
                self._source = dx if len(read) == len(half.source) else torch.empty_like(half.source)
            if self._source is not dx:
                self._source[steps] = dx
        if self._embedding is not None:
            _add_by_token(self._embedding, read.flatten(), multiply(d, half.weight_ih, dtype=half.operand))

    def total(self) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
        """Return the gradients of (source, embedding, weight_ih, bias); None for a missing or unneeded one."""
        half, embedding, dtable = self.half, self.half.embedding, self._sum
        assert dtable is not None, "`add` was called"
        if not half.tabular:
            return self._source, self._embedding, dtable, self._bias
        if embedding is None:
            return None, None, dtable.t().contiguous(), dtable.sum(0)
        return None, torch.mm(dtable, half.weight_ih), torch.mm(dtable.t(), embedding), dtable.sum(0)


def product_over_time(d: Tensor, operand: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute a weight gradient Σ_t d_tᵀ operand_t in one product over all T·B.

    Args:
        d: [T, B, rows].
        operand: [T, B, columns].
        dtype: of the product's operands.
    Returns:
        [rows, columns], float32 or float64.
    """
    product = multiply(d.flatten(0, 1).t(), operand.flatten(0, 1), dtype=dtype)
    return product.to(torch.promote_types(product.dtype, torch.float32))


def _add_by_token(total: Tensor, tokens: Tensor, d: Tensor) -> None:
    """Add to row v of `total` [V, columns] every row of d [n, columns] whose token is v.

    On a GPU with a small vocabulary by a product with one-hot rows: thousands of atomic additions to one address are
    slow, and their order varies.
    """
    if d.is_cuda and len(total) <= ONE_HOT_PAYS:
        one_hot = (tokens == torch.arange(len(total), device=d.device)[:, None]).to(d.dtype)  # [V, n]
        total += torch.mm(one_hot, d)
    else:
        total.index_add_(0, tokens, d.to(total.dtype))
