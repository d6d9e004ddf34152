"""One recurrent layer as one differentiable function: input products, time loop, weight gradients.

`torch.autograd.Function` only connects it to PyTorch (modules, optimizers, DistributedDataParallel); every derivative
is written out here or in `cells`.

A sequence is processed in spans of steps (`spans`). The forward pass keeps the states of all steps. A span whose gates
are not kept runs forward again from its first state before its backward pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tuirnn import spans
from tuirnn.codegen.trace import Traced
from tuirnn.kernels import cuda, native, portable
from tuirnn.kernels.cache import ForwardCache, Kernel, Recurrent, State
from tuirnn.kernels.inputs import InputGradients, InputProjection, product_over_time

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""(weight_ih [G·H, I], weight_hh [R·H, H], bias_ih [G·H], bias_hh [R·H], vectors [P, H])."""


def recurrent_layer(
    cell: Traced,
    source: Tensor,
    embedding: Tensor | None,
    weights: Weights,
    state: State,
    *,
    dtype: torch.dtype | None = None,
    memory: str = "save",
    observe: list[ForwardCache] | None = None,
) -> tuple[Tensor, State]:
    """Run a layer over a sequence.

    Args:
        cell: the traced cell.
        source: vectors [T, B, I], or int64 tokens [T, B].
        embedding: [V, I] for tokens; None with tokens means one-hot vectors (I = V).
        weights: the layer's parameters, in PyTorch's layout.
        state: each [B, H].
        dtype: of the products' operands; None: that of the weights.
        memory: 'save' keeps all gates for the backward pass; 'recompute' keeps those of some last steps and computes
            the others again. Without gradients only h is kept.
        observe: a list that receives the `ForwardCache` of all steps.
    Returns:
        h of every step [T, B, H], and the last state, each [B, H].
    """
    if observe is not None or not torch.is_grad_enabled():
        memory = "none" if observe is None else "save"
    outputs, *last = _Layer.apply(cell, dtype, memory, observe, source, embedding, *weights, *state)  # type: ignore[no-untyped-call]
    return outputs, tuple(last)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: Traced,
        dtype: torch.dtype | None,
        memory: str,
        observe: list[ForwardCache] | None,
        source: Tensor,
        embedding: Tensor | None,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        vectors: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return h of every step [T, B, H] and the last state; see `recurrent_layer`."""
        (T, B), operand = source.shape[:2], dtype or weight_hh.dtype
        bias = _with_recurrent_bias(cell, bias_ih, bias_hh)  # [G·H]
        weights = Recurrent(weight_hh, bias_hh, vectors, operand)
        kernel = _kernel(cell, weight_hh, operand)
        stored = operand if kernel is cuda else bias.dtype  # a GPU's kernels are bound by memory, not by arithmetic
        gx = InputProjection(source, embedding, weight_ih, bias, operand, stored)
        cuts = [slice(0, T)] if observe is not None else spans.cut(T, B, memory, weight_hh.device.type)
        first_kept = len(cuts) - spans.kept(len(cuts), memory if cell.kept else "save")
        caches: dict[int, ForwardCache] = {}
        staying = state[:1] if memory == "none" else state  # h is the output; c is for the backward pass only
        states = tuple(s.new_empty(T + 1, *s.shape, dtype=bias.dtype) for s in staying)  # each [T+1, B, H]
        for index, steps in enumerate(cuts):
            into = [s[steps.start : steps.stop + 1] for s in states]  # each [t+1, B, H]
            cache = kernel.forward(cell, gx(steps), weights, state, into)
            state = tuple(s[-1] for s in cache.states)  # each [B, H]
            if index >= first_kept:
                caches[index] = cache.with_states(cell, states, steps)
            del cache  # before the next span allocates its own
        if observe is not None:
            caches[0].observed = True
            observe.append(caches[0])
        ctx.cell, ctx.operand, ctx.stored, ctx.cuts, ctx.caches = cell, operand, stored, cuts, caches
        ctx.save_for_backward(source, embedding, weight_ih, bias, weight_hh, bias_hh, vectors, *states)
        return (states[0][1:], *(s.clone() for s in state))  # [T, B, H], each [B, H]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_all: Tensor, *dstate: Tensor) -> tuple[Tensor | None, ...]:
        """Return a gradient for each argument of `forward`, from those of h and of the last state."""
        source, embedding, weight_ih, bias, weight_hh, bias_hh, vectors, *states = ctx.saved_tensors
        cell, operand = ctx.cell, ctx.operand
        weights = Recurrent(weight_hh, bias_hh, vectors, operand)
        kernel = _kernel(cell, weight_hh, operand)
        gx = InputProjection(source, embedding, weight_ih, bias, operand, ctx.stored)
        inputs = InputGradients(gx, needs_source=ctx.needs_input_grad[4])
        dvectors, dbias_own = torch.zeros_like(vectors), dict.fromkeys(cell.non_additive, torch.zeros(()))
        dW: list[Tensor] = []  # one for the rows of each product
        for index in range(len(ctx.cuts) - 1, -1, -1):
            steps = ctx.cuts[index]
            cache = ctx.caches.pop(index, None)  # its memory is free after this span
            if cache is None:
                before = tuple(s[steps.start] for s in states)  # each [B, H]
                cache = kernel.forward(cell, gx(steps), weights, before).with_states(cell, states, steps)
            operands = cache.operands(cell, vectors)  # before gradients overwrite the gates
            d = kernel.backward(cell, cache, weights, dh_all[steps], dstate)
            dgx, dgh, dstate = d.x, d.gates, d.state
            dvectors += d.vectors
            del cache
            products = [product_over_time(dgh[..., rows], each, operand) for rows, each in operands]  # each [rows, H]
            dW = [total.add_(product) for total, product in zip(dW, products, strict=True)] if dW else products
            for gate in cell.non_additive:
                dbias_own[gate] = dbias_own[gate] + _rows(cell.gates, gate, dgh).sum((0, 1), dtype=bias_hh.dtype)
            inputs.add(steps, dgx)
            del d, dgx, dgh, operands, products
        dsource, dembedding, dweight_ih, dbias = inputs.total()
        parts = [dbias_own[gate] if gate in dbias_own else _rows(cell.gates, gate, dbias) for gate in cell.recurrent]
        dbias_hh = dbias if cell.additive == set(cell.gates) else torch.cat(parts) if parts else bias_hh
        dweight_hh = dW[0] if len(dW) == 1 else torch.cat(dW) if dW else weight_hh  # [R·H, H]
        parameters = (dweight_ih, dweight_hh, dbias, dbias_hh, dvectors)
        return None, None, None, None, dsource, dembedding, *parameters, *dstate


def _rows(gates: tuple[str, ...], gate: str, values: Tensor) -> Tensor:
    """Return the columns of one of some gates, [..., G·H] -> [..., H]."""
    return values.chunk(len(gates), -1)[gates.index(gate)]


def _with_recurrent_bias(cell: Traced, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """Return the bias of the input halves [G·H]: bias_ih plus bias_hh of additive gates."""
    if cell.additive == set(cell.gates):
        return bias_ih + bias_hh
    bias = bias_ih.clone()
    for gate in cell.additive:
        _rows(cell.gates, gate, bias).add_(_rows(cell.recurrent, gate, bias_hh))
    return bias


_preferred: dict[tuple[Traced, int, torch.dtype], Kernel] = {}
"""Kernels that measurements on this machine have chosen, by cell, H and dtype of the operands."""


def prefer(cell: Traced, hidden: int, dtype: torch.dtype, kernel: Kernel | None) -> None:
    """Have layers of this cell and size run on a kernel; None: on the one that is usually the fastest."""
    _preferred.pop((cell, hidden, dtype), None)
    if kernel is not None:
        _preferred[cell, hidden, dtype] = kernel


def _kernel(cell: Traced, weight_hh: Tensor, dtype: torch.dtype) -> Kernel:
    """Return the preferred kernel, else the fastest that runs this cell on this device with operands of this dtype."""
    if preferred := _preferred.get((cell, weight_hh.shape[1], dtype)):
        return preferred
    if cuda.runs(cell, weight_hh, dtype):
        return cuda
    return native if native.runs(cell, weight_hh, dtype) else portable
