"""Choosing tokens between two steps without numpy's overhead: sampler.c through ctypes, or samplers.py without it."""

import ctypes
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuirnn import compiling, processor
from tuirnn.runtime.samplers import Sampling, sample

SOURCE = Path(__file__).with_name("sampler.c")
FLAGS = ["-std=c99", "-O3", "-ffp-contract=off"]


class _Settings(ctypes.Structure):
    """`Sampler` of sampler.c."""

    _fields_ = [
        ("logits", ctypes.c_void_p), ("token", ctypes.c_void_p), ("weights", ctypes.c_void_p),
        ("vocab", ctypes.c_int64), ("banned", ctypes.c_int64), ("top_k", ctypes.c_int64),
        ("temperature", ctypes.c_double),
    ]  # fmt: skip


@cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get("TUIRNN_KERNELS") == "portable":
        return None
    library, _ = compiling.load([compiling.Unit(SOURCE)], "c", [*FLAGS, *processor.compiler_flags()])
    if library is not None:
        library.tuirnn_choose.argtypes = [ctypes.c_void_p, ctypes.c_double]
        library.tuirnn_choose.restype = ctypes.c_int64
    return library


def is_native() -> bool:
    """Whether the C sampler is there."""
    return _library() is not None


def chooser(
    logits: npt.NDArray[np.float32], token: npt.NDArray[np.int64], banned: int | None, sampling: Sampling
) -> Callable[[float], int]:
    """A function of one uniform number that reads `logits` [V], writes its choice to `token` [1] and returns it.

    Args:
        logits: the buffer that a session fills at each step.
        token: the buffer that the session reads at the next.
        banned: a token never chosen.
        sampling: how to choose.
    """
    library = _library()
    if library is None or sampling.top_p < 1:
        return _portable(logits, token, banned, sampling)
    weights = np.empty(2 * len(logits))
    settings = _Settings(
        logits.ctypes.data, token.ctypes.data, weights.ctypes.data, len(logits), -1 if banned is None else banned,
        sampling.top_k, sampling.temperature,
    )  # fmt: skip
    settings.kept = weights, logits, token  # alive as long as the function
    return partial(library.tuirnn_choose, ctypes.byref(settings))


def _portable(
    logits: npt.NDArray[np.float32], token: npt.NDArray[np.int64], banned: int | None, sampling: Sampling
) -> Callable[[float], int]:
    def choose(uniform: float) -> int:
        if banned is not None:
            logits[banned] = -np.inf
        token[0] = sample(logits, sampling, uniform)
        return int(token[0])

    return choose
