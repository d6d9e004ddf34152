"""Matrix products with one factor prepared once and used many times.

On CPU, float32 products go through oneDNN with a prepacked factor where PyTorch has that operator (an inner one,
so its absence is not an error): it reaches about twice the rate of `torch.mm` on processors that MKL does not favour.
Everything else is `torch.mm`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tuirnn.kernels import native

TimesTransposed = Callable[[Tensor, Tensor | None], Tensor]
"""(x [n, K], bias [N] or None) -> x Wᵀ + bias in x's dtype, x rounded to W's."""

PACKING_PAYS = 64 * 64
"""Smallest number of weights for which packing is worth its call."""

STRETCH = 512
"""Columns of a transposed matrix that are copied at a time."""


def _packing_works() -> bool:
    try:
        W = torch.ones(16, 16)
        packed = torch.ops.mkldnn._reorder_linear_weight(W, 4)
        y = torch.ops.mkldnn._linear_pointwise(torch.ones(4, 16), packed, None, "none", [], "")
        return bool((y == 16).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


PACKING_WORKS = _packing_works()


def times_transposed(W: Tensor, rows: int) -> TimesTransposed:
    """Prepare `x Wᵀ`.

    Args:
        W: [N, K], in the products' dtype; any strides.
        rows: how many rows x will have, a hint for the packing.
    """
    if PACKING_WORKS and rows > 1 and W.device.type == "cpu" and W.dtype == torch.float32 and W.numel() >= PACKING_PAYS:
        packed = torch.ops.mkldnn._reorder_linear_weight(W, rows)
        linear = torch.ops.mkldnn._linear_pointwise.default
        return lambda x, bias: linear(x, packed, bias, "none", [], "")
    Wt = W.t()

    def product(x: Tensor, bias: Tensor | None) -> Tensor:
        y = torch.mm(x.to(W.dtype), Wt).to(x.dtype)
        return y if bias is None else y.add_(bias)

    return product


def multiply(A: Tensor, B: Tensor, bias: Tensor | None = None, *, dtype: torch.dtype) -> Tensor:
    """A [M, K] B [K, N] (+ bias [N]), all large: the native product where it runs, else oneDNN, else `torch.mm`.

    Args:
        A: left factor.
        B: right factor.
        bias: added to each row.
        dtype: what the factors are rounded to.
    Returns:
        [M, N] in A's type.
    """
    if A.numel() >= PACKING_PAYS and A.dtype == torch.float32 and native.multiplies(dtype, A.device):
        return native.product(A, B, bias, dtype=dtype)
    left, right = A.to(dtype), B.to(dtype)
    if PACKING_WORKS and left.device.type == "cpu" and dtype == torch.float32:
        if left.stride(1) == 1:
            return _linear(left, right.t(), bias)
        C = _linear(right.t(), left).t()
    else:
        C = torch.mm(left, right).to(A.dtype)
    return C if bias is None else C.add_(bias)


def _linear(x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + bias through oneDNN, which reads W with any strides but wants the rows of x contiguous."""
    if W.is_contiguous() and W.numel() >= PACKING_PAYS and len(x) >= len(W):
        W = torch.ops.mkldnn._reorder_linear_weight(W, len(x))  # soon paid for; not so where W has to be transposed
    linear = torch.ops.mkldnn._linear_pointwise.default
    return linear(_by_rows(x), W, bias, "none", [], "")  # type: ignore[no-any-return]


def _by_rows(x: Tensor) -> Tensor:
    """x [m, n] with contiguous rows, copied a stretch of columns at a time where it has to be: a whole one leaves the
    cache between its rows, which takes twice as long.
    """
    if x.is_contiguous():
        return x
    rows = torch.empty_like(x, memory_format=torch.contiguous_format)
    for to, part in zip(torch.split(rows, STRETCH, 1), torch.split(x, STRETCH, 1), strict=True):
        to.copy_(part)
    return rows
