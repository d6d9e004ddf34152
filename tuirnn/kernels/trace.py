"""What a forward pass over a sequence leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuirnn.cells import Cell, State, Step


@dataclass
class Trace:
    """What the backward pass needs, the same from every kernel.

    Attributes:
        a: gate activations, [T, B, G·H].
        states: every state from the first on, each [T+1, B, H].
        saved: the cell's extra activations, [T, B, saved_width·H].
        observed: whether `dh_norm` is asked for.
        dh_norm: after a backward pass, the norm of the gradient that reaches h at each step, [T].
    """

    a: Tensor
    states: State
    saved: Tensor
    observed: bool = False
    dh_norm: Tensor | None = None

    def on(self, cell: Cell, states: Sequence[Tensor], steps: slice) -> "Trace":
        """The same as views of the whole sequence's states, each [T+1, B, H], which hold the same numbers."""
        part = tuple(s[steps.start : steps.stop + 1] for s in states)
        return Trace(part[0][1:] if cell.gates_are_states else self.a, part, self.saved)

    def buffers(self, cell: Cell, steps: slice, a: Tensor) -> Step:
        """The cell's buffers of some steps as views with a leading t; `a` [T, B, G·H] may be another than its own."""
        before, after = tuple(s[:-1][steps] for s in self.states), tuple(s[1:][steps] for s in self.states)
        return Step(a[steps], a[steps].chunk(cell.G, -1), before, after, self.saved[steps])

    def room(self, cell: Cell) -> Tensor:
        """Where the gradient of the gates' arguments may be written, [T, B, G·H]: over `a` but for states."""
        return torch.empty_like(self.a) if cell.gates_are_states else self.a


def begun(state: State, T: int, into: Sequence[Tensor] = ()) -> State:
    """Buffers of all states, each [T+1, B, H], that begin with `state`: `into`, and new ones for the rest."""
    buffers = (*into, *(first.new_empty(T + 1, *first.shape) for first in state[len(into) :]))
    for buffer, first in zip(buffers, state, strict=True):
        buffer[0] = first
    return buffers
