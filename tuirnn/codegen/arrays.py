"""The functions of cells for numpy arrays: importing this module registers them."""

import numpy as np
import numpy.typing as npt

from tuirnn.cells.functions import register

Array = npt.NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + e^−x) as (1 + tanh(x/2)) / 2, which never overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def softplus(x: Array) -> Array:
    """Compute log(1 + e^x) without overflow."""
    return np.asarray(np.logaddexp(x, 0))


register(
    np.ndarray,
    {
        "sigmoid": sigmoid,
        "log_sigmoid": lambda x: -softplus(-x),
        "tanh": np.tanh,
        "exp": np.exp,
        "expm1": np.expm1,
        "softplus": softplus,
        "sqrt": np.sqrt,
        "relu": lambda x: np.maximum(x, 0),
        "is_positive": lambda x: (x > 0).astype(x.dtype),
        "maximum": np.maximum,
        "select": lambda condition, x, y: np.where(condition > 0, x, y),
    },
)
