"""Vanilla RNN (Elman 1990), tanh or relu.

    h' = φ(gx + gh)        φ = tanh: φ' = 1 − h'²        φ = relu: φ' = [h' > 0]

Backward, with δ the gradient of h':    δgh = δ φ'        δh = δgh weight_hh
"""

import torch
from torch import Tensor

from tuirnn.cells.base import Cell, Product, State


class RNNTanh(Cell):
    """h' = tanh(gx + gh)."""

    name = "rnn_tanh"
    gates = ("h",)

    def step(self, a: Tensor, product: Product, state: State, out: State, saved: Tensor) -> None:
        """Forward, see the module's equations."""
        torch.tanh(product(state[0], onto=a), out=out[0])

    def step_backward(
        self,
        dstate: State,
        a: Tensor,
        before: State,
        after: State,
        saved: Tensor,
        product_T: Product,
        dgh: Tensor,
        kept: Tensor,
    ) -> State:
        """Backward, see the module's equations."""
        (dh,), (h,) = dstate, after
        torch.mul(dh, 1 - h * h, out=dgh)
        return (product_T(dgh),)


class RNNRelu(Cell):
    """h' = max(0, gx + gh)."""

    name = "rnn_relu"
    gates = ("h",)

    def step(self, a: Tensor, product: Product, state: State, out: State, saved: Tensor) -> None:
        """Forward, see the module's equations."""
        torch.clamp_min(product(state[0], onto=a), 0, out=out[0])

    def step_backward(
        self,
        dstate: State,
        a: Tensor,
        before: State,
        after: State,
        saved: Tensor,
        product_T: Product,
        dgh: Tensor,
        kept: Tensor,
    ) -> State:
        """Backward, see the module's equations."""
        (dh,), (h,) = dstate, after
        torch.mul(dh, h > 0, out=dgh)
        return (product_T(dgh),)
