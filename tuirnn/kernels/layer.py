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
from tuirnn.kernels import native, portable
from tuirnn.kernels.products import multiply
from tuirnn.kernels.trace import Trace

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
        gx = _input_half(source, embedding, weight_ih, bias, operand)  # [T, B, G·H]
        W = weight_hh.to(operand)
        trace = _kernel(cell, W).forward(cell, gx, W, bias_hh, tuple(state))
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
        dbias_hh = dbias if cell.folds_bias else dgh.sum((0, 1))
        return (
            None,
            None,
            None,
            dsource,
            dembedding,
            dweight_ih,
            dW,
            dbias,
            dbias_hh,
            *dfirst,
        )


def _kernel(cell: Cell, weight_hh: Tensor) -> ModuleType:
    """The fastest kernel that runs this cell here."""
    return native if native.runs(cell, weight_hh) else portable


def _product_over_time(d: Tensor, operand: Tensor, dtype: torch.dtype) -> Tensor:
    """Σ_t d_tᵀ operand_t: the weight gradient [rows, columns] in one product over all T·B."""
    return multiply(d.flatten(0, 1).t(), operand.flatten(0, 1), dtype=dtype)


def _input_half(
    source: Tensor, embedding: Tensor | None, weight_ih: Tensor, bias: Tensor, operand: torch.dtype
) -> Tensor:
    """gx = x weight_ihᵀ + bias, [T, B, G·H], in the weights' dtype."""
    T, B = source.shape[:2]
    if not source.is_floating_point():
        W = weight_ih.t()
        table = (W if embedding is None else multiply(embedding, W, dtype=operand)) + bias  # [V, G·H]
        return table.index_select(0, source.flatten()).view(T, B, -1)
    return multiply(source.reshape(T * B, -1), weight_ih.t(), bias, dtype=operand).view(T, B, -1)


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
            dsource = multiply(d, weight_ih, dtype=operand).view_as(source)
        return dsource, None, _product_over_time(dgx, source, operand), d.sum(0)
    V = weight_ih.shape[1] if embedding is None else embedding.shape[0]
    dtable = d.new_zeros(V, d.shape[1]).index_add_(0, source.flatten(), d)
    dbias = dtable.sum(0)
    if embedding is None:
        return None, None, dtable.t().contiguous(), dbias
    return None, torch.mm(dtable, weight_ih), torch.mm(dtable.t(), embedding), dbias
