"""Minimal gated unit (Zhou et al. 2016): a GRU with one gate, which does the work of both.

f = σ(W_xf x + W_hf h + b_f)
n = tanh(W_xn x + W_hn (f h) + b_n)
h' = (1 − f) h + f n

The paper writes h̃ for n and calls f the forget gate. f = 1 replaces the old state, so the forget bias of an LSTM would
have the opposite effect: b_f starts at zero.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh


class MGU(Cell):
    """The module's equations: two recurrent products, the second of f h."""

    name = family = "mgu"
    year, paper = 2016, "Zhou et al., Minimal gated unit for recurrent neural networks, arXiv 1603.09420"
    gates = ("f", "n")
    words = {"f": "forget", "n": "candidate"}
    bounds = {"h": 1.0}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        f = sigmoid(x.f + W(s.h, "f").f)  # [B, H]
        n = tanh(x.n + W(f * s.h, "n").n)
        return Parts(h=s.h + f * (n - s.h)), Parts(f=f, n=n)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; dfh is the gradient of f h."""
        dn = d.h * k.f * (1 - k.n * k.n)
        dfh = Wt(n=dn)  # [B, H]
        df = (d.h * (k.n - s.h) + dfh * s.h) * k.f * (1 - k.f)
        dh = d.h * (1 - k.f) + dfh * k.f + Wt(f=df)
        return Gradients(Parts(h=dh), Parts(f=df, n=dn))
