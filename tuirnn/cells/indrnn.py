"""Independently recurrent network (Li et al. 2018): each unit sees its own past only.

h' = relu(W_x x + u h + b)        relu' = [h' > 0]

u starts uniform in [0, 1), and training clips |u| at 1 after each step: the paper's γ^(1/T) for a T without limit,
since the state may be carried on without end. So h grows at most linearly with T; it has no bound.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, is_positive, relu
from tuirnn.cells.initial import Drawn


class IndRNN(Cell):
    """The module's equation; there is no recurrent product."""

    name = family = "indrnn"
    year, paper = 2018, "Li et al., Independently recurrent neural network, arXiv 1803.04831"
    gates = ("h",)
    words = {"h": "state"}
    vectors = ("u",)
    limits = {"u": 1.0}
    initial = {"vector u": Drawn(lambda drawn: drawn)}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Forward; keeps nothing but the state."""
        return Parts(h=relu(x.h + p.u * s.h)), Parts()  # [B, H]

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        da = d.h * is_positive(after.h)  # [B, H]
        return Gradients(Parts(h=da * p.u), Parts(h=da), vectors=Parts(u=da * s.h))
