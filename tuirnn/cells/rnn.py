"""Vanilla RNN (Elman 1990), with tanh or relu.

h' = φ(W_x x + W_h h + b)        tanh' = 1 − tanh²        relu' = [h' > 0]
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, is_positive, relu, tanh


class RNN(Cell):
    """The module's equation with tanh."""

    name = family = "rnn"
    option = ("nonlinearity", "tanh")
    year, paper = 1990, "Elman, Finding structure in time, Cognitive Science 14"
    gates = ("h",)
    words = {"h": "state"}
    bounds = {"h": 1.0}
    in_torch = ("RNN", {"nonlinearity": "tanh"})

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Forward; keeps nothing but the state."""
        return Parts(h=tanh(x.h + W(s.h, "h").h)), Parts()  # [B, H]

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        da = d.h * (1 - after.h * after.h)  # [B, H]
        return Gradients(Parts(h=Wt(h=da)), Parts(h=da))


class RNNRelu(RNN):
    """The module's equation with relu."""

    name = "rnn-relu"
    option = ("nonlinearity", "relu")
    year, paper = 2015, "Le, Jaitly, Hinton, A simple way to initialize recurrent networks, arXiv 1504.00941"
    bounds = {}
    in_torch = ("RNN", {"nonlinearity": "relu"})

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Forward; keeps nothing but the state."""
        return Parts(h=relu(x.h + W(s.h, "h").h)), Parts()  # [B, H]

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        da = d.h * is_positive(after.h)  # [B, H]
        return Gradients(Parts(h=Wt(h=da)), Parts(h=da))
