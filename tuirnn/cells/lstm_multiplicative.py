"""Multiplicative LSTM (Krause et al. 2016): the input chooses, unit by unit, how the old state enters the gates.

m = (W_xm x + b_xm) (W_hm h + b_hm)
i = σ(W_xi x + W_hi m + b_i)        f = σ(W_xf x + W_hf m + b_f)
g = tanh(W_xg x + W_hg m + b_g)     o = σ(W_xo x + W_ho m + b_o)
c' = f c + i g
h' = o tanh(c')

The paper has no biases in m; here they start at zero and are trained. It writes ĥ for g.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh
from tuirnn.cells.initial import Setting


class LSTMMultiplicative(Cell):
    """The module's equations: two recurrent products, the second of m."""

    name = family = "lstm-multiplicative"
    year, paper = 2016, "Krause et al., Multiplicative LSTM for sequence modelling, arXiv 1609.07959"
    gates = ("m", "i", "f", "g", "o")
    words = {"m": "multiplier", "i": "input", "f": "forget", "g": "candidate", "o": "output"}
    state = ("h", "c")
    bounds = {"h": 1.0}
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        q = W(s.h, "m").m  # [B, H]
        a = W(x.m * q, "i f g o")  # [B, 4H]
        i, f, g, o = sigmoid(x.i + a.i), sigmoid(x.f + a.f), tanh(x.g + a.g), sigmoid(x.o + a.o)  # each [B, H]
        c = f * s.c + i * g
        return Parts(h=o * tanh(c), c=c), Parts(m=x.m, q=q, i=i, f=f, g=g, o=o)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; m is the product of its halves, so the gradient of each half contains the other."""
        tanh_c = tanh(after.c)
        dc = d.c + d.h * k.o * (1 - tanh_c * tanh_c)
        di, df = dc * k.g * k.i * (1 - k.i), dc * s.c * k.f * (1 - k.f)
        dg, do = dc * k.i * (1 - k.g * k.g), d.h * tanh_c * k.o * (1 - k.o)
        dm = Wt(i=di, f=df, g=dg, o=do)  # [B, 4H] -> [B, H]
        dq = dm * k.m
        before = Parts(h=Wt(m=dq), c=dc * k.f)
        return Gradients(before, Parts(m=dm * k.q, i=di, f=df, g=dg, o=do), Parts(m=dq, i=di, f=df, g=dg, o=do))
