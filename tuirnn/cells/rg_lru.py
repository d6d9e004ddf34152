"""Real-gated linear recurrent unit (De et al. 2024, Griffin), without the block around it.

r = σ(W_xr x + b_r)        i = σ(W_xi x + b_i)        u = W_xu x + b_u
log a = −8 softplus(Λ) r
h' = a h + √(1 − a²) (i u)

u is the input of the unit, which the paper's block computes. Λ starts so that a with r = 1 is uniform in [0.9, 0.999].
1 − a² is computed as −expm1(2 log a), which is accurate for a near 1. The authors' code does not scale u at the first
step of a sequence and limits the derivative of √; here the root is that of the paper, and the gradient is exact.
"""

import math

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, exp, expm1, maximum, sigmoid, softplus, sqrt
from tuirnn.cells.initial import Drawn

SMALLEST = 1e-30
"""Less than the root of every positive float32: it replaces a root of zero in a division."""


class RGLRU(Cell):
    """The module's equations; there is no recurrent product."""

    name = family = "rg-lru"
    year, paper = 2024, "De et al., Griffin: Mixing gated linear recurrences with local attention, arXiv 2402.19427"
    gates = ("r", "i", "u")
    words = {"r": "recurrence", "i": "input", "u": "candidate"}
    vectors = ("Lambda",)
    initial = {"vector Lambda": Drawn(lambda drawn: math.log(math.expm1(-math.log(0.9 + 0.099 * drawn) / 8)))}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Forward; v is the root."""
        r, i = sigmoid(x.r), sigmoid(x.i)  # each [B, H]
        log_a = -8 * softplus(p.Lambda) * r
        a, v = exp(log_a), sqrt(-expm1(2 * log_a))
        return Parts(h=a * s.h + v * (i * x.u)), Parts(r=r, i=i, u=x.u)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Backward; e is the gradient of log a; if v is 0, so are the factors that e is multiplied by."""
        log_a = -8 * softplus(p.Lambda) * k.r  # [B, H]
        a, v = exp(log_a), sqrt(-expm1(2 * log_a))
        e = d.h * a * (s.h - k.i * k.u * a / maximum(v, SMALLEST))
        dr, di = e * log_a * (1 - k.r), d.h * v * k.u * k.i * (1 - k.i)
        dx = Parts(r=dr, i=di, u=d.h * v * k.i)
        return Gradients(Parts(h=d.h * a), dx, vectors=Parts(Lambda=-8 * e * k.r * sigmoid(p.Lambda)))
