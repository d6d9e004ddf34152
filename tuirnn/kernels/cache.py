"""What kernels take and return: the recurrent parameters of a layer, the forward cache, gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import leaf
from tuirnn.codegen.trace import Traced

State = tuple[Tensor, ...]
"""The parts of the state, h first, each [B, H]; buffers of a whole sequence have a leading T or T + 1."""


class Recurrent(NamedTuple):
    """The parameters that the time loop reads.

    Attributes:
        matrix: weight_hh [R·H, H].
        bias: bias_hh [R·H]; gx already includes the rows of additive gates.
        vectors: [P, H].
        operand: dtype of the products' operands; None: that of the matrix.
    """

    matrix: Tensor
    bias: Tensor
    vectors: Tensor
    operand: torch.dtype | None = None

    def rounded(self) -> "Recurrent":
        """Return the parameters with the matrix in the operands' dtype."""
        return self if self.operand is None else self._replace(matrix=self.matrix.to(self.operand))


class SequenceGradients(NamedTuple):
    """The results of a backward pass.

    Attributes:
        x: gradients of the input halves, [T, B, G·H].
        gates: gradients of the recurrent products, [T, B, G·H]; the columns of gates without a product are undefined.
        state: gradients of the first state, each [B, H].
        vectors: gradients of the vectors, [P, H].
    """

    x: Tensor
    gates: Tensor
    state: State
    vectors: Tensor


@dataclass
class ForwardCache:
    """The values of a forward pass that the backward pass needs; every kernel fills it alike.

    Attributes:
        gates: kept values in the places of gates, [T, B, G·H]; undefined if the cell keeps none there.
        states: every state from the first on, each [T+1, B, H].
        extra: the E other kept values, [T, B, E·H].
        observed: whether the backward pass must compute `dh_norm`.
        dh_norm: after a backward pass, the norm of the gradient of h at each step, [T].
    """

    gates: Tensor
    states: State
    extra: Tensor
    observed: bool = False
    dh_norm: Tensor | None = None

    def with_states(self, cell: Traced, states: Sequence[Tensor], steps: slice) -> "ForwardCache":
        """Return this cache of some steps with views of the whole sequence's states, each [T+1, B, H].

        They contain the same values.
        """
        part = tuple(s[steps.start : steps.stop + 1] for s in states)
        return ForwardCache(self.gates if cell.keeps_gates else part[0][1:], part, self.extra)

    def operands(self, cell: Traced, vectors: Tensor) -> list[tuple[slice, Tensor]]:
        """Compute the operands of the recurrent products for all steps from the vectors [P, H].

        Returns:
            (columns of the product's gates, operand [T, B, H]) pairs, in the order of the columns.
        """
        H = self.states[0].shape[-1]
        values = {leaf("state", name): s[:-1] for name, s in zip(cell.state, self.states, strict=True)}
        for names, buffer in ((cell.gates, self.gates), (cell.extra, self.extra)):
            places = {name: slice(i * H, (i + 1) * H) for i, name in enumerate(names) if name in cell.kept}
            values |= {leaf("kept", name): buffer[..., place] for name, place in places.items()}
        values |= {leaf("p", name): vector for name, vector in zip(cell.vectors, vectors, strict=True)}
        found = []
        for stage, operand in zip(cell.stages, cell.operands, strict=True):
            first = cell.gates.index(stage.gates[0])
            found.append((slice(first * H, (first + len(stage.gates)) * H), evaluate(operand, values)))
        return sorted(found, key=lambda pair: pair[0].start)

    def gradient_buffer(self, cell: Traced) -> Tensor:
        """Return a buffer [T, B, G·H] for the gates' gradients: `gates` itself unless that aliases the states."""
        T, B, H = self.states[0][1:].shape
        return self.gates if cell.keeps_gates else self.states[0].new_empty(T, B, cell.G * H)


def allocate_states(state: State, T: int, into: Sequence[Tensor] = ()) -> State:
    """Return buffers of all states.

    Args:
        state: the first state, each [B, H].
        T: steps.
        into: buffers to use for the first of the states.
    Returns:
        [T+1, B, H] for each state, with `state` at time 0.
    """
    buffers = (*into, *(first.new_empty(T + 1, *first.shape) for first in state[len(into) :]))
    for buffer, first in zip(buffers, state, strict=True):
        buffer[0] = first
    return buffers


class Kernel(Protocol):
    """An implementation of the forward and the backward pass: `eager`, `portable`, `native`, `cuda`."""

    def forward(
        self, cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()
    ) -> ForwardCache:
        """Run a forward pass.

        Args:
            cell: the traced cell.
            gx: input half of every gate [T, B, G·H], with bias_hh of additive gates; overwritten with kept values.
            weights: the recurrent parameters.
            state: the first state, each [B, H].
            into: buffers for the first of the states, each [T+1, B, H].
        """
        ...

    def backward(
        self, cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State
    ) -> SequenceGradients:
        """Run a backward pass.

        Args:
            cell: the traced cell.
            cache: returned by `forward`; `dh_norm` is set, `gates` may be overwritten with gradients.
            weights: as in the forward pass.
            dh_all: gradient of h after every step, [T, B, H].
            dlast: further gradients of the last state, each [B, H].
        """
        ...
