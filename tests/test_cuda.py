"""The Triton kernels: on a GPU where there is one, else in Triton's interpreter.

The interpreter runs one program after the other, so a barrier between two of them would wait for ever. It runs the
kernels with one launch for each product, and all steps in one launch where a program has all units of its sequences:
only waiting for one another is left to `make bench-gpu`.
"""

import inspect
import itertools
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

from tuirnn import spans  # noqa: E402
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct  # noqa: E402
from tuirnn.cells.functions import FUNCTIONS, Value, apply, sigmoid, tanh  # noqa: E402
from tuirnn.codegen import triton  # noqa: E402
from tuirnn.codegen.trace import Traced, traced  # noqa: E402
from tuirnn.kernels import ForwardCache, cuda, eager, portable  # noqa: E402
from tuirnn.kernels import layer as layers  # noqa: E402
from tuirnn.kernels.cache import Recurrent  # noqa: E402
from tuirnn.kernels.plans import CUBLAS, Case, Plan, candidates, constants  # noqa: E402
from tuirnn.models import RecurrentLayer  # noqa: E402
from tuirnn.settings.model import ModelConfig  # noqa: E402

needs_triton = pytest.mark.skipif(cuda.blocks()[0] is None, reason=cuda.blocks()[1] or "Triton")

PRODUCT = Plan(product=True, persistent=False, resident=False, BB=16, BU=16, BK=32, slices=4)
"""Several programs at H = 17 and B = 17; K = 17 and its multiples end within a tile."""
WHOLE = Plan(product=True, persistent=False, resident=False, BB=16, BU=32, BK=128)
ALONE = Plan(product=True, persistent=True, resident=False, BB=16, BU=64, BK=32, warps=8)
"""All steps in one launch whose programs have all units of their sequences: none waits for another."""
ALONE_RESIDENT = replace(ALONE, resident=True, BU=32, BK=64, slices=2)
ELEMENTWISE = Plan(product=False, persistent=True, resident=False, BB=2, BU=16)

WAYS = [(PRODUCT, 2, 17, 17), (WHOLE, 1, 1, 33), (ALONE, 3, 3, 33), (ALONE_RESIDENT, 2, 5, 17), (CUBLAS, 2, 5, 17)]
"""(plan, T, B, H) of cells with products."""
LOOPS = [(ELEMENTWISE, 3, 5, 17), (replace(ELEMENTWISE, BB=1, BU=64), 2, 1, 33)]
"""The same of those without."""

LONG = bool(os.environ.get("TUIRNN_LONG"))
ROOT = Path(__file__).parent.parent
V = TypeVar("V", bound=Value)


class Strange(Cell):
    """What no cell has: an operand made before the first product, a gate whose room another value takes too early."""

    name = family = "strange"
    year, paper, gates, words = 2026, "", ("a", "b"), {"a": "a", "b": "b"}
    state, vectors = ("h", "c"), ("u",)

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        q = tanh(s.c * p.u)
        a = sigmoid(x.a + W(q, "a").a)
        c = a * s.c + x.b
        return Parts(h=tanh(c), c=c), Parts(a=a, b=q)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        dc = d.c + d.h * (1 - after.h * after.h)
        da = dc * s.c * k.a * (1 - k.a)
        dq = Wt(a=da) * (1 - k.b * k.b)
        return Gradients(Parts(h=0, c=dc * k.a + dq * p.u), Parts(a=da, b=dc), vectors=Parts(u=dq * s.c))


class Wide(Strange):
    """A product of more gates than a tile takes."""

    name = family = "wide"
    gates = tuple("abcdefghi")
    words = dict(zip(gates, gates, strict=True))
    state, vectors = ("h",), ()

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, " ".join(Wide.gates))
        return Parts(h=sum(x[gate] + a[gate] for gate in Wide.gates)), Parts()

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        return Gradients(Parts(h=Wt(**dict.fromkeys(Wide.gates, d.h))), Parts(dict.fromkeys(Wide.gates, d.h)))


MADE = {name: traced(cell) for name, cell in {**CELLS, "strange": Strange()}.items()}
STEPPING = {name: cell for name, cell in MADE.items() if cell.stages}
"""Cells with products."""


def plain(cell: Traced) -> bool:
    """Whether a cell has one product, and nothing but its gates."""
    return len(cell.stages) == 1 and cell.keeps_gates and not (cell.extra or cell.vectors)


def way_of(cell: Traced) -> Plan:
    return PRODUCT if cell.stages else ELEMENTWISE


