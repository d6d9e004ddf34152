"""LSTM (Hochreiter & Schmidhuber 1997), with the forget gate of Gers et al. 2000; PyTorch's gate order i, f, g, o.

i = σ(W_xi x + W_hi h + b_i)        f = σ(W_xf x + W_hf h + b_f)
g = tanh(W_xg x + W_hg h + b_g)     o = σ(W_xo x + W_ho h + b_o)
c' = f c + i g
h' = o tanh(c')
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh
from tuirnn.cells.initial import Setting


class LSTM(Cell):
    """The module's equations."""

    name = family = "lstm"
    year, paper = 1997, "Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 9"
    gates = ("i", "f", "g", "o")
    words = {"i": "input", "f": "forget", "g": "candidate", "o": "output"}
    state = ("h", "c")
    bounds = {"h": 1.0}
    in_torch = ("LSTM", {})
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "i f g o")  # [B, 4H]
        i, f, g, o = sigmoid(x.i + a.i), sigmoid(x.f + a.f), tanh(x.g + a.g), sigmoid(x.o + a.o)  # each [B, H]
        c = f * s.c + i * g
        return Parts(h=o * tanh(c), c=c), Parts(i=i, f=f, g=g, o=o)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        tanh_c = tanh(after.c)
        dc = d.c + d.h * k.o * (1 - tanh_c * tanh_c)
        di, df = dc * k.g * k.i * (1 - k.i), dc * s.c * k.f * (1 - k.f)
        dg, do = dc * k.i * (1 - k.g * k.g), d.h * tanh_c * k.o * (1 - k.o)
        dh = Wt(i=di, f=df, g=dg, o=do)  # [B, 4H] -> [B, H]
        return Gradients(Parts(h=dh, c=dc * k.f), Parts(i=di, f=df, g=dg, o=do))
