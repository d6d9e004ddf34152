"""Choosing the next token from logits: pure functions of logits, settings and one uniform number."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.errors import ConfigError

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How to choose.

    Attributes:
        temperature: divides the logits; 0 is greedy.
        top_k: keep only the k likeliest tokens; 0: all.
        top_p: keep the likeliest tokens that together reach this probability; 1: all.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 100):
            raise ConfigError(f"--temperature must be from 0 (greedy) to 100, not {self.temperature:g}")
        if self.top_k < 0:
            raise ConfigError(f"--top-k must be at least 0 (all), not {self.top_k}")
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise ConfigError(f"--top-p must be above 0 and at most 1, not {self.top_p:g}")


def weights(logits: npt.NDArray[np.float32], sampling: Sampling) -> Probabilities:
    """Weights in proportion to the probabilities that `sample` draws from, [..., V]; -inf gives 0.

    Greedy puts all weight on the first of the largest logits. top-k keeps ties with the k-th.
    """
    if sampling.temperature == 0:
        greedy = np.zeros(logits.shape)
        np.put_along_axis(greedy, logits.argmax(-1, keepdims=True), 1.0, -1)
        return greedy
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(-1, keepdims=True)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to -inf, as it should
        p: Probabilities = np.exp(scaled / sampling.temperature)
    if 0 < sampling.top_k < p.shape[-1]:
        p[p < np.partition(p, -sampling.top_k)[..., -sampling.top_k, None]] = 0.0
    if sampling.top_p < 1:
        p /= p.sum(-1, keepdims=True)
        order = np.argsort(-p, axis=-1, kind="stable")
        likeliest = np.take_along_axis(p, order, -1)
        beyond = np.cumsum(likeliest, -1) - likeliest >= sampling.top_p
        np.put_along_axis(p, order, np.where(beyond, 0.0, likeliest), -1)
    return p


def probabilities(logits: npt.NDArray[np.float32], sampling: Sampling) -> Probabilities:
    """The distribution that `sample` draws from, [..., V]."""
    p = weights(logits, sampling)
    return np.asarray(p / p.sum(-1, keepdims=True))


def choose(p: Probabilities, uniform: float) -> int:
    """The token at which the running sum of weights p [V] first exceeds `uniform` in [0, 1) of its total."""
    total = p.cumsum()
    index = int(total.searchsorted(uniform * total[-1], side="right"))
    return min(index, int(np.flatnonzero(p)[-1]))


def sample(logits: npt.NDArray[np.float32], sampling: Sampling, uniform: float) -> int:
    """Choose a token: `choose(weights(logits, sampling), uniform)`, with greedy in one look."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    return choose(weights(logits, sampling), uniform)


def sample_rows(
    logits: npt.NDArray[np.float32], sampling: Sampling, uniforms: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """As `sample` for each row of logits [B, V] and its own uniform number [B]; returns tokens [B]."""
    p = weights(logits, sampling)
    total = p.cumsum(-1)
    index = (total <= uniforms[:, None] * total[:, -1:]).sum(-1)
    last = p.shape[-1] - 1 - (p[:, ::-1] > 0).argmax(-1)
    chosen: npt.NDArray[np.int64] = np.minimum(index, last)
    return chosen
