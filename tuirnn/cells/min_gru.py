"""Minimal GRU (Feng et al. 2024): a GRU whose gate and candidate see the input alone, in the paper's linear form.

z = σ(W_xz x + b_z)        n = W_xn x + b_n
h' = (1 − z) h + z n

The paper writes h̃ for n. In its other form, which is trained in log space, n is positive; here n has either sign. The
state starts at zero.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid


class MinGRU(Cell):
    """The module's equations; there is no recurrent product."""

    name = family = "min-gru"
    year, paper = 2024, "Feng et al., Were RNNs all we needed?, arXiv 2410.01201"
    gates = ("z", "n")
    words = {"z": "update", "n": "candidate"}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        z = sigmoid(x.z)  # [B, H]
        return Parts(h=s.h + z * (x.n - s.h)), Parts(z=z)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; z (n − h) is h' − h, so n need not be kept."""
        dz = d.h * (after.h - s.h) * (1 - k.z)  # [B, H]
        return Gradients(Parts(h=d.h * (1 - k.z)), Parts(z=dz, n=d.h * k.z))
