"""Every fast kernel gives what the portable loop gives."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tuirnn import processor
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct, functions
from tuirnn.cells.functions import V
from tuirnn.codegen.expression import walk
from tuirnn.codegen.trace import Traced, traced
from tuirnn.kernels import eager, native, portable, products
from tuirnn.kernels.cache import ForwardCache, Recurrent

HAS_BF16 = native.multiplies(torch.bfloat16, torch.device("cpu"))
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="needs a compiler and a processor with AVX512_BF16")
needs_native = pytest.mark.skipif(native.library() is None, reason=native.unavailable_reason() or "native kernels")

LOWER = list(processor.LEVELS)[: list(processor.LEVELS).index(processor.best())]

SHAPES = [
    (1, 1, 1), (5, 3, 7), (4, 2, 16), (3, 13, 17), (6, 5, 33), (3, 26, 64), (7, 32, 100), (2, 4, 130), (4, 1, 400),
]  # fmt: skip


def recurrent(cell: Traced, H: int, size: float) -> Recurrent:
    """Equal weights, without biases."""
    return Recurrent(torch.full((cell.R * H, H), size), torch.zeros(cell.R * H), torch.ones(len(cell.vectors), H))


def run(kernel: Any, cell: Traced, T: int, B: int, H: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """What a kernel keeps, outputs and every gradient, on random numbers that depend on the shape alone.

    The first state is near one that the cell reaches.
    """
    generator = torch.Generator().manual_seed(T * 1_000_000 + B * 1000 + H)

    def normal(*shape: int) -> Tensor:
        numbers = torch.randn(*shape, generator=generator)
        return numbers.double() if dtype == torch.float64 else numbers

    rows = cell.R * H
    gx, bias = normal(T, B, cell.G * H), normal(rows)
    weights = Recurrent(normal(rows, H) / max(H, 1) ** 0.5, bias, normal(len(cell.vectors), H))
    zero = tuple(gx.new_zeros(B, H) for _ in cell.state)
    reached = eager.forward(cell, normal(2, B, cell.G * H), weights, zero).states
    state = tuple(s[-1] + 0.3 * normal(B, H).abs() for s in reached)
    weights = weights._replace(operand=dtype)
    trace: ForwardCache = kernel.forward(cell, gx, weights, state)
    trace.observed = True
    made = [trace.extra.clone(), *(a.clone() for a in chosen(cell, trace.gates, tuple(cell.kept)))]
    dh_all, dlast = normal(T, B, H), tuple(normal(B, H) for _ in cell.state)
    d = kernel.backward(cell, trace, weights, dh_all, dlast)
    assert trace.dh_norm is not None
    products = chosen(cell, d.gates, cell.recurrent)
    return [*made, *trace.states, d.x, *products, *d.state, d.vectors, trace.dh_norm.to(dh_all.dtype)]


def chosen(cell: Traced, columns: Tensor, names: tuple[str, ...]) -> list[Tensor]:
    """The columns of some gates, of [T, B, G·H]."""
    return [part for gate, part in zip(cell.gates, columns.chunk(cell.G, -1), strict=True) if gate in names]


@needs_native
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("T", "B", "H"), SHAPES)
def test_native_equals_portable(cell: str, T: int, B: int, H: int) -> None:
    made = traced(CELLS[cell])
    for ours, expected in zip(run(native, made, T, B, H), run(portable, made, T, B, H), strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-4, atol=2e-5)


@pytest.fixture
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiles for fewer vector instructions than the processor has."""
    monkeypatch.setenv("TUIRNN_KERNELS", request.param)
    native.forget()
    yield
    native.forget()


@needs_native
@pytest.mark.parametrize("level", LOWER, indirect=True)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_native_equals_portable_with_fewer_vector_instructions(level: None, cell: str) -> None:
    made = traced(CELLS[cell])
    for T, B, H in SHAPES:
        for ours, expected in zip(run(native, made, T, B, H), run(portable, made, T, B, H), strict=True):
            torch.testing.assert_close(ours, expected, rtol=2e-4, atol=2e-5)


