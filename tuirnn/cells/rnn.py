"""Vanilla RNN (Elman 1990), tanh or relu.

    h' = φ(gx + gh)        φ = tanh: φ' = 1 − h'²        φ = relu: φ' = [h' > 0]

Backward, with δ the gradient of h':    δgh = δ φ'        δh = δgh weight_hh
"""

import torch
from torch import Tensor

from tuirnn.cells.base import Cell, Product, State, Step


class RNNTanh(Cell):
    """h' = tanh(gx + gh)."""

    name = "rnn_tanh"
    gates = ("h",)
    gates_are_states = True

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        torch.tanh(product(s.before[0], onto=s.a), out=s.after[0])

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations."""
        (dh,), (h,) = dstate, s.after
        torch.mul(dh, 1 - h * h, out=dgh)
        return (product_T(dgh),)


class RNNRelu(Cell):
    """h' = max(0, gx + gh)."""

    name = "rnn_relu"
    gates = ("h",)
    gates_are_states = True

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        torch.clamp_min(product(s.before[0], onto=s.a), 0, out=s.after[0])

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations."""
        (dh,), (h,) = dstate, s.after
        torch.mul(dh, h > 0, out=dgh)
        return (product_T(dgh),)
