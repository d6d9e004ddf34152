"""The C++ kernels: compiled once per machine with its own compiler, kept in the cache folder, called through ctypes.

There is a library of large matrix products, and one for each cell that is used, whose mathematics are written from its
definition (`codegen/cpp.py`). Where there is no compiler, or TUIRNN_KERNELS=portable says so, everything runs on
`portable`.
"""

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from tuirnn import compiling
from tuirnn.codegen.cpp import header
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, begun

CPP = Path(__file__).parent / "cpp"
OPERANDS = {torch.float32: "F32", torch.bfloat16: "BF16"}
"""Types that products multiply -> what the library calls them."""

Function = Callable[..., int]
Library = Mapping[str, Function]
Signature = tuple[type[ctypes.c_long | ctypes.c_int] | None, tuple[type, ...]]

SHARING_PAYS = 2**17
"""Fewest recurrent weights whose products are split between threads by units."""

FLAGS = (
    "-std=c++20",
    "-O3",
    "-fopenmp",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",  # else a process's second cell would use the constants of its first
)

LONG, INT, POINTER = ctypes.c_long, ctypes.c_int, ctypes.c_void_p
POINTERS = ctypes.POINTER(ctypes.c_void_p)
PRODUCT_FUNCTIONS: dict[str, Signature] = {
    "tuirnn_lanes": (LONG, ()),
    "tuirnn_has_bf16": (INT, ()),
    "tuirnn_product_scratch": (LONG, (LONG, INT)),
    "tuirnn_product": (None, (INT, *3 * (LONG,), *2 * (POINTER, LONG, LONG), *3 * (POINTER,), INT)),
}
CELL_FUNCTIONS: dict[str, Signature] = {
    "tuirnn_scratch": (LONG, (LONG, LONG)),
    "tuirnn_forward": (None, (*3 * (LONG,), POINTER, POINTERS, *5 * (POINTER,), INT)),
    "tuirnn_backward": (None, (*3 * (LONG,), POINTER, POINTERS, *6 * (POINTER,), POINTERS, *3 * (POINTER,), INT)),
}
"""Name -> (result, arguments); of a cell's functions there is one for each type of operands."""

Loaded = tuple[Library | None, str]
"""A library, or None and why not."""

_loaded: dict[Traced | None, Loaded] = {}
"""By cell; None: the library of products."""

_loading = Lock()


def _units(cell: Traced | None) -> tuple[compiling.Unit, ...]:
    """What is compiled for a cell: each type of operands by itself, so that processors share the work."""
    if cell is None:
        return (compiling.Unit(CPP / "products.cpp"),)
    headers = (("cell.h", header(cell)),)
    return tuple(
        compiling.Unit(CPP / "cell.cpp", (f"OPERAND={operand}", f"OPERAND_{operand}"), headers)
        for operand in OPERANDS.values()
    )


def library() -> Library | None:
    """The products, compiled first where this machine has not yet; None where they are not to be had."""
    return _load(None)[0]


def why_not() -> str:
    """Why `library()` is None, in a few words; empty where it is there."""
    return _load(None)[1]


def why_not_for(cell: Traced) -> str:
    """Why a cell does not run here, in a few words; empty where it does."""
    return why_not() or _load(cell)[1]


def is_to_be_compiled(cell: Traced) -> bool:
    """Whether a cell's first use will compile, which takes some seconds."""
    if _portable_wanted():
        return False
    missing = [each for each in (None, cell) if each not in _loaded]
    return any(compiling.is_to_be_compiled(_units(each), "c++", FLAGS) for each in missing)


def prepare(cell: Traced) -> None:
    """Compile what a cell needs in the background; its first use waits for that."""
    pool = ThreadPoolExecutor(1, "compiling")
    with suppress(RuntimeError):  # no room for a thread: the first use compiles
        pool.submit(why_not_for, cell)
    pool.shutdown(wait=False)


def forget() -> None:
    """Load everything anew when it is next asked for."""
    with _loading:
        _loaded.clear()


def _load(cell: Traced | None) -> Loaded:
    if cell not in _loaded:
        with _loading:
            if cell not in _loaded:
                _loaded[cell] = _typed(cell)
    return _loaded[cell]


def _typed(cell: Traced | None) -> Loaded:
    """Load a library and say what its functions take."""
    if _portable_wanted():
        return None, "TUIRNN_KERNELS=portable"
    loaded, why = compiling.load(_units(cell), "c++", FLAGS)
    if loaded is None:
        return None, why
    functions = dict(PRODUCT_FUNCTIONS)
    if cell is not None:
        functions = {f"{name}_{each}": of for name, of in CELL_FUNCTIONS.items() for each in OPERANDS.values()}
    found: dict[str, Function] = {}
    for name, (result, arguments) in functions.items():
        if hasattr(loaded, name):  # those for bfloat16 are not compiled for every processor
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            found[name] = function
    missing = [name for name in functions if name not in found and not name.endswith("BF16")]
    return (None, f"the library lacks {', '.join(missing)}") if missing else (found, "")


