"""The C++ kernels: compiled once with the machine's compiler, stored in the cache folder, called through ctypes.

There is a library of large matrix products, and one for each cell in use, generated from its definition
(`codegen/cpp.py`), compiled for the processor's vector instructions, or for fewer (`tuirnn/processor.py`). Without a
compiler, or with TUIRNN_KERNELS=portable, everything runs on `portable`.
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

from tuirnn import compiling, processor
from tuirnn.codegen.cpp import header
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, allocate_states

CPP = Path(__file__).parent / "cpp"
PRODUCTS = ("F32", "BF16", "TILES")
"""Names of the products in the library: of floats, of bfloat16 in vectors, of bfloat16 on tiles."""

Function = Callable[..., int]
Library = Mapping[str, Function]
Signature = tuple[type[ctypes.c_long | ctypes.c_int] | None, tuple[type, ...]]

SHARING_PAYS = 2**17
"""Fewest recurrent weights for which threads divide the units of the same sequences."""

FLAGS = (
    "-std=c++20",
    "-O3",
    "-fopenmp",
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
    "tuirnn_tiles": (INT, ()),
    "tuirnn_product_scratch": (LONG, (LONG, INT)),
    "tuirnn_product": (None, (INT, *3 * (LONG,), *2 * (POINTER, LONG, LONG), *3 * (POINTER,), INT)),
}
CELL_FUNCTIONS: dict[str, Signature] = {
    "tuirnn_scratch": (LONG, (LONG, LONG)),
    "tuirnn_forward": (None, (*3 * (LONG,), POINTER, POINTERS, *5 * (POINTER,), INT)),
    "tuirnn_backward": (None, (*3 * (LONG,), POINTER, POINTERS, *6 * (POINTER,), POINTERS, *3 * (POINTER,), INT)),
}
"""Name -> (result, arguments); a cell's library has each function once for each dtype of operands."""

Loaded = tuple[Library | None, str]
"""A library and '', or None and the reason."""

_loaded: dict[Traced | None, Loaded] = {}
"""Libraries by cell; under None that of the products."""

_loading = Lock()


def _units(cell: Traced | None) -> tuple[compiling.Unit, ...]:
    """List what is compiled for a cell: one unit for each kind of product, so that compilers run in parallel."""
    on_tiles = processor.level() == processor.TILES
    if cell is None:
        return (compiling.Unit(CPP / "products.cpp", ("WITH_TILES",) if on_tiles else ()),)
    headers = (("cell.h", header(cell)),)
    return tuple(
        compiling.Unit(CPP / "cell.cpp", (f"OPERAND={product}", f"OPERAND_{product}"), headers)
        for product in (PRODUCTS if on_tiles else PRODUCTS[:2])
    )


def _flags() -> tuple[str, ...]:
    return (*FLAGS, *processor.compiler_flags())


def library() -> Library | None:
    """Load the library of products, and compile it if necessary; None if unavailable."""
    return _load(None)[0]


def unavailable_reason(cell: Traced | None = None) -> str:
    """Return why the kernels of a cell, or with None the products, are unavailable; '' if they are available."""
    return _load(None)[1] or _load(cell)[1]


def is_to_be_compiled(cell: Traced) -> bool:
    """Return whether the first use of a cell will compile, which takes some seconds."""
    if _portable_wanted():
        return False
    missing = [each for each in (None, cell) if each not in _loaded]
    return any(compiling.is_to_be_compiled(_units(each), "c++", _flags()) for each in missing)


def prepare(cell: Traced) -> None:
    """Compile the libraries of a cell in the background; its first use waits for them."""
    pool = ThreadPoolExecutor(1, "compiling")
    with suppress(RuntimeError):  # no thread can start: the first use compiles
        pool.submit(unavailable_reason, cell)
    pool.shutdown(wait=False)


def forget() -> None:
    """Discard all libraries: the next use loads them again."""
    with _loading:
        _loaded.clear()


def _load(cell: Traced | None) -> Loaded:
    if cell not in _loaded:
        with _loading:
            if cell not in _loaded:
                _loaded[cell] = _typed(cell)
    return _loaded[cell]


def _typed(cell: Traced | None) -> Loaded:
    """Load a library and set the argument types of its functions."""
    if _portable_wanted():
        return None, "TUIRNN_KERNELS=portable"
    loaded, why = compiling.load(_units(cell), "c++", _flags())
    if loaded is None:
        return None, why
    functions = dict(PRODUCT_FUNCTIONS)
    if cell is not None:
        functions = {f"{name}_{each}": of for name, of in CELL_FUNCTIONS.items() for each in PRODUCTS}
    found: dict[str, Function] = {}
    for name, (result, arguments) in functions.items():
        if hasattr(loaded, name):  # not every processor has bfloat16 or tiles
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            found[name] = function
    missing = [name for name in functions if name not in found and not name.endswith(PRODUCTS[1:])]
    return (None, f"the library lacks {', '.join(missing)}") if missing else (found, "")


