"""The C++ kernels: compiled once per machine with its own compiler, kept in the cache folder, called through ctypes.

Where there is no compiler, or TUIRNN_KERNELS=portable says so, `library()` is None and everything runs on `portable`.
"""

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tuirnn import compiling
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, begun

CPP = Path(__file__).parent / "cpp"
KINDS = {"rnn": "RNN_TANH", "rnn-relu": "RNN_RELU", "lstm": "LSTM", "gru": "GRU_AFTER", "gru-before": "GRU_BEFORE"}
"""Cells that the library knows, in the order of its own numbers, by its own names."""

UNITS = [
    compiling.Unit(CPP / "library.cpp"),
    *(
        compiling.Unit(CPP / "cell.cpp", (f"OPERAND={operand}", f"OPERAND_{operand}", f"CELL={kind}"))
        for operand in ("F32", "BF16")
        for kind in KINDS.values()
    ),
]
"""Each cell with each type of operands is compiled by itself: on a machine of many cores all at once."""

SHARING_PAYS = 2**17
"""Fewest recurrent weights whose products are split between threads by units."""

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


def is_to_be_compiled() -> bool:
    """Whether `library()` will compile first, which takes a while."""
    return not _portable_wanted() and compiling.is_to_be_compiled(UNITS, "c++", FLAGS)


def why_not() -> str:
    """Why `library()` is None, in a few words; empty where it is there."""
    return _load()[1]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if _portable_wanted():
        return None, "TUIRNN_KERNELS=portable"
    loaded, why = compiling.load(UNITS, "c++", FLAGS)
    if loaded is None:
        return None, why
    try:
        loaded.tuirnn_product_scratch.restype = loaded.tuirnn_recurrence_scratch.restype = ctypes.c_long
    except AttributeError as error:
        return None, f"the kernels are not in the library: {error}"
    return loaded, ""


def _portable_wanted() -> bool:
    return os.environ.get("TUIRNN_KERNELS") == "portable"


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the library multiplies operands of this type here."""
    lib = library() if device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) else None
    return lib is not None and (dtype == torch.float32 or bool(lib.tuirnn_has_bf16()))


def runs(cell: Traced, weight_hh: Tensor, dtype: torch.dtype) -> bool:
    """Whether the library can run this cell on these weights, with operands of this type."""
    return cell.name in KINDS and multiplies(dtype, weight_hh.device)


def forward(
    cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> ForwardCache:  # fmt: skip
    """As `Kernel.forward`; gx and the state are float32."""
    weight_hh, bias_hh, _ = weights
    bias_hh = bias_hh.clone()
    for gate in cell.additive:
        bias_hh[cell.recurrent.index(gate) * weight_hh.shape[1] :][: weight_hh.shape[1]] = 0
    T, B, _ = gx.shape
    H = weight_hh.shape[1]
    gx, bias_hh = gx.contiguous(), bias_hh.contiguous()
    states = begun(state, T, into)
    saved = gx.new_empty(T, B, cell.extra_width * H)
    matrix, scratch = weight_hh.float().contiguous(), _recurrence_scratch(cell, B, H)
    _library().tuirnn_forward(
        *_kind(cell, dtype or weight_hh.dtype), *_longs(T, B, H), _p(gx), _p(states[0]), _p(states[-1]), _p(saved),
        _p(matrix), _p(bias_hh), _p(scratch), _threads(cell, B, H),
    )  # fmt: skip
    return ForwardCache(gx, states, saved)


def backward(
    cell: Traced,
    trace: ForwardCache,
    weights: Recurrent,
    dh_all: Tensor,
    dlast: State,
    *,
    dtype: torch.dtype | None = None,
) -> SequenceGradients:
    """As `Kernel.backward`; where dgx is not dgh, dgx is in the activations' place."""
    weight_hh = weights.matrix
    T, B, _ = trace.a.shape
    H = weight_hh.shape[1]
    threads = _threads(cell, B, H)
    dgx = trace.room(cell)
    dgh = torch.empty_like(dgx) if cell.extra_width else dgx
    dstate = tuple(d.clone(memory_format=torch.contiguous_format) for d in dlast)
    squares = torch.zeros(threads, T, dtype=torch.float64)
    matrix, dh_all, scratch = weight_hh.float().contiguous(), dh_all.contiguous(), _recurrence_scratch(cell, B, H)
    _library().tuirnn_backward(
        *_kind(cell, dtype or weight_hh.dtype), *_longs(T, B, H),
        _p(trace.a), _p(trace.states[0]), _p(trace.states[-1]), _p(trace.saved), _p(matrix), _p(dh_all), _p(dgh),
        _p(dgx), _p(dstate[0]), _p(dstate[-1]), _p(squares), _p(scratch), threads,
    )  # fmt: skip
    trace.dh_norm = squares.sum(0).sqrt()
    return SequenceGradients(dgx, dgh, dstate, torch.zeros_like(weights.vectors))


def product(A: Tensor, B: Tensor, bias: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """A [M, K] B [K, N] (+ bias [N]), float32 on the CPU, each with a stride of one; a new float32 [M, N].

    Args:
        A: left factor.
        B: right factor.
        bias: added to each row.
        dtype: what the factors are rounded to; sums are float32.
    """
    lib = _library()
    A, B = (M if 1 in M.stride() else M.contiguous() for M in (A, B))
    (M, K), N = A.shape, B.shape[1]
    C = A.new_empty(M, N)
    threads = min(torch.get_num_threads(), M)
    scratch = torch.empty(lib.tuirnn_product_scratch(*_longs(N), threads), dtype=torch.int32)
    lib.tuirnn_product(
        int(dtype == torch.bfloat16), *_longs(M, N, K), _p(A), *_longs(*A.stride()), _p(B), *_longs(*B.stride()),
        _p(bias) if bias is not None else None, _p(C), _p(scratch), threads,
    )  # fmt: skip
    return C


def _kind(cell: Traced, dtype: torch.dtype) -> tuple[int, int]:
    """Whether products are of bfloat16, and the library's number of the cell."""
    return int(dtype == torch.bfloat16), _number(cell)


def _number(cell: Traced) -> int:
    return list(KINDS).index(cell.name)


def _recurrence_scratch(cell: Traced, B: int, H: int) -> Tensor:
    return torch.empty(_library().tuirnn_recurrence_scratch(_number(cell), *_longs(B, H)), dtype=torch.int32)


def _library() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None, "callers ask `runs` or `multiplies` first"
    return loaded


def _threads(cell: Traced, B: int, H: int) -> int:
    """As many as can share the rows; all of them on fewer rows where the weights are worth their waiting."""
    threads = torch.get_num_threads()
    return threads if cell.G * H * H >= SHARING_PAYS else min(threads, B)


def _p(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _longs(*values: int) -> list[ctypes.c_long]:
    return [ctypes.c_long(value) for value in values]
