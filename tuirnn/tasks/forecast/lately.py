"""How far forecasts of one step have erred lately: what an interval's width follows.

The variance before each row is that of exponentially weighted errors, the newest of which counts most (RiskMetrics,
J.P. Morgan 1996). An error divided by its root is a normalised score (Papadopoulos, Vovk and Gammerman 2011), and the
quantile of the validation part's scores, times the root that holds now, is the width of an interval: it grows when a
series becomes wilder, and shrinks when it calms down.
"""

import numpy as np

from tuirnn.scaling import Series

DECAY = 0.5 ** (1 / 5)
"""Weight of an error beside that of the next one: half of it after five."""

RECENT = 40
"""Errors that count; older ones together have a 256th of the weight."""


def deviation(errors: Series, usual: Series) -> Series:
    """The root of the weighted mean square of the errors before each row, and after the last.

    Args:
        errors: of one step [n, F], NaN where the true value is not known.
        usual: root mean square of a column's errors [F], which counts for all that are too old or not known.
    Returns:
        [n + 1, F].
    """
    n, F = errors.shape
    known = ~np.isnan(errors)
    with np.errstate(over="ignore"):
        squared = np.where(known, errors, 0.0) ** 2
    total, weight = np.zeros((n + 1, F)), np.zeros((n + 1, F))
    for back in range(1, min(RECENT, n) + 1):
        share = (1 - DECAY) * DECAY ** (back - 1)
        total[back:] += share * squared[: n + 1 - back]
        weight[back:] += share * known[: n + 1 - back]
    return np.asarray(np.sqrt(total + (1 - weight) * usual**2), np.float64)