def _portable_wanted() -> bool:
    return os.environ.get("TUIRNN_KERNELS") == processor.PORTABLE


def product_of(dtype: torch.dtype) -> str | None:
    """Return the kind of product of operands of a dtype, one of `PRODUCTS`; None if the library has none."""
    lib = library()
    if lib is None or dtype not in (torch.float32, torch.bfloat16):
        return None
    if dtype == torch.float32:
        return "F32"
    return "TILES" if lib["tuirnn_tiles"]() else "BF16" if lib["tuirnn_has_bf16"]() else None


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether the library multiplies operands of this dtype on this device."""
    return device.type == "cpu" and product_of(dtype) is not None


def runs(cell: Traced, weight: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a cell runs on the device of its weights, with operands of this dtype."""
    return multiplies(dtype, weight.device) and _load(cell)[0] is not None


def forward(cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()) -> ForwardCache:
    """Implement `Kernel.forward`; gx and the state are float32."""
    T, B, H = *gx.shape[:2], state[0].shape[-1]
    run = _Pass(cell, B, H, weights)
    gx, states = gx.contiguous(), allocate_states(state, T, into)
    extras = gx.new_empty(T, B, len(cell.extra) * H)
    matrix, bias, vectors = (tensor.float().contiguous() for tensor in weights[:3])
    assert (len(matrix), len(vectors)) == (cell.R * H, len(cell.vectors)), "parameters of another cell"
    run.function("forward")(
        T, B, H, gx.data_ptr(), _pointers(states), extras.data_ptr(), matrix.data_ptr(), bias.data_ptr(),
        vectors.data_ptr(), run.scratch.data_ptr(), run.threads,
    )  # fmt: skip
    return ForwardCache(gx, states, extras)


def backward(cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State) -> SequenceGradients:
    """Implement `Kernel.backward`; if some gates are split, the gradients of input halves overwrite the gates."""
    T, B, H = dh_all.shape
    run = _Pass(cell, B, H, weights)
    dx = cache.gradient_buffer(cell)
    dgates = torch.empty_like(dx) if cell.split else dx
    dstate = tuple(d.clone(memory_format=torch.contiguous_format) for d in dlast)
    matrix, _, vectors = (tensor.float().contiguous() for tensor in weights[:3])
    dh_all = dh_all.contiguous()
    dvectors = vectors.new_zeros(run.threads, *vectors.shape)
    squares = torch.zeros(run.threads, T, dtype=torch.float64)
    run.function("backward")(
        T, B, H, cache.gates.data_ptr(), _pointers(cache.states), cache.extra.data_ptr(), matrix.data_ptr(),
        vectors.data_ptr(), dh_all.data_ptr(), dgates.data_ptr(), dx.data_ptr(), _pointers(dstate),
        dvectors.data_ptr(), squares.data_ptr(), run.scratch.data_ptr(), run.threads,
    )  # fmt: skip
    cache.dh_norm = squares.sum(0).sqrt()
    return SequenceGradients(dx, dgates, dstate, dvectors.sum(0))


class _Pass:
    """The library of a cell, and the threads and scratch memory of a pass."""

    def __init__(self, cell: Traced, B: int, H: int, weights: Recurrent) -> None:
        loaded, _ = _load(cell)
        assert loaded is not None, "callers check `runs` first"
        self._library, self._product = loaded, product_of(weights.operand or weights.matrix.dtype)
        threads = torch.get_num_threads()  # for small weights no more than there are rows to divide between them
        self.threads = threads if cell.R * H * H >= SHARING_PAYS else min(threads, B)
        self.scratch = torch.empty(self.function("scratch")(B, H), dtype=torch.int32)

    def function(self, name: str) -> Function:
        """Return a function of the library for the operands' dtype."""
        return self._library[f"tuirnn_{name}_{self._product}"]


def product(A: Tensor, B: Tensor, bias: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Compute A B (+ bias) on the CPU.

    Args:
        A: left factor [M, K] float32.
        B: right factor [K, N] float32.
        bias: [N] float32, added to each row.
        dtype: to which the factors are rounded; sums are float32.
    Returns:
        A new tensor [M, N] float32.
    """
    lib, kind = library(), product_of(dtype)
    assert lib is not None, "callers check `runs` or `multiplies` first"
    assert kind is not None, "as above"
    A, B = (M if 1 in M.stride() else M.contiguous() for M in (A, B))
    (M, K), N = A.shape, B.shape[1]
    C = A.new_empty(M, N)
    threads = min(torch.get_num_threads(), M)
    scratch = torch.empty(lib["tuirnn_product_scratch"](N, threads), dtype=torch.int32)
    lib["tuirnn_product"](
        PRODUCTS.index(kind), M, N, K, A.data_ptr(), *A.stride(), B.data_ptr(), *B.stride(),
        bias.data_ptr() if bias is not None else None, C.data_ptr(), scratch.data_ptr(), threads,
    )  # fmt: skip
    return C


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
