"""Debiased exponential smoothing of a growing curve, computed in blocks."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCK = 32


class Smoother:
    """y_t = Σ β^(t-j) x_j / Σ β^(t-j) over the finite x_j up to t: an average without the bias of a starting value.

    A point that is not finite is ignored, and is NaN in the result.

    Args:
        beta: from 0 (no smoothing) to below 1.
    """

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._carry = np.zeros(2)  # running sums of the values and of their weights

    def extend(self, values: Floats) -> Floats:
        """The smoothed curve at further points [n], continuing from the last call."""
        finite = np.isfinite(values)
        if self.beta <= 0 or not len(values):
            return np.where(finite, values, np.nan)
        pair = (1 - self.beta) * np.stack([np.where(finite, values, 0.0), finite])  # [2, n]
        sums = decaying_sums(pair, self.beta, self._carry)
        self._carry = sums[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(finite, sums[0] / sums[1], np.nan)


def decaying_sums(x: Floats, decay: float, before: Floats) -> Floats:
    """s_t = decay · s_(t-1) + x_t along the last axis of x [2, n], where s was `before` [2].

    Blocks are summed in parallel; the carries between them are again a decaying sum, over fewer terms.
    """
    n = x.shape[1]
    whole = n // BLOCK * BLOCK
    if n > BLOCK and whole < n:
        head = decaying_sums(x[:, :whole], decay, before)
        return np.concatenate([head, decaying_sums(x[:, whole:], decay, head[:, -1])], axis=1)
    length = min(n, BLOCK)
    lag = np.arange(length)[:, None] - np.arange(length)[None, :]
    kernel = np.where(lag >= 0, decay ** np.maximum(lag, 0), 0.0)  # [length, length]
    sums = x.reshape(2, -1, length) @ kernel.T  # [2, blocks, length]
    carried = before[:, None]
    if n > BLOCK:
        ends = decaying_sums(np.ascontiguousarray(sums[:, :-1, -1]), decay**BLOCK, before)
        carried = np.concatenate([carried, ends], axis=1)
    sums += carried[:, :, None] * decay ** np.arange(1, length + 1)
    return sums.reshape(2, n)
