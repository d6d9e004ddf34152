"""Exponential smoothing of a growing curve without the bias and the lag of its beginning, computed in blocks."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCK = 32

GROWTH = 10
"""At first the average is over a tenth of the points so far: a longer one would lag behind the first steep fall."""


class Smoother:
    """y_n = β_n y_(n-1) + (1 - β_n) x_n with β_n = min(β, n / (n + GROWTH)), over the finite x_0, x_1, …

    A point that is not finite is ignored, and is NaN in the result; once β_n has reached β, it lets what was before
    fade as a finite one does.

    Args:
        beta: from 0 (no smoothing) to below 1.
    """

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._seen = 0  # finite points of the growing average
        self._carry = np.zeros(2)  # running sums of the values and of their weights

    def extend(self, values: Floats) -> Floats:
        """The smoothed curve at further points [n], continuing from the last call."""
        finite = np.isfinite(values)
        if self.beta <= 0 or not len(values):
            return np.where(finite, values, np.nan)
        first = self._grow(values, finite)
        values, finite = values[len(first) :], finite[len(first) :]
        if not len(values):
            return first
        pair = (1 - self.beta) * np.stack([np.where(finite, values, 0.0), finite])  # [2, n]
        sums = decaying_sums(pair, self.beta, self._carry)
        self._carry = sums[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([first, np.where(finite, sums[0] / sums[1], np.nan)])

    def _grow(self, values: Floats, finite: npt.NDArray[np.bool_]) -> Floats:
        """The points at which the average is still over a share of all points."""
        smooth, average = [], float(self._carry[0])
        for value, known in zip(values.tolist(), finite.tolist(), strict=True):
            beta = self._seen / (self._seen + GROWTH)
            if beta >= self.beta:
                break
            if known:
                average = beta * average + (1 - beta) * value
                self._seen += 1
            smooth.append(average if known else np.nan)
        if smooth:
            self._carry = np.array([average, 1.0])
        return np.array(smooth, np.float64)


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
