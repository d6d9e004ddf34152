"""What kernels take and give: a layer's recurrent parameters, what a forward pass leaves behind, gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import leaf
from tuirnn.codegen.trace import Traced

State = tuple[Tensor, ...]
"""The parts of the state, h first, each [B, H]; with a leading T or T + 1 in buffers of a whole sequence."""


class Recurrent(NamedTuple):
    """The parameters that stay in the time loop.

    Attributes:
        matrix: weight_hh [R·H, H].
        bias: bias_hh [R·H]; that of gates whose halves just add up is in gx already.
        vectors: [P, H].
    """

    matrix: Tensor
    bias: Tensor
    vectors: Tensor

    def to(self, dtype: torch.dtype | None) -> "Recurrent":
        """The same with a matrix of another type, that of a product's operands."""
        return self if dtype is None else self._replace(matrix=self.matrix.to(dtype))


class SequenceGradients(NamedTuple):
    """What a backward pass returns.

    Attributes:
        x: of the input halves, [T, B, G·H].
        gates: of the recurrent products, [T, B, G·H], of which the columns of gates without one mean nothing.
        state: of the first state, each [B, H].
        vectors: [P, H], summed over T and B.
    """

    x: Tensor
    gates: Tensor
    state: State
    vectors: Tensor


@dataclass
class ForwardCache:
    """What the backward pass needs, the same from every kernel.

    Attributes:
        a: gate activations, [T, B, G·H]; where the cell keeps none, anything.
        states: every state from the first on, each [T+1, B, H].
        saved: what the cell keeps beside its gates, [T, B, extra_width·H].
        observed: whether `dh_norm` is asked for.
        dh_norm: after a backward pass, the norm of the gradient that reaches h at each step, [T].
    """

    a: Tensor
    states: State
    saved: Tensor
    observed: bool = False
    dh_norm: Tensor | None = None

    def on(self, cell: Traced, states: Sequence[Tensor], steps: slice) -> "ForwardCache":
        """The same as views of the whole sequence's states, each [T+1, B, H], which hold the same numbers."""
        part = tuple(s[steps.start : steps.stop + 1] for s in states)
        return ForwardCache(self.a if cell.keeps_gates else part[0][1:], part, self.saved)

    def operands(self, cell: Traced, vectors: Tensor) -> list[tuple[slice, Tensor]]:
        """What weight_hh's rows were multiplied with: (columns of these gates, operand [T, B, H]) pairs, in order.

        Args:
            cell: the mathematics.
            vectors: [P, H].
        """
        H = self.states[0].shape[-1]
        values = {leaf("state", name): s[:-1] for name, s in zip(cell.state, self.states, strict=True)}
        for names, buffer in ((cell.gates, self.a), (cell.extra, self.saved)):
            places = {name: slice(i * H, (i + 1) * H) for i, name in enumerate(names) if name in cell.kept}
            values |= {leaf("kept", name): buffer[..., place] for name, place in places.items()}
        values |= {leaf("p", name): vector for name, vector in zip(cell.vectors, vectors, strict=True)}
        found = []
        for stage, operand in zip(cell.stages, cell.operands, strict=True):
            first = cell.gates.index(stage.gates[0])
            found.append((slice(first * H, (first + len(stage.gates)) * H), evaluate(operand, values)))
        return sorted(found, key=lambda pair: pair[0].start)

    def room(self, cell: Traced) -> Tensor:
        """Where the gradient of the gates' arguments may be written, [T, B, G·H]: over `a` but for states."""
        T, B, H = self.states[0][1:].shape
        return self.a if cell.keeps_gates else self.states[0].new_empty(T, B, cell.G * H)


def begun(state: State, T: int, into: Sequence[Tensor] = ()) -> State:
    """Buffers of all states, each [T+1, B, H], that begin with `state`: `into`, and new ones for the rest."""
    buffers = (*into, *(first.new_empty(T + 1, *first.shape) for first in state[len(into) :]))
    for buffer, first in zip(buffers, state, strict=True):
        buffer[0] = first
    return buffers


class Kernel(Protocol):
    """A way to run a cell over a whole sequence: `eager`, `portable`, `native`, `cuda`."""

    def forward(
        self, cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = (), *,
        dtype: torch.dtype | None = None,
    ) -> ForwardCache:  # fmt: skip
        """Run the cell over gx [T, B, G·H] from `state`; gx is overwritten with the gates' activations.

        Args:
            cell: the mathematics.
            gx: input half of every gate; where the halves of a gate just add up, with its bias_hh in it.
            weights: of the time loop.
            state: each [B, H].
            into: where the first of the states are written for all steps, each [T+1, B, H].
            dtype: of the products' operands; None: that of the matrix.
        """
        ...

    def backward(
        self, cell: Traced, trace: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State, *,
        dtype: torch.dtype | None = None,
    ) -> SequenceGradients:  # fmt: skip
        """Walk back through a forward pass.

        Args:
            cell: the mathematics.
            trace: what `forward` returned; its `dh_norm` is filled in, its activations are overwritten with gradients.
            weights: as in the forward pass.
            dh_all: gradient of every h after its step, [T, B, H].
            dlast: gradients of the last state beyond `dh_all`, each [B, H].
            dtype: as in the forward pass.
        """
        ...
