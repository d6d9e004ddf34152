"""One recurrent layer as one differentiable function: hoisted input product, time loop, weight gradients.

`torch.autograd.Function` is only the socket into PyTorch (modules, optimizers, DistributedDataParallel);
every derivative in it is written out here or in `cells`.

The layer reads either vectors x [T, B, I] or tokens [T, B]. Tokens need no product over time: the input half
of a gate is a row of `table = embedding weight_ihᵀ + bias` (V rows), gathered forward and summed backward.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tuirnn.cells import Cell, State
from tuirnn.kernels import cuda, native, portable
from tuirnn.kernels.products import multiply
from tuirnn.kernels.trace import Trace

ONE_HOT_PAYS = 1024
"""Largest vocabulary whose gradient is summed by a product with one-hot rows on a GPU."""

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""(weight_ih [G·H, I], weight_hh [G·H, H], bias_ih [G·H], bias_hh [G·H])."""


def recurrent_layer(
    cell: Cell,
    source: Tensor,
    embedding: Tensor | None,
    weights: Weights,
    state: State,
    *,
    dtype: torch.dtype | None = None,
    observe: list[Trace] | None = None,
) -> tuple[Tensor, State]:
    """Run a layer over a sequence.

    Args:
        cell: the mathematics.
        source: vectors [T, B, I], or int64 tokens [T, B].
        embedding: [V, I] for tokens; None with tokens means one-hot vectors (I = V).
        weights: the layer's parameters, in PyTorch's layout.
        state: each [B, H].
        dtype: of the products' operands; None: the weights' own.
        observe: receives the layer's `Trace`.
    Returns:
        h of every step [T, B, H] and the last state.
    """
    outputs, *last = _Layer.apply(cell, dtype, observe, source, embedding, *weights, *state)  # type: ignore[no-untyped-call]
    return outputs, tuple(last)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        dtype: torch.dtype | None,
        observe: list[Trace] | None,
        source: Tensor,
        embedding: Tensor | None,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        operand = dtype or weight_hh.dtype
        bias = bias_ih + bias_hh if cell.folds_bias else bias_ih
        W = weight_hh.to(operand)
        kernel = _kernel(cell, W)
        stored = operand if kernel is cuda else bias.dtype  # the device's kernels wait for memory, not for arithmetic
        gx = _input_half(source, embedding, weight_ih, bias, operand, stored)  # [T, B, G·H]
        trace = kernel.forward(cell, gx, W, bias_hh, tuple(state))
        if observe is not None:
            observe.append(trace)
        ctx.cell, ctx.operand, ctx.trace = cell, operand, trace
        ctx.save_for_backward(source, embedding, weight_ih, W)
        return (trace.states[0][1:], *(s[-1].clone() for s in trace.states))

    @staticmethod
    def backward(ctx: Any, dh_all: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
        source, embedding, weight_ih, W = ctx.saved_tensors
        cell, trace = ctx.cell, ctx.trace
        dgx, dgh, dfirst = _kernel(cell, W).backward(cell, trace, W, dh_all, dlast)
        before = tuple(s[:-1] for s in trace.states)
        dW = torch.cat(
            [
                _product_over_time(dgh[..., rows], operand, ctx.operand)
                for rows, operand in cell.operands(before, trace.a)
            ]
        )  # [G·H, H]
        dsource, dembedding, dweight_ih, dbias = _input_half_backward(
            dgx, source, embedding, weight_ih, ctx.operand, ctx.needs_input_grad[3]
        )
        dbias_hh = dbias if cell.folds_bias else dgh.sum((0, 1), dtype=weight_ih.dtype)
        return (
            None,
            None,
            None,
            dsource,
            dembedding,
            dweight_ih,
            dW.to(weight_ih.dtype),
            dbias,
            dbias_hh,
            *dfirst,
        )


def _kernel(cell: Cell, weight_hh: Tensor) -> ModuleType:
    """The fastest kernel that runs this cell here."""
    return next((kernel for kernel in (cuda, native) if kernel.runs(cell, weight_hh)), portable)


def _product_over_time(d: Tensor, operand: Tensor, dtype: torch.dtype) -> Tensor:
    """Σ_t d_tᵀ operand_t: the weight gradient [rows, columns] in one product over all T·B."""
    return multiply(d.flatten(0, 1).t().to(dtype), operand.flatten(0, 1).to(dtype))


def _input_half(
    source: Tensor, embedding: Tensor | None, weight_ih: Tensor, bias: Tensor, operand: torch.dtype, stored: torch.dtype
) -> Tensor:
    """gx = x weight_ihᵀ + bias, [T, B, G·H], of type `stored`."""
    T, B = source.shape[:2]
    W = weight_ih.to(operand)
    if not source.is_floating_point():
        rows = W.t() if embedding is None else torch.mm(embedding.to(operand), W.t())
        table = (rows.to(bias.dtype) + bias).to(stored)  # [V, G·H]
        return table.index_select(0, source.flatten()).view(T, B, -1)
    x = source.reshape(T * B, -1).to(operand)
    if x.is_cuda and stored == operand:
        return torch.addmm(bias.to(operand), x, W.t()).view(T, B, -1)
    return multiply(x, W.t()).to(stored).add_(bias).view(T, B, -1)


def _input_half_backward(
    dgx: Tensor,
    source: Tensor,
    embedding: Tensor | None,
    weight_ih: Tensor,
    operand: torch.dtype,
    needs_source: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
    """Gradients of (source, embedding, weight_ih, bias) from dgx [T, B, G·H]."""
    d = dgx.flatten(0, 1)  # [T·B, G·H]
    if source.is_floating_point():
        dsource = None
        if needs_source:
            dx = multiply(d.to(operand), weight_ih.to(operand))
            dsource = dx.to(source.dtype).view_as(source)
        dweight = _product_over_time(dgx, source, operand).to(weight_ih.dtype)
        return dsource, None, dweight, d.sum(0, dtype=weight_ih.dtype)
    V = weight_ih.shape[1] if embedding is None else embedding.shape[0]
    dtable = _sum_by_token(d, source.flatten(), V).to(weight_ih.dtype)
    dbias = dtable.sum(0)
    if embedding is None:
        return None, None, dtable.t().contiguous(), dbias
    return None, torch.mm(dtable, weight_ih), torch.mm(dtable.t(), embedding), dbias


def _sum_by_token(d: Tensor, tokens: Tensor, V: int) -> Tensor:
    """Row v: the sum of d's rows [n, columns] whose token is v.

    On a GPU a product with one-hot rows where these are few: thousands of atomic additions to one address wait for
    each other, and in an order that changes.
    """
    if d.is_cuda and V <= ONE_HOT_PAYS:
        one_hot = (tokens == torch.arange(V, device=d.device)[:, None]).to(d.dtype)  # [V, n]
        return torch.mm(one_hot, d)
    exact = torch.promote_types(d.dtype, torch.float32)
    return d.new_zeros(V, d.shape[1], dtype=exact).index_add_(0, tokens, d.to(exact))