@needs_native
@pytest.mark.parametrize("cell", CELLS)
@given(T=st.integers(1, 4), B=st.integers(1, 20), H=st.integers(1, 70))
@settings(max_examples=50)
def test_native_equals_the_definition_at_random_shapes(cell: str, T: int, B: int, H: int) -> None:
    made = traced(CELLS[cell])
    for ours, expected in zip(run(native, made, T, B, H), run(eager, made, T, B, H), strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("cell", CELLS)
@given(T=st.integers(1, 6), B=st.integers(1, 5), H=st.integers(1, 20), steps=st.integers(1, 6))
@settings(max_examples=12)
def test_portable_equals_the_definition(cell: str, T: int, B: int, H: int, steps: int) -> None:
    made = traced(CELLS[cell])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(portable, "BLOCK", {"cpu": steps * B * H})
        ours = run(portable, made, T, B, H, torch.float64)
    for found, expected in zip(ours, run(eager, made, T, B, H, torch.float64), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@needs_bf16
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("T", "B", "H"), SHAPES)
def test_native_bfloat16_is_near(cell: str, T: int, B: int, H: int) -> None:
    """Factors of eight bits: each result within 1 % of its own size; a relu may fall on the other side."""
    made = traced(CELLS[cell])
    bends = any(node.op == "relu" for node in walk(*made.results))
    ours, expected = (run(native, made, T, B, H, dtype) for dtype in (torch.bfloat16, torch.float32))
    for near, exact in zip(ours, expected, strict=True):
        if bends and exact.numel():
            is_far = (near - exact).abs() > 0.03 * exact.abs().max() + 1e-3
            assert is_far.sum() <= 1 + 0.1 * is_far.numel()
        else:
            assert (near - exact).norm() <= 0.01 * exact.norm() + 1e-3


@needs_native
@given(
    M=st.integers(1, 70), N=st.integers(1, 140), K=st.integers(1, 1100),
    transposed=st.tuples(st.booleans(), st.booleans()), biased=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16] if HAS_BF16 else [torch.float32]),
)  # fmt: skip
@settings(max_examples=100)
def test_native_product(
    M: int, N: int, K: int, transposed: tuple[bool, bool], biased: bool, dtype: torch.dtype
) -> None:
    A = torch.randn(K, M).t() if transposed[0] else torch.randn(M, K)
    B = torch.randn(N, K).t() if transposed[1] else torch.randn(K, N)
    bias = torch.randn(N) if biased else None
    expected = A.to(dtype).double() @ B.to(dtype).double() + (bias.double() if bias is not None else 0)
    torch.testing.assert_close(native.product(A, B, bias, dtype=dtype).double(), expected, rtol=1e-4, atol=1e-3)


@needs_native
@pytest.mark.parametrize("cell", CELLS)
def test_native_carries_what_is_not_a_number(cell: str) -> None:
    """A NaN must reach the loss, where training stops, not vanish in a clamp."""
    made = traced(CELLS[cell])
    gx = torch.zeros(3, 2, made.G * 20)
    gx[0, 0] = float("nan")
    state = tuple(torch.zeros(2, 20) for _ in made.state)
    trace = native.forward(made, gx, recurrent(made, 20, 1.0), state)
    assert trace.states[0][1:, 0].isnan().all()
    assert trace.states[0][1:, 1].isfinite().all()


