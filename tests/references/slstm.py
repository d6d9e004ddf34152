"""sLSTM without stabiliser: exponential gates as they are, in float64 (2405.04517, section 2.2).

The stabilised states follow from the exact ones: m is the largest logarithm of a weight that an input has after its
decay, c and N are the exact sums divided by e^m.
"""

import torch
from torch import Tensor

from references import Weights


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
