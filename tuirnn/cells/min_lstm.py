"""Minimal LSTM (Feng et al. 2024): forget and input gates that see the input alone and are scaled to the sum 1.

f = σ(W_xf x + b_f)        i = σ(W_xi x + b_i)        n = W_xn x + b_n
r = f / (f + i)
h' = r h + (1 − r) n

The paper writes f' for r, i' for 1 − r and h̃ for n. r is computed as σ(log f − log i), which does not divide zero by
zero if both gates are 0. In the paper's other form, which is trained in log space, n is positive; here n has either
sign. The state starts at zero.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, log_sigmoid, sigmoid
from tuirnn.cells.initial import Setting


class MinLSTM(Cell):
    """The module's equations; there is no recurrent product."""

    name = family = "min-lstm"
    year, paper = 2024, "Feng et al., Were RNNs all we needed?, arXiv 2410.01201"
    gates = ("f", "i", "n")
    words = {"f": "forget", "i": "input", "n": "candidate"}
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        f, i = sigmoid(x.f), sigmoid(x.i)  # each [B, H]
        r = sigmoid(log_sigmoid(x.f) - log_sigmoid(x.i))
        return Parts(h=x.n + r * (s.h - x.n)), Parts(f=f, i=i, r=r)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; a is log f − log i, and (1 − r) (h − n) is h − h', so n need not be kept."""
        da = d.h * (s.h - after.h) * k.r  # [B, H]
        return Gradients(Parts(h=d.h * k.r), Parts(f=da * (1 - k.f), i=da * (k.i - 1), n=d.h * (1 - k.r)))