def _portable_wanted() -> bool:
    return os.environ.get("TUIRNN_KERNELS") == "portable"


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the library multiplies operands of this type here."""
    lib = library() if device.type == "cpu" and dtype in OPERANDS else None
    return lib is not None and (dtype == torch.float32 or bool(lib["tuirnn_has_bf16"]()))


def runs(cell: Traced, weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether a cell with such parameters runs here, with operands of this type."""
    return multiplies(dtype, weight.device) and _load(cell)[0] is not None


def forward(
    cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> ForwardCache:  # fmt: skip
    """As `Kernel.forward`; gx and the state are float32."""
    T, B, _ = gx.shape
    H = state[0].shape[-1]
    run = _Pass(cell, B, H, dtype or weights.matrix.dtype)
    gx, states = gx.contiguous(), begun(state, T, into)
    extras = gx.new_empty(T, B, cell.extra_width * H)
    matrix, bias, vectors = (tensor.float().contiguous() for tensor in weights)
    assert (len(matrix), len(vectors)) == (cell.R * H, len(cell.vectors)), "parameters of another cell"
    run.function("forward")(
        T, B, H, gx.data_ptr(), _pointers(states), extras.data_ptr(), matrix.data_ptr(), bias.data_ptr(),
        vectors.data_ptr(), run.scratch.data_ptr(), run.threads,
    )  # fmt: skip
    return ForwardCache(gx, states, extras)


def backward(
    cell: Traced, trace: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State, *,
    dtype: torch.dtype | None = None,
) -> SequenceGradients:  # fmt: skip
    """As `Kernel.backward`; where the halves' gradients differ, those of the input are in the activations' place."""
    T, B, H = dh_all.shape
    run = _Pass(cell, B, H, dtype or weights.matrix.dtype)
    dx = trace.room(cell)
    dgates = torch.empty_like(dx) if cell.split else dx
    dstate = tuple(d.clone(memory_format=torch.contiguous_format) for d in dlast)
    matrix, vectors, dh_all = (
        weights.matrix.float().contiguous(),
        weights.vectors.float().contiguous(),
        dh_all.contiguous(),
    )
    dvectors = vectors.new_zeros(run.threads, *vectors.shape)
    squares = torch.zeros(run.threads, T, dtype=torch.float64)
    run.function("backward")(
        T, B, H, trace.a.data_ptr(), _pointers(trace.states), trace.saved.data_ptr(), matrix.data_ptr(),
        vectors.data_ptr(), dh_all.data_ptr(), dgates.data_ptr(), dx.data_ptr(), _pointers(dstate),
        dvectors.data_ptr(), squares.data_ptr(), run.scratch.data_ptr(), run.threads,
    )  # fmt: skip
    trace.dh_norm = squares.sum(0).sqrt()
    return SequenceGradients(dx, dgates, dstate, dvectors.sum(0))


class _Pass:
    """The library of a cell, and what it needs for a pass."""

    def __init__(self, cell: Traced, B: int, H: int, dtype: torch.dtype) -> None:
        loaded, _ = _load(cell)
        assert loaded is not None, "callers ask `runs` first"
        self._library, self._operand = loaded, OPERANDS[dtype]
        self.threads = _threads(cell, B, H)
        self.scratch = torch.empty(self.function("scratch")(B, H), dtype=torch.int32)

    def function(self, name: str) -> Function:
        """A function of the library for the type of operands."""
        return self._library[f"tuirnn_{name}_{self._operand}"]


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
    scratch = torch.empty(lib["tuirnn_product_scratch"](N, threads), dtype=torch.int32)
    lib["tuirnn_product"](
        int(dtype == torch.bfloat16), M, N, K, A.data_ptr(), *A.stride(), B.data_ptr(), *B.stride(),
        bias.data_ptr() if bias is not None else None, C.data_ptr(), scratch.data_ptr(), threads,
    )  # fmt: skip
    return C


def _library() -> Library:
    loaded = library()
    assert loaded is not None, "callers ask `runs` or `multiplies` first"
    return loaded


def _threads(cell: Traced, B: int, H: int) -> int:
    """As many as can share the rows; all of them on fewer rows where the weights are worth their waiting."""
    threads = torch.get_num_threads()
    return threads if cell.R * H * H >= SHARING_PAYS else min(threads, B)


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