def results(
    forward: Any, backward: Any, cell: Traced, T: int, B: int, H: int, dtype: torch.dtype, exact: bool
) -> dict[str, Tensor]:
    """Outputs and every gradient on random numbers that depend on the shape alone."""
    generator = torch.Generator().manual_seed(T * 1_000_000 + B * 1000 + H)

    def normal(*shape: int, of: torch.dtype = torch.float32) -> Tensor:
        made = torch.randn(*shape, generator=generator).to(of)
        return (made.double() if exact else made).to(DEVICE)

    rows = cell.R * H
    gx = normal(T, B, cell.G * H, of=dtype)
    weights = Recurrent(normal(rows, H, of=dtype) / H**0.5, normal(rows), normal(len(cell.vectors), H))
    state = (normal(B, H), *(normal(B, H).abs() for _ in cell.state[1:]))  # a normaliser must not be 0
    dh_all, dlast = normal(T, B, H), tuple(normal(B, H) for _ in cell.state)
    trace = forward(cell, gx, weights, state)
    trace.observed = True
    made = {"kept": trace.gates.clone()} if cell.keeps_gates else {}
    made |= {
        "saved": trace.extra.clone(),
        **{f"state {name}": s for name, s in zip(cell.state, trace.states, strict=True)},
    }
    d = backward(cell, trace, weights, dh_all, dlast)
    recurrent = [
        rows for gate, rows in zip(cell.gates, d.gates.chunk(cell.G, -1), strict=True) if gate in cell.recurrent
    ]
    made |= {f"dgates {i}": rows for i, rows in enumerate(recurrent)}
    made |= {f"d {name}": each for name, each in zip(cell.state, d.state, strict=True)}
    assert trace.dh_norm is not None
    return {**made, "dx": d.x, "dvectors": d.vectors, "norm": trace.dh_norm}


def both(
    plan: Plan, cell: Traced, T: int, B: int, H: int, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, ours, exact) of each result: by a plan, and by the definition in float64."""
    ways = partial(cuda.forward_by, plan), partial(cuda.backward_by, plan)
    ours = results(*ways, cell, T, B, H, dtype, exact=False)
    exact = results(eager.forward, eager.backward, cell, T, B, H, dtype, exact=True)
    assert ours.keys() == exact.keys()
    return ((name, ours[name], exact[name]) for name in exact)


@needs_triton
@pytest.mark.parametrize("cell", MADE)
def test_kernels_equal_the_definition(cell: str) -> None:
    made = MADE[cell]
    for plan, T, B, H in WAYS if made.stages else LOOPS:
        for name, ours, exact in both(plan, made, T, B, H):
            where = f"{name} of {(T, B, H)} by {plan}: "
            torch.testing.assert_close(ours.double(), exact, rtol=2e-5, atol=2e-5, msg=lambda m, at=where: at + m)


@needs_triton
@pytest.mark.skipif(not LONG, reason="TUIRNN_LONG=1 runs it: a minute")
@pytest.mark.parametrize("seed", range(50))
def test_kernels_equal_the_definition_at_random_sizes(seed: int) -> None:
    chosen = random.Random(seed)
    made = MADE[sorted(MADE)[seed % len(MADE)]]
    T, B, H = chosen.randint(1, 5), chosen.randint(1, 40), chosen.randint(1, 64)
    plan = chosen.choice([plan for plan, *_ in (WAYS if made.stages else LOOPS)])
    plan = replace(plan, BU=max(plan.BU, 64 if plan.product and plan.persistent else 16))
    for name, ours, exact in both(plan, made, T, B, H):
        torch.testing.assert_close(ours.double(), exact, rtol=4e-5, atol=4e-5, msg=lambda m, at=name: f"{at}: {m}")


@needs_triton
@pytest.mark.parametrize("cell", MADE)
def test_kernels_in_half_precision(cell: str) -> None:
    """float16: the interpreter of Triton 3.6 multiplies bfloat16's bits as integers. States stay in float32."""
    made = MADE[cell]
    for name, ours, exact in both(way_of(made), made, 2, 3, 17, torch.float16):
        rounded = name.startswith(("kept", "saved", "dx", "dgates"))
        assert ours.dtype == (torch.float16 if rounded else torch.float32), name
        assert (ours.double() - exact).norm() <= 3e-3 * exact.norm() + 1e-12, name


