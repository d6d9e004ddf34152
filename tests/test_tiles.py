"""Products on tiles: to the bit what Intel's manual says of `tdpbf16ps`, and layers that use them.

Where the processor has AMX the instructions run, elsewhere the emulation of them.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from test_kernels import SHAPES, needs_native, run

from tuirnn import compiling, processor
from tuirnn.cells import CELLS
from tuirnn.codegen.expression import walk
from tuirnn.codegen.trace import traced
from tuirnn.kernels import native, portable

pytestmark = needs_native
Floats = npt.NDArray[np.float32]

SMALLEST = np.finfo(np.float32).tiny
WITH_PRODUCTS = sorted(
    (name for name, cell in CELLS.items() if traced(cell).stages), key=lambda name: len(traced(CELLS[name]).stages)
)
TRIED = WITH_PRODUCTS if os.environ.get("TUIRNN_LONG") else [WITH_PRODUCTS[0], WITH_PRODUCTS[-1]]
"""With the fewest and the most products in a step; compiling all takes minutes."""


@pytest.fixture(autouse=True)
def _on_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TUIRNN_KERNELS", "amx")
    native.forget()
    yield
    native.forget()


def flushed(x: Floats) -> Floats:
    return np.where(np.abs(x) < SMALLEST, np.float32(0), x)


def by_the_manual(A: torch.Tensor, B: torch.Tensor, deep: int) -> Floats:
    """A B in tiles of `deep` pairs: the first of all pairs are summed apart from the second, then both are added."""
    a, b = (flushed(X.bfloat16().float().numpy()) for X in (A, B))
    total: Floats = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(0, a.shape[1], 2 * deep):
        sums = [np.zeros_like(total), np.zeros_like(total)]
        for i in range(k, min(k + 2 * deep, a.shape[1])):
            exact = np.outer(a[:, i].astype(np.float64), b[i].astype(np.float64))
            sums[i % 2] = flushed((sums[i % 2] + exact).astype(np.float32))
        total = flushed(total + flushed(sums[0] + sums[1]))
    return total


@pytest.mark.parametrize(("M", "N", "K"), [(1, 1, 1), (16, 16, 32), (17, 5, 33), (50, 70, 300), (3, 64, 1000)])
def test_a_product_on_tiles_is_that_of_the_manual(M: int, N: int, K: int) -> None:
    library = native.library()
    assert library is not None
    assert library["tuirnn_tiles"]() in (1, 2)
    generator = torch.Generator().manual_seed(M + N + K)
    A, B = torch.randn(M, K, generator=generator), torch.randn(K, N, generator=generator)
    A[0, 0], B[0, 0] = 1e-39, 1e30  # below the smallest normal number: counts as zero
    found = native.product(A, B, dtype=torch.bfloat16).numpy()
    np.testing.assert_array_equal(found, by_the_manual(A, B, library["tuirnn_lanes"]()))


def test_results_below_the_smallest_number_are_zero() -> None:
    A, B = torch.full((2, 4), 1e-20), torch.full((4, 3), 1e-19)
    assert not native.product(A, B, dtype=torch.bfloat16).any()


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_not_a_number_stays_in_its_row(transposed: bool) -> None:
    A, B = torch.ones(20, 40), torch.ones(40, 9)
    A[3, 39] = float("nan")
    found = native.product(A.t().contiguous().t() if transposed else A, B, dtype=torch.bfloat16)
    assert found[3].isnan().all()
    assert (found[[i for i in range(20) if i != 3]] == 40).all()


@pytest.mark.parametrize("cell", TRIED)
def test_layers_on_tiles_are_near(cell: str) -> None:
    """As in bfloat16 elsewhere: each result within 1 % of its own size; a relu may fall on the other side."""
    made = traced(CELLS[cell])
    bends = any(node.op == "relu" for node in walk(*made.results))
    for T, B, H in SHAPES:
        ours, exact = run(native, made, T, B, H, torch.bfloat16), run(portable, made, T, B, H)
        for near, far in zip(ours, exact, strict=True):
            is_far = (near - far).abs() > 0.03 * far.abs().max() + 1e-3 if far.numel() else far.bool()
            if bends:
                assert is_far.sum() <= 1 + 0.1 * is_far.numel()
            else:
                assert (near - far).norm() <= 0.01 * far.norm() + 1e-3


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
@pytest.mark.skipif(processor.identity().find("sse2") < 0, reason="x86-64 only")
def test_the_instructions_are_compiled_and_need_a_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    flags = [*native.FLAGS, "-march=native", "-mamx-tile", "-mamx-bf16"]
    library, why = compiling.load(native._units(None), "c++", flags)
    assert library is not None, why
    code = subprocess.run(["objdump", "-d", library._name], capture_output=True, text=True, check=True).stdout
    for instruction in ("ldtilecfg", "tilezero", "tileloadd", "tdpbf16ps", "tilestored", "tilerelease"):
        assert instruction in code
    assert isinstance(library, ctypes.CDLL)
    assert library.tuirnn_tiles() == (2 if processor.best() == processor.TILES else 0)
