"""LSTM with peepholes (Gers & Schmidhuber 2000): its gates see the memory as well, each unit its own.

i = σ(W_xi x + W_hi h + p_i c + b_i)        f = σ(W_xf x + W_hf h + p_f c + b_f)
g = tanh(W_xg x + W_hg h + b_g)             c' = f c + i g
o = σ(W_xo x + W_ho h + p_o c' + b_o)       h' = o tanh(c')

The paper cuts the gradient off at the gates; here it is whole, as in Graves & Schmidhuber 2005.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh
from tuirnn.cells.initial import Setting


class LSTMPeephole(Cell):
    """The module's equations."""

    name = family = "lstm-peephole"
    year, paper = 2000, "Gers, Schmidhuber, Recurrent nets that time and count, IJCNN 2000"
    gates = ("i", "f", "g", "o")
    words = {"i": "input", "f": "forget", "g": "candidate", "o": "output"}
    state = ("h", "c")
    vectors = ("p_i", "p_f", "p_o")
    bounds = {"h": 1.0}
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Forward; the input and forget gates read c before the step, the output gate c after it."""
        a = W(s.h, "i f g o")  # [B, 4H]
        i, f = sigmoid(x.i + a.i + p.p_i * s.c), sigmoid(x.f + a.f + p.p_f * s.c)  # each [B, H]
        g = tanh(x.g + a.g)
        c = f * s.c + i * g
        o = sigmoid(x.o + a.o + p.p_o * c)
        return Parts(h=o * tanh(c), c=c), Parts(i=i, f=f, g=g, o=o)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; h' depends on c' directly and through o."""
        tanh_c = tanh(after.c)
        do = d.h * tanh_c * k.o * (1 - k.o)  # [B, H]
        dc = d.c + d.h * k.o * (1 - tanh_c * tanh_c) + do * p.p_o
        di, df, dg = dc * k.g * k.i * (1 - k.i), dc * s.c * k.f * (1 - k.f), dc * k.i * (1 - k.g * k.g)
        dh = Wt(i=di, f=df, g=dg, o=do)  # [B, 4H] -> [B, H]
        before = Parts(h=dh, c=dc * k.f + di * p.p_i + df * p.p_f)
        dp = Parts(p_i=di * s.c, p_f=df * s.c, p_o=do * after.c)
        return Gradients(before, Parts(i=di, f=df, g=dg, o=do), vectors=dp)
