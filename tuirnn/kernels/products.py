"""Matrix products, among them products whose right factor is prepared once and used many times.

On the CPU, float32 products use oneDNN with a packed factor if PyTorch has that operator (a private one, so it may be
missing): about twice the speed of `torch.mm` on processors that MKL does not optimise for. All others use `torch.mm`.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from tuirnn.kernels import native

TimesTransposed = Callable[[Tensor, Tensor | None], Tensor]
"""(x [n, K], bias [N] or None) -> x Wᵀ + bias [n, N] in x's dtype; x is rounded to W's dtype."""

PACKING_PAYS = 64 * 64
"""Fewest weights for which packing saves time."""

STRETCH = 512
"""Columns of a transposed matrix that are copied together."""


@cache
def _packing_works() -> bool:
    """Return whether PyTorch has oneDNN's packed products, by computing one."""
    try:
        W = torch.ones(16, 16, dtype=torch.float32, device="cpu")
        packed = torch.ops.mkldnn._reorder_linear_weight(W, 4)
        y = torch.ops.mkldnn._linear_pointwise(W[:4], packed, None, "none", [], "")
        return bool((y == 16).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


def times_transposed(W: Tensor, rows: int) -> TimesTransposed:
    """Prepare the product x Wᵀ.

    Args:
        W: [N, K], in the operands' dtype, with any strides.
        rows: number of rows of x, a hint for the packing.
    Returns:
        The function of x and bias.
    """
    on_cpu = W.device.type == "cpu" and W.dtype == torch.float32
    if on_cpu and rows > 1 and W.numel() >= PACKING_PAYS and _packing_works():
        packed = torch.ops.mkldnn._reorder_linear_weight(W, rows)
        linear = torch.ops.mkldnn._linear_pointwise.default
        return lambda x, bias: linear(x, packed, bias, "none", [], "")
    Wt = W.t()

    def product(x: Tensor, bias: Tensor | None) -> Tensor:
        y = torch.mm(x.to(W.dtype), Wt).to(x.dtype)
        return y if bias is None else y.add_(bias)

    return product


def multiply(A: Tensor, B: Tensor, bias: Tensor | None = None, *, dtype: torch.dtype) -> Tensor:
    """Compute A B (+ bias): with the native product if available, else with oneDNN, else with `torch.mm`.

    Args:
        A: left factor [M, K].
        B: right factor [K, N].
        bias: [N], added to each row.
        dtype: to which the factors are rounded.
    Returns:
        [M, N] in A's dtype.
    """
    if A.numel() >= PACKING_PAYS and A.dtype == torch.float32 and native.multiplies(dtype, A.device):
        return native.product(A, B, bias, dtype=dtype)
    left, right = A.to(dtype), B.to(dtype)
    if left.device.type == "cpu" and dtype == torch.float32 and _packing_works():
        if left.stride(1) == 1:
            return _linear(left, right.t(), bias)
        C = _linear(right.t(), left).t()
    else:
        C = torch.mm(left, right).to(A.dtype)
    return C if bias is None else C.add_(bias)


def _linear(x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x Wᵀ + bias with oneDNN, which reads W with any strides but requires contiguous rows of x."""
    if W.is_contiguous() and W.numel() >= PACKING_PAYS and len(x) >= len(W):
        W = torch.ops.mkldnn._reorder_linear_weight(W, len(x))  # pays off, unless W has to be transposed
    linear = torch.ops.mkldnn._linear_pointwise.default
    return linear(_by_rows(x), W, bias, "none", [], "")  # type: ignore[no-any-return]


def _by_rows(x: Tensor) -> Tensor:
    """Return x [m, n] with contiguous rows.

    A copy is made some columns at a time: copying all at once takes twice as long, since rows leave the cache.
    """
    if x.is_contiguous():
        return x
    rows = torch.empty_like(x, memory_format=torch.contiguous_format)
    for to, part in zip(torch.split(rows, STRETCH, 1), torch.split(x, STRETCH, 1), strict=True):
        to.copy_(part)
    return rows
