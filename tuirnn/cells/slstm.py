"""sLSTM (Beck et al. 2024), the scalar cell of the xLSTM: exponential gates, a normaliser, and a stabiliser; one head.

l = log σ(W_xf x + W_hf h + b_f)        ĩ = W_xi x + W_hi h + b_i
m' = max(ĩ, m + l)
i = exp(ĩ − m')                         f = exp(m + l − m')
z = tanh(W_xz x + W_hz h + b_z)         o = σ(W_xo x + W_ho h + b_o)
c' = f c + i z
N' = f N + i
h' = o c' / N'

m is the logarithm of a scale that c and N share; h' does not depend on it. The forget gate is the paper's sigmoid. The
state contains n = N − 1, so the zero state has N = 1, as if an input z = 0 had been written with i = 1. The authors'
code starts with N = 0 instead and sets m' = ĩ at the first step, which no continuous function of the state can do. From
any state with N ≥ 1 the steps are the same. N is never less than 1, and |c| never greater than N.
"""

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, exp, expm1, is_positive, log_sigmoid, maximum, sigmoid, tanh
from tuirnn.cells.initial import Setting


class SLSTM(Cell):
    """The module's equations."""

    name = family = "slstm"
    year, paper = 2024, "Beck et al., xLSTM: Extended long short-term memory, arXiv 2405.04517"
    gates = ("i", "f", "z", "o")
    words = {"i": "input", "f": "forget", "z": "candidate", "o": "output"}
    state = ("h", "c", "n", "m")
    bounds = {"h": 1.0}
    initial = {"bias f": Setting("forget_bias")}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "i f z o")  # [B, 4H]
        log_i, l = x.i + a.i, log_sigmoid(x.f + a.f)  # each [B, H]
        m = maximum(log_i, s.m + l)
        i, f = exp(log_i - m), exp(s.m + l - m)
        z, o = tanh(x.z + a.z), sigmoid(x.o + a.o)
        c, N = f * s.c + i * z, f * (s.n + 1) + i
        return Parts(h=o * (c / N), c=c, n=N - 1, m=m), Parts(i=i, f=f, z=z, o=o, l=l)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; q = c' / N'; di and df are gradients of the exponents; first is 1 if ĩ > m + l."""
        N = after.n + 1  # [B, H]
        q = after.c / N
        dc, dn = d.c + d.h * k.o / N, d.n - d.h * k.o * q / N
        di, df = (dc * k.z + dn) * k.i, (dc * s.c + dn * (s.n + 1)) * k.f
        dm, first = d.m - di - df, is_positive(k.i - k.f)
        da, dl = di + dm * first, df + dm * (1 - first)
        db = dl * -expm1(k.l)
        dz, do = dc * k.i * (1 - k.z * k.z), d.h * q * k.o * (1 - k.o)
        dh = Wt(i=da, f=db, z=dz, o=do)  # [B, 4H] -> [B, H]
        return Gradients(Parts(h=dh, c=dc * k.f, n=dn * k.f, m=dl), Parts(i=da, f=db, z=dz, o=do))
