"""sLSTM without stabiliser: exponential gates as they are, in float64 (2405.04517, section 2.2).

The stabilised states follow from the exact ones: m is the largest logarithm of a weight that an input has after its
decay, c and N are the exact sums divided by e^m.
"""

import torch
from torch import Tensor

from references import Published, Weights

PUBLISHED = Published(
    x={"i": [-2.19, 2.08, 1.58], "f": [-1.47, -0.03, -0.3], "z": [0.91, 1.73, -2.44], "o": [-2.83, 2.01, -0.4]},
    before={"h": [0.52, -1.0, -0.11], "c": [0.44, -0.54, 0.89], "n": [1.8, 0.06, 0.05], "m": [0.08, 0.88, -0.24]},
    after={
        "h": [0.0139372005351381, 0.6545425554779, -0.345611692885454],
        "c": [0.838527354012705, 0.858953241333153, -0.923553899889834],
        "n": [2.35264114420032, 0.15723861789965, 0.07239883431808],
        "m": [-1.59695358640021, 2.08, 1.58],
    },
    v={},
)
"""By `slstm_forward_pointwise` of NX-AI/xlstm, commit 032a6fb, whose n is 1 larger."""


def sequence(x: Tensor, first: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h of every step [T, B, H], and the last state (h, c, n, m), n being N − 1."""
    h, c, n, m = first
    exact_c, exact_n, outputs, logarithms = c * torch.exp(m), (n + 1) * torch.exp(m), [], [m]
    for x_t in x:
        i, f, z, o = (x_t @ w.U[gate].T + h @ w.R[gate].T + w.b[gate] for gate in ("i", "f", "z", "o"))
        exact_c = torch.sigmoid(f) * exact_c + torch.exp(i) * torch.tanh(z)
        exact_n = torch.sigmoid(f) * exact_n + torch.exp(i)
        h = torch.sigmoid(o) * exact_c / exact_n
        outputs.append(h)
        logarithms = [each + torch.log(torch.sigmoid(f)) for each in logarithms] + [i]
    last = torch.stack(logarithms).amax(0)
    return torch.stack(outputs), (h, exact_c * torch.exp(-last), exact_n * torch.exp(-last) - 1, last)
