"""What a forward pass over a sequence leaves behind."""

from dataclasses import dataclass

from torch import Tensor

from tuirnn.cells import State


@dataclass
class Trace:
    """What the backward pass needs, the same from every kernel.

    Attributes:
        a: gate activations, [T, B, G·H].
        states: every state from the first on, each [T+1, B, H].
        saved: the cell's extra activations, [T, B, saved_width·H].
        dh_norm: after a backward pass, the norm of the gradient that reaches h at each step, [T].
    """

    a: Tensor
    states: State
    saved: Tensor
    dh_norm: Tensor | None = None
