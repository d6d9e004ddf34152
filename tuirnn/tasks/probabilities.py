"""Probabilities from logits."""

from typing import Any

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[Any]) -> Probabilities:
    """Probabilities over the last axis, float64."""
    scores = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(scores / scores.sum(-1, keepdims=True))