@needs_triton
@pytest.mark.parametrize("cell", CELLS)
def test_kernels_carry_what_is_not_a_number(cell: str) -> None:
    """A NaN must reach the loss, where training stops; and no other sequence."""
    made = MADE[cell]
    gx = torch.zeros(2, 2, made.G * 16, device=DEVICE)
    gx[0, 0] = float("nan")
    W = torch.ones(made.R * 16, 16, device=DEVICE)
    weights = Recurrent(W, torch.zeros(len(W), device=DEVICE), torch.ones(len(made.vectors), 16, device=DEVICE))
    state = tuple(torch.zeros(2, 16, device=DEVICE) for _ in made.state)
    trace = cuda.forward_by(way_of(made), made, gx, weights, state)
    assert trace.states[0][1:, 0].isnan().all()
    assert trace.states[0][1:, 1].isfinite().all()


def applying(function: str) -> Traced:
    """A cell whose new state is a function of its input halves."""

    class Applying(Cell):
        name = family = function
        year, paper = 2026, ""
        gates = ("a", "b", "c")[: FUNCTIONS[function]]
        words = dict(zip(gates, gates, strict=True))

        @staticmethod
        def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
            return Parts(h=apply(function, *x.values())), Parts()

        @staticmethod
        def step_backward(
            d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
        ) -> Gradients[V]:
            return Gradients(Parts(h=0), Parts(dict.fromkeys(Applying.gates, 0)))

    return traced(Applying())


@needs_triton
@pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_in_their_full_range(function: str) -> None:
    """What a cell may call, near zero, far from it and at what is not a number, against float64."""
    made, far = applying(function), (1e-30, -1e-7, 1e-3, -0.34, 0.36, 1.0, -7.0, 40.0, -80.0, 1000.0, -1000.0)
    x = torch.tensor([0.0, *far, math.nan], device=DEVICE)
    arguments = torch.stack([x.roll(shift) for shift in (0, 3, 5)][: made.G], -1)  # [B, G·1]
    weights = Recurrent(
        *(torch.zeros(0, 1, device=DEVICE), torch.zeros(0, device=DEVICE), torch.zeros(0, 1, device=DEVICE))
    )
    ours = cuda.forward_by(ELEMENTWISE, made, arguments[None], weights, (torch.zeros(len(x), 1, device=DEVICE),))
    exact = apply(function, *arguments.double().unbind(-1))
    bound = 2e-7 if function == "tanh" else 1e-37  # a difference of numbers near 1
    torch.testing.assert_close(ours.states[0][1, :, 0].double(), exact, rtol=1e-6, atol=bound, equal_nan=True)


@needs_triton
def test_kernels_are_written_from_the_definition_and_read_from_memory() -> None:
    """There is no file of code whose change another run would trust."""
    for cell in MADE.values():
        module, why = cuda.kernels(cell)
        assert module is not None, why
        function = module.forward.fn
        assert inspect.getsource(function) in triton.source(cell)
        assert not Path(function.__code__.co_filename).exists()
    assert len({triton.source(cell) for cell in MADE.values()}) == len(MADE)


@needs_triton
def test_a_cell_that_the_kernels_cannot_take_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_refused", {})
    assert all(triton.unsupported_reason(cell) == "" for cell in MADE.values())
    assert cuda.kernels(traced(Wide()))[0] is None
    assert "wide: a product of 9 gates" in cuda.unavailable_reason()


SPLIT = next(name for name, cell in STEPPING.items() if cell.split)
"""A cell whose halves have different gradients."""

TWO_PRODUCTS = next(name for name, cell in STEPPING.items() if len(cell.stages) == 2)

LAYERS = [
    *((SPLIT, *rest) for rest in itertools.product((0, 5, 30), ("save", "recompute"), (torch.float32, torch.float16))),
    *((name, 5, "recompute", torch.float32) for name in CELLS if name != SPLIT),
]


