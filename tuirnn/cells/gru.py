"""GRU (Cho et al. 2014), PyTorch's gate order r, z, n, in both forms of the reset gate.

r = σ(W_xr x + W_hr h + b_r)        z = σ(W_xz x + W_hz h + b_z)
after the product (PyTorch, cuDNN):   n = tanh(W_xn x + b_xn + r q),   q = W_hn h + b_hn
before it (Cho et al.):               n = tanh(W_xn x + W_hn (r h) + b_n)
h' = (1 − z) n + z h
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh


class GRU(Cell):
    """The reset gate is applied after the recurrent product, so n is not additive."""

    name = family = "gru"
    option = ("reset", "after")
    year, paper = 2014, "Cho et al., Learning phrase representations using RNN encoder-decoder, arXiv 1406.1078"
    gates = ("r", "z", "n")
    words = {"r": "reset", "z": "update", "n": "candidate"}
    bounds = {"h": 1.0}
    in_torch = ("GRU", {})

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "r z n")  # [B, 3H]
        r, z = sigmoid(x.r + a.r), sigmoid(x.z + a.z)  # each [B, H]
        n = tanh(x.n + r * a.n)
        return Parts(h=n + z * (s.h - n)), Parts(r=r, z=z, n=n, q=a.n)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; n depends on q through r, so the halves of n have different gradients."""
        dn = d.h * (1 - k.z) * (1 - k.n * k.n)
        dz = d.h * (s.h - k.n) * k.z * (1 - k.z)
        dr, dq = dn * k.q * k.r * (1 - k.r), dn * k.r
        dh = d.h * k.z + Wt(r=dr, z=dz, n=dq)  # [B, 3H] -> [B, H]
        return Gradients(Parts(h=dh), Parts(r=dr, z=dz, n=dn), Parts(r=dr, z=dz, n=dq))


class GRUBefore(Cell):
    """The reset gate is applied before the recurrent product, which needs a second stage."""

    name, family = "gru-before", "gru"
    option = ("reset", "before")
    year, paper = GRU.year, GRU.paper
    gates, words, bounds = GRU.gates, GRU.words, GRU.bounds

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "r z")  # [B, 2H]
        r, z = sigmoid(x.r + a.r), sigmoid(x.z + a.z)  # each [B, H]
        n = tanh(x.n + W(r * s.h, "n").n)
        return Parts(h=n + z * (s.h - n)), Parts(r=r, z=z, n=n)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; drh is the gradient of r h."""
        dn = d.h * (1 - k.z) * (1 - k.n * k.n)
        dz = d.h * (s.h - k.n) * k.z * (1 - k.z)
        drh = Wt(n=dn)  # [B, H]
        dr = drh * s.h * k.r * (1 - k.r)
        dh = d.h * k.z + drh * k.r + Wt(r=dr, z=dz)  # [B, 2H] -> [B, H]
        return Gradients(Parts(h=dh), Parts(r=dr, z=dz, n=dn))
