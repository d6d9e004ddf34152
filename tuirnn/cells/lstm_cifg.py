"""LSTM with coupled input and forget gates (Greff et al. 2015): what is forgotten makes room for what is written.

f = σ(W_xf x + W_hf h + b_f)        g = tanh(W_xg x + W_hg h + b_g)
o = σ(W_xo x + W_ho h + b_o)
c' = f c + (1 − f) g
h' = o tanh(c')

The paper computes i and sets f = 1 − i. Here f is computed and i = 1 − f, which is the same with opposite signs in the
rows of that gate, so that the forget bias has its meaning in the LSTM. The paper's peepholes are omitted.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh
from tuirnn.cells.initial import Setting


class LSTMCoupled(Cell):
    """The module's equations."""

    name = family = "lstm-cifg"
    year, paper = 2015, "Greff et al., LSTM: A search space odyssey, arXiv 1503.04069"
    gates = ("f", "g", "o")
    words = {"f": "forget", "g": "candidate", "o": "output"}
    state = ("h", "c")
    bounds = {"h": 1.0, "c": 1.0}
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "f g o")  # [B, 3H]
        f, g, o = sigmoid(x.f + a.f), tanh(x.g + a.g), sigmoid(x.o + a.o)  # each [B, H]
        c = g + f * (s.c - g)
        return Parts(h=o * tanh(c), c=c), Parts(f=f, g=g, o=o)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        tanh_c = tanh(after.c)
        dc = d.c + d.h * k.o * (1 - tanh_c * tanh_c)
        df, dg = dc * (s.c - k.g) * k.f * (1 - k.f), dc * (1 - k.f) * (1 - k.g * k.g)
        do = d.h * tanh_c * k.o * (1 - k.o)
        dh = Wt(f=df, g=dg, o=do)  # [B, 3H] -> [B, H]
        return Gradients(Parts(h=dh, c=dc * k.f), Parts(f=df, g=dg, o=do))