@needs_triton
@pytest.mark.parametrize(("cell", "vocabulary", "memory", "dtype"), LAYERS)
def test_a_layer_on_the_kernels(
    cell: str, vocabulary: int, memory: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Activations in the operands' type, states and gradients in the weights', as on a GPU; whole or in two spans.

    On vectors (no vocabulary), on tokens, on fewer tokens than there are symbols.
    """
    monkeypatch.setattr(cuda, "runs", lambda cell, weight_hh, dtype: dtype != torch.float64)
    monkeypatch.setattr(cuda, "candidates", lambda cell, case, processors: [way_of(cell)])
    monkeypatch.setattr(layers, "portable", eager)  # what judges
    V, settings = vocabulary, CELLS[cell].settings
    torch.manual_seed(3)
    T, B, E, H = 3, 4, 6, 17
    monkeypatch.setattr(spans, "ROWS", dict.fromkeys(("cpu", "cuda"), (2 * B, 2 * B, T * B)))
    layer = RecurrentLayer(ModelConfig(**settings, hidden=H), E).to(DEVICE)
    twin = RecurrentLayer(ModelConfig(**settings, hidden=H), E).to(DEVICE).double()
    twin.load_state_dict(layer.state_dict())
    table, x = torch.randn(max(V, 1), E, device=DEVICE), torch.randn(T, B, E, device=DEVICE)
    found = []
    for made, operand in ((layer, dtype), (twin, torch.float64)):
        leaf = (table if V else x).to(made.weight_hh.dtype).requires_grad_()
        source = torch.randint(V, (T, B), generator=torch.Generator().manual_seed(0)).to(DEVICE) if V else leaf
        traces: list[ForwardCache] | None = [] if memory == "save" else None
        y, last = made(source, made.zero_state(B), leaf if V else None, operand, traces, memory)
        assert traces is None or traces[0].gates.dtype == operand
        assert y.dtype == last[0].dtype == leaf.dtype
        gradients = torch.autograd.grad((y.square().sum() + last[0].sum()), [leaf, *made.parameters()])
        assert all(g.dtype == leaf.dtype for g in gradients)
        found.append([y.detach(), *gradients])
    for ours, exact in zip(*found, strict=True):
        assert (ours.double() - exact).norm() <= (2e-6 if dtype == torch.float32 else 5e-3) * exact.norm()


# ── which way ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operands", ["bfloat16", "float32"])
@pytest.mark.parametrize(("B", "H"), [(1, 17), (64, 512), (256, 1024), (4096, 8192)])
def test_candidates_fit_the_device(B: int, H: int, operands: str) -> None:
    for (name, cell), forward in itertools.product(MADE.items(), (True, False)):
        case = Case(forward, name, B, H, operands)
        plans = candidates(cell, case, 132)
        assert any(not plan.product for plan in plans)
        for plan in plans if cell.stages else []:
            across, down = plan.grid(B, H)
            assert not plan.persistent or across * down <= 132
            made = constants(plan, cell, case)
            widest = 1 if not forward else max(2 ** (len(stage.gates) - 1).bit_length() for stage in cell.stages)
            held = made["BK1"] * plan.slices * (plan.BB + plan.BU * widest)
            assert held * plan.stages * (2 if operands == "bfloat16" else 4) <= 227 * 1024  # shared memory of an H100
        assert not cell.stages or not candidates(cell, case._replace(batch=4096, hidden=8192), 132)[0].persistent


def test_a_plan_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed launch another plan is used, finally the portable loop, and the reason is reported."""
    cell = next(cell for cell in STEPPING.values() if plain(cell))
    failed: dict[Any, str] = {}
    monkeypatch.setattr(cuda, "_failed", failed)

    def refused(*_: Any) -> Any:
        raise RuntimeError("too many resources\nrequested")

    monkeypatch.setattr(cuda, "forward_by", refused)
    gx, W = torch.randn(2, 3, cell.G * 16), torch.randn(cell.R * 16, 16)
    weights, state = Recurrent(W, torch.zeros(len(W)), W[:0]), tuple(torch.zeros(3, 16) for _ in cell.state)
    expected = portable.forward(cell, gx.clone(), weights, state)
    torch.testing.assert_close(cuda.forward(cell, gx, weights, state).states[0], expected.states[0])
    assert len(failed) == len(candidates(cell, cuda.case_of(True, cell, W, 3), cuda.processors()))
    assert "too many resources" in cuda.unavailable_reason()
    assert "\n" not in cuda.unavailable_reason()


@needs_triton
@pytest.mark.parametrize("cell", [name for name in CELLS if name in STEPPING] if LONG else [TWO_PRODUCTS])
def test_kernels_compile_for_a_gpu_without_one(cell: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """With the barrier that the interpreter cannot run: arrivals that release, waits that acquire, reads past L1."""
    command = [sys.executable, "benchmarks/gpu_compile.py", "--cell", cell, "--operands", "bfloat16", "--batch", "64",
               "--hidden", "64", "--ptx", str(tmp_path)]  # fmt: skip
    environment = {**environment, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = list(tmp_path.glob("*.ptx"))
    assert len(written) == 4, done.stdout
    for path in written:
        ptx = path.read_text()
        arrival = re.search(r"(atom|red)\S*release", ptx)
        assert arrival
        assert re.search(r"(atom|ld)\S*acquire", ptx[arrival.end() :])
        assert re.search(r"(ld\S*|cp\.async)\.cg", ptx)
    assert all(row.split("|")[7].strip() == "0 B" for row in done.stdout.splitlines()[2:]), done.stdout
