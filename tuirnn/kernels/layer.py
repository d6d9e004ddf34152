"""One recurrent layer as one differentiable function: hoisted input product, time loop, weight gradients.

`torch.autograd.Function` is only the socket into PyTorch (modules, optimizers, DistributedDataParallel);
every derivative in it is written out here or in `cells`.

The sequence is walked in spans of steps (`spans`). The states of all steps stay from the forward pass; a span whose
gates did not stay is run forward again from its first state when its gradients are due.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tuirnn import spans
from tuirnn.codegen.trace import Traced
from tuirnn.kernels import cuda, native, portable
from tuirnn.kernels.cache import ForwardCache, State
from tuirnn.kernels.inputs import InputGradients, InputHalf, product_over_time

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""(weight_ih [G·H, I], weight_hh [G·H, H], bias_ih [G·H], bias_hh [G·H])."""


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
        cell: the mathematics.
        source: vectors [T, B, I], or int64 tokens [T, B].
        embedding: [V, I] for tokens; None with tokens means one-hot vectors (I = V).
        weights: the layer's parameters, in PyTorch's layout.
        state: each [B, H].
        dtype: of the products' operands; None: the weights' own.
        memory: 'save' keeps all gates for the backward pass; 'recompute' those of some last steps, and makes the others
            again. Without gradients nothing stays but h.
        observe: receives the layer's `ForwardCache`, all steps in one.
    Returns:
        h of every step [T, B, H] and the last state.
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
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """h of every step [T, B, H], then the last state; see `recurrent_layer`."""
        (T, B), operand = source.shape[:2], dtype or weight_hh.dtype
        bias = bias_ih + bias_hh if cell.sums_halves else bias_ih
        kernel = _kernel(cell, weight_hh, operand)
        stored = operand if kernel is cuda else bias.dtype  # the device's kernels wait for memory, not for arithmetic
        gx = InputHalf(source, embedding, weight_ih, bias, operand, stored)
        cuts = [slice(0, T)] if observe is not None else spans.cut(T, B, memory, weight_hh.device.type)
        first_kept = len(cuts) - spans.kept(len(cuts), memory if cell.keeps_gates else "save")
        traces: dict[int, ForwardCache] = {}
        staying = state[:1] if memory == "none" else state  # h goes out; c is for the backward pass
        states = tuple(s.new_empty(T + 1, *s.shape, dtype=bias.dtype) for s in staying)
        for index, steps in enumerate(cuts):
            into = [s[steps.start : steps.stop + 1] for s in states]
            trace = kernel.forward(cell, gx(steps), weight_hh, bias_hh, state, into, dtype=operand)
            state = tuple(s[-1] for s in trace.states)
            if index >= first_kept:
                traces[index] = trace.on(cell, states, steps)
            del trace  # before the next span makes its own
        if observe is not None:
            traces[0].observed = True
            observe.append(traces[0])
        ctx.cell, ctx.operand, ctx.stored, ctx.cuts, ctx.traces = cell, operand, stored, cuts, traces
        ctx.save_for_backward(source, embedding, weight_ih, bias, weight_hh, bias_hh, *states)
        return (states[0][1:], *(s.clone() for s in state))

    @staticmethod
    def backward(ctx: Any, dh_all: Tensor, *dstate: Tensor) -> tuple[Tensor | None, ...]:
        """A gradient for each argument of `forward`, from those of h and of the last state."""
        source, embedding, weight_ih, bias, weight_hh, bias_hh, *states = ctx.saved_tensors
        cell, operand = ctx.cell, ctx.operand
        kernel = _kernel(cell, weight_hh, operand)
        gx = InputHalf(source, embedding, weight_ih, bias, operand, ctx.stored)
        inputs = InputGradients(gx, needs_source=ctx.needs_input_grad[4])
        dbias_hh = torch.zeros_like(bias_hh)
        dW: list[Tensor] = []  # of the rows that met the same operand
        for index in range(len(ctx.cuts) - 1, -1, -1):
            steps = ctx.cuts[index]
            trace = ctx.traces.pop(index, None)  # its room is free after this span
            if trace is None:
                before = tuple(s[steps.start] for s in states)
                trace = kernel.forward(cell, gx(steps), weight_hh, bias_hh, before, dtype=operand)
                trace = trace.on(cell, states, steps)
            factors = trace.operands(cell)  # before gradients take a's place
            dgx, dgh, dstate = kernel.backward(cell, trace, weight_hh, dh_all[steps], dstate, dtype=operand)
            del trace
            products = [product_over_time(dgh[..., rows], factor, operand) for rows, factor in factors]
            dW = [total.add_(product) for total, product in zip(dW, products, strict=True)] if dW else products
            if not cell.sums_halves:
                dbias_hh += dgh.sum((0, 1), dtype=dbias_hh.dtype)
            inputs.add(steps, dgx)
            del dgx, dgh, factors, products
        dsource, dembedding, dweight_ih, dbias = inputs.total()
        dbias_hh = dbias if cell.sums_halves else dbias_hh
        dweight_hh = dW[0] if len(dW) == 1 else torch.cat(dW)
        return None, None, None, None, dsource, dembedding, dweight_ih, dweight_hh, dbias, dbias_hh, *dstate


def _kernel(cell: Traced, weight_hh: Tensor, dtype: torch.dtype) -> ModuleType:
    """The fastest kernel that runs this cell here, with operands of this type."""
    return next((kernel for kernel in (cuda, native) if kernel.runs(cell, weight_hh, dtype)), portable)
