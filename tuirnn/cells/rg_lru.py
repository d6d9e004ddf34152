"""Real-gated linear recurrent unit (De et al. 2024, Griffin), without the block around it.

r = σ(W_xr x + b_r)        i = σ(W_xi x + b_i)        u = W_xu x + b_u
log a = −8 softplus(Λ) r
h' = a h + √(1 − a²) (i u)

u is the paper's input to the unit, there made by the block. Λ is such that a with r = 1 begins uniform in [0.9, 0.999].
1 − a² is −expm1(2 log a), exact where a is near 1. The authors' code writes u unscaled at a sequence's first step and
limits the derivative of √; here the root stays, as in the paper, and the gradient is the true one.
"""

import math

from tuirnn.cells.definition import Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, exp, expm1, maximum, sigmoid, softplus, sqrt
from tuirnn.cells.initial import Drawn

SMALLEST = 1e-30
"""Below every root of a positive float32: in its place, a root of zero can be divided by."""


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
        """Backward; e is the gradient of log a. Where v is 0, so is the factor of e."""
        log_a = -8 * softplus(p.Lambda) * k.r  # [B, H]
        a, v = exp(log_a), sqrt(-expm1(2 * log_a))
        e = d.h * a * (s.h - k.i * k.u * a / maximum(v, SMALLEST))
        dr, di = e * log_a * (1 - k.r), d.h * v * k.u * k.i * (1 - k.i)
        dx = Parts(r=dr, i=di, u=d.h * v * k.i)
        return Gradients(Parts(h=d.h * a), dx, vectors=Parts(Lambda=-8 * e * k.r * sigmoid(p.Lambda)))
