"""What a forward pass over a sequence leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import leaf
from tuirnn.codegen.trace import Traced

State = tuple[Tensor, ...]
"""The parts of the state, h first, each [B, H]; with a leading T or T + 1 in buffers of a whole sequence."""


@dataclass
class ForwardCache:
    """What the backward pass needs, the same from every kernel.

    Attributes:
        a: gate activations, [T, B, G·H].
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

    def operands(self, cell: Traced) -> list[tuple[slice, Tensor]]:
        """What weight_hh's rows were multiplied with: (rows, operand [T, B, H]) pairs that cover all rows in order."""
        H = self.states[0].shape[-1]
        values = {leaf("state", name): s[:-1] for name, s in zip(cell.state, self.states, strict=True)}
        values |= {leaf("kept", name): part for name, part in zip(cell.gates, self.a.chunk(cell.G, -1), strict=True)}
        values |= {
            leaf("kept", name): part
            for name, part in zip(cell.extra, self.saved.chunk(max(1, cell.extra_width), -1), strict=False)
        }
        found = []
        for stage, operand in zip(cell.stages, cell.operands, strict=True):
            first, last = cell.gates.index(stage.gates[0]), cell.gates.index(stage.gates[-1])
            found.append((slice(first * H, (last + 1) * H), evaluate(operand, values)))
        return sorted(found, key=lambda pair: pair[0].start)

    def room(self, cell: Traced) -> Tensor:
        """Where the gradient of the gates' arguments may be written, [T, B, G·H]: over `a` but for states."""
        return self.a if cell.keeps_gates else torch.empty_like(self.a)


def begun(state: State, T: int, into: Sequence[Tensor] = ()) -> State:
    """Buffers of all states, each [T+1, B, H], that begin with `state`: `into`, and new ones for the rest."""
    buffers = (*into, *(first.new_empty(T + 1, *first.shape) for first in state[len(into) :]))
    for buffer, first in zip(buffers, state, strict=True):
        buffer[0] = first
    return buffers
