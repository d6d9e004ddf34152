"""The C++ kernels: compiled once per machine with its own compiler, kept in the cache folder, called through ctypes.

Where there is no compiler, or TUIRNN_KERNELS=portable says so, `library()` is None and everything runs on `portable`.
"""

import ctypes
import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tuirnn import compiling
from tuirnn.cells import Cell, State
from tuirnn.kernels.trace import Trace

SOURCE = Path(__file__).with_name("native.cpp")
KINDS = {"rnn_tanh": 0, "rnn_relu": 1, "lstm": 2, "gru_after": 3}
"""Cells that the library knows, by its own numbers."""

FLAGS = [
    "-std=c++20",
    "-O3",
    "-fopenmp",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
]


@cache
def library() -> ctypes.CDLL | None:
    """The loaded kernels, compiled first where this machine has not yet; None where that is not to be had."""
    loaded, _ = _load()
    return loaded


def why_not() -> str:
    """Why `library()` is None, in a few words; empty where it is there."""
    return _load()[1]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("TUIRNN_KERNELS") == "portable":
        return None, "TUIRNN_KERNELS=portable"
    loaded, why = compiling.load(SOURCE, "c++", FLAGS)
    if loaded is None:
        return None, why
    try:
        loaded.tuirnn_product_scratch.restype = loaded.tuirnn_recurrence_scratch.restype = ctypes.c_long
    except AttributeError as error:
        return None, f"the kernels are not in the library: {error}"
    return loaded, ""


def runs(cell: Cell, weight_hh: Tensor) -> bool:
    """Whether the library can run this cell on these weights."""
    fits = cell.name in KINDS and weight_hh.device.type == "cpu" and weight_hh.dtype == torch.float32
    return fits and library() is not None


def forward(cell: Cell, gx: Tensor, weight_hh: Tensor, bias_hh: Tensor, state: State) -> Trace:
    """As `portable.forward`."""
    lib = _library()
    T, B, _ = gx.shape
    H = weight_hh.shape[1]
    gx, weight_hh, bias_hh = gx.contiguous(), weight_hh.contiguous(), bias_hh.contiguous()
    states = tuple(gx.new_empty(T + 1, B, H) for _ in state)
    for buffer, first in zip(states, state, strict=True):
        buffer[0] = first
    saved = gx.new_empty(T, B, cell.saved_width * H)
    kind = KINDS[cell.name]
    scratch = gx.new_empty(lib.tuirnn_recurrence_scratch(kind, ctypes.c_long(H)))
    lib.tuirnn_forward(
        kind, *_longs(T, B, H), _p(gx), _p(states[0]), _p(states[-1]), _p(saved), _p(weight_hh), _p(bias_hh),
        _p(scratch), _threads(B),
    )  # fmt: skip
    return Trace(gx, states, saved)


def backward(cell: Cell, trace: Trace, weight_hh: Tensor, dh_all: Tensor, dlast: State) -> tuple[Tensor, Tensor, State]:
    """As `portable.backward`."""
    lib = _library()
    T, B, _ = trace.a.shape
    H = weight_hh.shape[1]
    kind, threads = KINDS[cell.name], _threads(B)
    dgh = torch.empty_like(trace.a)
    dgx = torch.empty_like(trace.a) if cell.saved_width else dgh
    dstate = tuple(d.clone(memory_format=torch.contiguous_format) for d in dlast)
    squares = torch.zeros(threads, T, dtype=torch.float64)
    scratch = dgh.new_empty(lib.tuirnn_recurrence_scratch(kind, ctypes.c_long(H)))
    weight_hh, dh_all = weight_hh.contiguous(), dh_all.contiguous()
    lib.tuirnn_backward(
        kind, *_longs(T, B, H), _p(trace.a), _p(trace.states[0]), _p(trace.states[-1]), _p(trace.saved),
        _p(weight_hh), _p(dh_all), _p(dgh), _p(dgx), _p(dstate[0]), _p(dstate[-1]), _p(squares), _p(scratch), threads,
    )  # fmt: skip
    trace.dh_norm = squares.sum(0).sqrt()
    return dgx, dgh, dstate


def product(A: Tensor, B: Tensor, bias: Tensor | None = None) -> Tensor:
    """A [M, K] B [K, N] (+ bias [N]) for float32 matrices on the CPU with any strides; a new [M, N]."""
    lib = _library()
    (M, K), N = A.shape, B.shape[1]
    C = A.new_empty(M, N)
    scratch = A.new_empty(lib.tuirnn_product_scratch(*_longs(N, K)))
    lib.tuirnn_product(
        *_longs(M, N, K), _p(A), *_longs(*A.stride()), _p(B), *_longs(*B.stride()),
        _p(bias) if bias is not None else None, _p(C), _p(scratch), _threads(M),
    )  # fmt: skip
    return C


def _library() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None, "callers ask `runs` first"
    return loaded


def _threads(rows: int) -> int:
    return max(1, min(torch.get_num_threads(), rows))


def _p(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _longs(*values: int) -> list[ctypes.c_long]:
    return [ctypes.c_long(value) for value in values]