@needs_native
def test_the_cells_of_a_process_do_not_share_what_is_their_own() -> None:
    """Each cell's library has functions and constants of the same names; the loader must keep them apart."""
    program = """
        import sys
        import torch
        from tuirnn.cells import CELLS
        from tuirnn.codegen.trace import traced
        from tuirnn.kernels import eager, native
        from tuirnn.kernels.cache import Recurrent
        for cell in map(traced, CELLS.values()):  # all in one process: the first must not affect the others
            weights = Recurrent(torch.ones(cell.R * 5, 5) / 9, torch.ones(cell.R * 5), torch.ones(len(cell.vectors), 5))
            gx, state = torch.linspace(-1, 1, 30 * cell.G).view(3, 2, -1), tuple(torch.zeros(2, 5) for _ in cell.state)
            ours, exact = (kernel.forward(cell, gx.clone(), weights, state).states[0] for kernel in (native, eager))
            torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-6, msg=cell.name)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


@needs_native
def test_native_saturates_without_overflow() -> None:
    cell = traced(CELLS["lstm"])
    for size in (50.0, 1e4, 3e38):
        gx = torch.full((2, 1, 4 * 16), size)
        gx[1] = -size
        trace = native.forward(cell, gx, recurrent(cell, 16, 0.0), (torch.zeros(1, 16),) * 2)
        assert trace.gates.isfinite().all()
        torch.testing.assert_close(trace.gates[0, 0], torch.ones(64), rtol=0, atol=1e-6)


EXTREME = [
    0.0, -0.0, 1e-30, -1e-30, 1e-8, -1e-8, 0.3, -0.3, 1.0, -1.0, 5.0, -5.0, 19.9, 20.1, -20.1, 50.0, -50.0, 86.0, -86.0,
    88.0, -88.0, 88.7, -88.7, 100.0, -103.0, 1000.0, -1000.0, 3e38, -3e38, float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
OF_ONE = tuple(name for name, arguments in functions.FUNCTIONS.items() if arguments == 1)


class Every(Cell):
    """Each function of one value as a part of the state."""

    name = family = "every"
    year, paper, gates, state = 2026, "", OF_ONE, OF_ONE
    words = {name: name for name in OF_ONE}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        return Parts({name: functions.apply(name, x[name]) for name in OF_ONE}), Parts()

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        zeros = Parts({name: 0 * d[name] for name in OF_ONE})
        return Gradients(zeros, zeros)


@pytest.mark.parametrize(
    "kernel", [pytest.param(native, marks=needs_native), portable, eager], ids=lambda k: k.__name__
)
def test_functions_hold_in_the_full_range(kernel: Any) -> None:
    """Within a few units of the last place, or 2e-38: below that is what a float32 does not hold in full."""
    made, x = traced(Every()), torch.tensor(EXTREME)
    H = len(x)
    state = tuple(torch.zeros(1, H) for _ in OF_ONE)
    trace = kernel.forward(made, x.repeat(made.G).view(1, 1, -1), recurrent(made, H, 0.0), state)
    for name, states in zip(OF_ONE, trace.states, strict=True):
        expected = functions.apply(name, x.double()).float()
        bound = 3e-7 if name in ("sigmoid", "tanh") else 2e-38  # those two are clamped at 20
        torch.testing.assert_close(states[1, 0], expected, rtol=5e-7, atol=bound, equal_nan=True, msg=name)


def test_without_a_compiler_everything_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    native.forget()
    try:
        assert native.library() is None
        assert "portable" in native.unavailable_reason()
        A, B = torch.randn(90, 80), torch.randn(80, 70)
        torch.testing.assert_close(products.multiply(A, B, dtype=torch.float32), A @ B, rtol=1e-4, atol=1e-4)
    finally:
        native.forget()


@pytest.mark.parametrize("shape", [(70, 90), (128, 64)])
def test_prepared_products_equal_plain_ones(shape: tuple[int, int]) -> None:
    W, x = torch.randn(*shape), torch.randn(33, shape[1])
    torch.testing.assert_close(products.times_transposed(W, 33)(x, None), x @ W.t(), rtol=1e-4, atol=1e-4)
    Wt = torch.randn(shape[1], shape[0]).t()
    torch.testing.assert_close(products.times_transposed(Wt, 33)(x, None), x @ Wt.t(), rtol=1e-4, atol=1e-4)
    bias = torch.randn(shape[0])
    torch.testing.assert_close(products.times_transposed(W, 33)(x, bias), x @ W.t() + bias, rtol=1e-4, atol=1e-4)
