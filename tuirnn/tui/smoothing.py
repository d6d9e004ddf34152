"""Debiased exponential smoothing of a curve that grows, whole blocks at a time."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCK = 128


class Smoother:
    """y_t = Σ β^(t-j) x_j / Σ β^(t-j) over the finite x_j up to t: an average that leans on no starting value.

    A point that is not finite takes no part and is NaN in the result.

    Args:
        beta: from 0 (the curve itself) to below 1 (ever smoother).
    """

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._carry = np.zeros(2)  # running sums of the values and of their weights
        lag = np.arange(BLOCK)[:, None] - np.arange(BLOCK)[None, :]
        self._kernel = np.where(lag >= 0, (1 - beta) * beta ** np.maximum(lag, 0), 0.0)  # [BLOCK, BLOCK]
        self._decay = beta ** np.arange(1, BLOCK + 1)

    def extend(self, values: Floats) -> Floats:
        """The smoothed curve at further points [n], going on where the last call ended."""
        if self.beta <= 0:
            return np.where(np.isfinite(values), values, np.nan)
        finite = np.isfinite(values)
        pair = np.stack([np.where(finite, values, 0.0), finite.astype(np.float64)])  # [2, n]
        sums = np.concatenate([self._run(part) for part in self._split(pair)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(finite, sums[0] / sums[1], np.nan)

    def _split(self, pair: Floats) -> list[Floats]:
        """Whole blocks in one piece and the rest in another."""
        whole = pair.shape[1] // BLOCK * BLOCK
        return [part for part in (pair[:, :whole], pair[:, whole:]) if part.shape[1]] or [pair]

    def _run(self, pair: Floats) -> Floats:
        length = min(BLOCK, pair.shape[1])
        if not length:
            return pair
        blocks = pair.reshape(2, -1, length)  # [2, blocks, length]
        inner = blocks @ self._kernel[:length, :length].T
        carries = np.empty((blocks.shape[1], 2))
        for number in range(blocks.shape[1]):
            carries[number] = self._carry
            self._carry = inner[:, number, -1] + self._decay[length - 1] * self._carry
        inner += carries.T[:, :, None] * self._decay[:length]
        return inner.reshape(2, -1)
