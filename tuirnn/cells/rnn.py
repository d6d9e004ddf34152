"""Vanilla RNN (Elman 1990), tanh or relu.

    h' = φ(gx + gh)        φ = tanh: φ' = 1 − h'²        φ = relu: φ' = [h' > 0]

Backward, with δ the gradient of h':    δgh = δ φ'        δh = δgh weight_hh
"""

import torch
from torch import Tensor

from tuirnn.cells.base import Cell, Product, State, Step
from tuirnn.cells.functions import ONE, tanh


class RNN(Cell):
    """What does not depend on φ."""

    gates = ("h",)
    gates_are_states = True

    def step_backward(
        self, dgh: Tensor, kept: Tensor, factors: tuple[Tensor, ...], product_T: Product, dstate: State
    ) -> State:
        """Backward, see the module's equations."""
        (dh,) = dstate
        return (product_T(dgh.mul_(dh)),)


class RNNTanh(RNN):
    """h' = tanh(gx + gh)."""

    name = "rnn_tanh"

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        tanh(s.a.add_(product(s.before[0])), out=s.after[0])

    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """φ' in `a`."""
        (h,) = s.after
        torch.addcmul(ONE, h, h, value=-1, out=s.a)
        return (s.a,)


class RNNRelu(RNN):
    """h' = max(0, gx + gh)."""

    name = "rnn_relu"

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        torch.clamp_min(s.a.add_(product(s.before[0])), 0, out=s.after[0])

    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """φ' in `a`."""
        (h,) = s.after
        torch.gt(h, 0, out=s.a)
        return (s.a,)
