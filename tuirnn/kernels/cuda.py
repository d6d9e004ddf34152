"""The Triton kernels on a GPU: launches, the choice of a plan, and the fallback if a plan fails.

The kernels of a cell are generated from its definition (`codegen/triton.py`) at the first use; `plans` lists the ways
to run them. `measure` times the plans on the device and stores the fastest in the cache folder. A plan that does not
compile or does not fit is skipped. Without any plan, for a cell that cannot have kernels, or without Triton, everything
runs on `portable`. docs/cuda.md has the reasons and the figures.
"""

import gc
import hashlib
import json
import linecache
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import platformdirs
import torch
from torch import Tensor

from tuirnn.codegen import triton
from tuirnn.codegen.schedule import Product, Schedule, backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_pass import ring
from tuirnn.files import atomic_write
from tuirnn.kernels import portable
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, allocate_states
from tuirnn.kernels.plans import Case, Plan, candidates, constants

OPERANDS = (torch.float32, torch.bfloat16, torch.float16)

MEASURED_STEPS, ROUNDS = 32, 5

_failed: dict[tuple[Case, Plan], str] = {}
_refused: dict[str, str] = {}
"""Cell -> why it has no kernels."""


@cache
def blocks() -> tuple[ModuleType | None, str]:
    """Return the module of functions that all kernels call, or None and the reason."""
    if os.environ.get("TUIRNN_KERNELS") == "portable":
        return None, "TUIRNN_KERNELS=portable"
    try:
        from tuirnn.kernels import triton_blocks
    except Exception as error:  # Triton is missing, or does not support this machine
        return None, f"no Triton ({error})"
    return triton_blocks, ""


@cache
def kernels(cell: Traced) -> tuple[ModuleType | None, str]:
    """Return the module with the kernels of a cell, or None and the reason."""
    found, why = blocks()
    if found is None:
        return None, why
    why = triton.unsupported_reason(cell)
    if not why:
        try:
            return _module(triton.source(cell)), ""
        except Exception as error:  # any error of Triton in the source
            why = _one_line(error)
    _refused[cell.name] = f"{cell.name}: {why}"
    return None, why


def _module(source: str) -> ModuleType:
    """Return a module of this source. Triton reads it through `linecache`: there is no file that could be changed."""
    name = f"<tuirnn-{hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = ModuleType(name.strip("<>"))
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102  (written by `codegen.triton`, never read)
    return module


def unavailable_reason() -> str:
    """Return why the kernels are unavailable and which plans and cells failed so far; '' if everything works."""
    return "; ".join(dict.fromkeys(filter(None, (blocks()[1], *_refused.values(), *_failed.values()))))


def runs(cell: Traced, weight_hh: Tensor, dtype: torch.dtype) -> bool:
    """Return whether the kernels can run a cell on the device of its weights, with operands of this dtype."""
    return weight_hh.is_cuda and dtype in OPERANDS and kernels(cell)[0] is not None


# ── the choice of a plan ──────────────────────────────────────────────────────


def plan_of(cell: Traced, case: Case) -> Plan | None:
    """Return the plan to use: the measured one, else the first that has not failed; None: the portable loop."""
    measured = [_choices(cell)[case]] if case in _choices(cell) else []
    plans = measured + candidates(cell, case, processors())
    return next((plan for plan in plans if (case, plan) not in _failed), None)


def case_of(forward: bool, cell: Traced, weight_hh: Tensor, B: int) -> Case:
    """Return the case of a pass over B sequences; weight_hh [R·H, H] has the operands' dtype."""
    rounds = weight_hh.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest"
    operands = "tf32" if rounds else str(weight_hh.dtype).removeprefix("torch.")
    return Case(forward, cell.name, B, weight_hh.shape[1], operands)


@cache
def processors() -> int:
    """Return the number of multiprocessors of the device, each of which runs one program."""
    return torch.cuda.get_device_properties().multi_processor_count if torch.cuda.is_available() else 1


# ── a pass ────────────────────────────────────────────────────────────────────


def forward(cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()) -> ForwardCache:
    """Implement `Kernel.forward`; gx may have the operands' dtype, which the kept values then have too."""
    weights = weights.rounded()
    case = case_of(True, cell, weights.matrix, gx.shape[1])
    while (plan := plan_of(cell, case)) is not None:
        try:
            return forward_by(plan, cell, gx, weights, state, into)
        except Exception as error:
            _fail(case, plan, error)
    return portable.forward(cell, gx.float(), weights, state, into)


def backward(cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State) -> SequenceGradients:
    """Implement `Kernel.backward`; the gradients of gates have the operands' dtype."""
    weights = weights.rounded()
    case = case_of(False, cell, weights.matrix, cache.gates.shape[1])
    while (plan := plan_of(cell, case)) is not None:
        try:
            return backward_by(plan, cell, cache, weights, dh_all, dlast)
        except Exception as error:
            _fail(case, plan, error)
    whole = ForwardCache(cache.gates.float(), cache.states, cache.extra.float(), cache.observed)
    results = portable.backward(cell, whole, weights, dh_all, dlast)
    cache.dh_norm = whole.dh_norm
    return results


def _fail(case: Case, plan: Plan, error: Exception) -> None:
    """Skip a plan from now on, whatever error it raised; raises errors that are not the plan's fault again."""
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    if isinstance(error, torch.cuda.OutOfMemoryError) or capturing:
        raise error
    _failed[case, plan] = _one_line(error)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120] if lines else ''}"


def forward_by(
    plan: Plan, cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()
) -> ForwardCache:
    """Run a forward pass with a given plan; the other arguments and the result are those of `Kernel.forward`."""
    matrix, bias, vectors = weights.matrix.contiguous(), weights.bias.float(), weights.vectors.float()
    (T, B, _), H = gx.shape, matrix.shape[1]
    a, schedule, operands = gx.contiguous(), forward_schedule(cell), ring(cell)
    states = allocate_states(tuple(s.float() for s in state), T, into)
    extra = a.new_empty(T, B, len(cell.extra) * H)
    exchanged = matrix.new_empty(len(operands), 2, B, H)
    for buffer, place in zip(exchanged, operands, strict=True):
        if place.of == "before":
            buffer[0] = state[place.index]
    run = _Launch(plan, cell, schedule, case_of(True, cell, matrix, B), matrix.device, {
        "a": a, "W": matrix, "bias": bias.contiguous(), "vectors": vectors.contiguous(), "ring": exchanged,
        **{f"s{i}": s for i, s in enumerate(states)}, "extras": extra,
    })  # fmt: skip
    products = [matrix.new_empty(B, each.rows * H) for each in schedule.products]

    def multiply(k: int, product: Product, t: int) -> None:
        assert product.operand is not None
        rows = matrix[product.weight_row * H :][: product.rows * H]
        torch.mm(exchanged[operands.index(product.operand), t % 2], rows.t(), out=products[k])

    if schedule.products and schedule.phases[0].writes:
        run("forward_begin", 0, T)
    run.steps("forward", range(T), products, multiply)
    return ForwardCache(a, states, extra)


def backward_by(
    plan: Plan, cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State
) -> SequenceGradients:
    """Run a backward pass with a given plan; the other arguments and the result are those of `Kernel.backward`."""
    matrix, vectors = weights.matrix.contiguous(), weights.vectors.float().contiguous()
    (T, B, rows), H = cache.gates.shape, matrix.shape[1]
    schedule = backward_schedule(cell)
    dgh = matrix.new_empty(T, B, rows)
    dgx = torch.empty_like(dgh) if cell.split else dgh
    dstate = tuple(d.to(torch.float32, memory_format=torch.contiguous_format, copy=True) for d in dlast)
    programs = plan.grid(B, H)
    dvectors = vectors.new_zeros(programs[1], *vectors.shape)
    squares = vectors.new_empty(T + 1, programs[0] * programs[1])
    run = _Launch(plan, cell, schedule, case_of(False, cell, matrix, B), matrix.device, {
        "a": cache.gates, "Wt": matrix.t().contiguous(), "dgh": dgh, "dgx": dgx, "dh_all": dh_all.float().contiguous(),
        "vectors": vectors, **{f"d{i}": d for i, d in enumerate(dstate)},
        **{f"s{i}": s for i, s in enumerate(cache.states)}, "extras": cache.extra, "squares": squares,
        "dvectors": dvectors,
    })  # fmt: skip
    products = [matrix.new_empty(B, H)] * len(schedule.products)

    def multiply(k: int, product: Product, t: int) -> None:
        columns = slice(product.first * H, (product.first + product.rows) * H)
        torch.mm(dgh[t][:, columns], matrix[product.weight_row * H :][: product.rows * H], out=products[k])

    if schedule.products:
        run("backward_begin", 0, T)
    run.steps("backward", range(T - 1, -1, -1), products, multiply)
    cache.dh_norm = squares[1:].sum(1).sqrt()
    return SequenceGradients(dgx, dgh, dstate, dvectors.sum(0))


@dataclass
class _Launch:
    """The kernels of a pass with their buffers, which are their arguments by name."""

    plan: Plan
    cell: Traced
    schedule: Schedule
    case: Case
    device: torch.device
    buffers: dict[str, Tensor]
    options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        B, H = self.case.batch, self.case.hidden
        self.grid = self.plan.grid(B, H)
        self.options = constants(self.plan, self.cell, self.case)
        self.buffers["carries"] = torch.empty(self.schedule.carries, B, H, device=self.device)
        self.buffers["counters"] = torch.zeros(self.grid[1], dtype=torch.int32, device=self.device)

    def __call__(self, name: str, t0: int, t1: int, stage: int = 0, product: Tensor | None = None, T: int = 0) -> None:
        """Launch a kernel for steps t0 to t1 − 1 of T (default t1), with the product that cuBLAS computed, if any."""
        found, why = kernels(self.cell)
        assert found is not None, why  # callers check `runs` first
        product = self.buffers["carries"] if product is None else product
        integers = {"t0": t0, "t1": t1, "T": T or t1, "B": self.case.batch}
        getattr(found, name)[self.grid](**self.buffers, precomputed=product, **integers, STAGE=stage, **self.options)

    def steps(
        self, name: str, order: range, products: Sequence[Tensor], multiply: Callable[[int, Product, int], None]
    ) -> None:
        """Run all steps in this order: in one launch, or product by product."""
        if self.plan.persistent:
            self(name, 0, len(order))
            return
        for t in order:
            for k, product in enumerate(self.schedule.products):
                if not self.plan.product:
                    multiply(k, product, t)
                self(name, t, t + 1, k + 1, products[k], len(order))


# ── measuring ─────────────────────────────────────────────────────────────────


def measure(cell: Traced, batch: int, hidden: int, dtype: torch.dtype) -> dict[Case, dict[Plan, float]]:
    """Time every candidate on this device, unless that was done before, and use the fastest from now on.

    Returns:
        Seconds per step of each plan that runs; empty if the choice was known.
    """
    matrix = torch.zeros(cell.R * hidden, hidden, device="cuda", dtype=dtype)
    cases = [case_of(forward, cell, matrix, batch) for forward in (True, False)]
    if not runs(cell, matrix, dtype) or all(case in _choices(cell) for case in cases):
        return {}
    T, choices = MEASURED_STEPS, _choices(cell)
    own = torch.Generator("cuda").manual_seed(0)  # random numbers of training must not depend on this function
    matrix.normal_(0, hidden**-0.5, generator=own)
    gx = torch.randn(T, batch, cell.G * hidden, device="cuda", generator=own).to(dtype)
    vectors = torch.zeros(len(cell.vectors), hidden, device="cuda")
    weights = Recurrent(matrix, torch.zeros(len(matrix), device="cuda"), vectors)
    dh_all = torch.randn(T, batch, hidden, device="cuda", generator=own)
    state = tuple(torch.zeros(batch, hidden, device="cuda") for _ in cell.state)
    cache = forward(cell, gx.clone(), weights, state)
    times: dict[Case, dict[Plan, float]] = {}
    for case in cases:
        times[case] = {}
        for plan in candidates(cell, case, processors()):
            go: Callable[[], object]
            if case.forward:
                go = partial(forward_by, plan, cell, gx, weights, state)
            else:
                go = partial(backward_by, plan, cell, cache, weights, dh_all, state)
            try:
                times[case][plan] = seconds(captured(go)) / T
            except Exception as error:
                _fail(case, plan, error)
        if times[case]:
            choices[case] = min(times[case], key=times[case].__getitem__)
    _write_table(cell)
    return times


def captured(go: Callable[[], object]) -> Callable[[], None]:
    """Record `go` as a CUDA graph, after running it once to compile its kernels; returns its replay."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        go()
    torch.cuda.current_stream().wait_stream(side)
    with recording() as graph:
        go()
    return graph.replay


@contextmanager
def recording() -> Iterator[torch.cuda.CUDAGraph]:
    """Record the launches of a block as a CUDA graph instead of running them."""
    graph, collecting = torch.cuda.CUDAGraph(), gc.isenabled()
    gc.disable()  # it could unload a kernel, which CUDA refuses during a recording
    try:
        with torch.cuda.graph(graph):
            yield graph
    finally:
        if collecting:
            gc.enable()


def seconds(go: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Measure the median time of `go` on the device, in seconds."""
    go()
    times = []
    for _ in range(rounds):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        began.record()
        go()
        ended.record()
        ended.synchronize()
        times.append(float(began.elapsed_time(ended)) / 1000)
    return statistics.median(times)


def _table(cell: Traced) -> Path:
    """Return the file with this device's choices for a cell, this version of its kernels, and of PyTorch."""
    source = triton.source(cell).encode() + Path(__file__).with_name("triton_blocks.py").read_bytes()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    key = hashlib.sha256(source + f"{device} {torch.__version__}".encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("tuirnn")) / f"cuda-plans-{key}.json"


@cache
def _choices(cell: Traced) -> dict[Case, Plan]:
    """Read the measured choices."""
    try:
        return {Case(**row["case"]): Plan(**row["plan"]) for row in json.loads(_table(cell).read_bytes())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # nothing measured yet


def _write_table(cell: Traced) -> None:
    rows = [{"case": case._asdict(), "plan": asdict(plan)} for case, plan in _choices(cell).items()]
    with suppress(OSError):  # the next process measures again
        _table(cell).parent.mkdir(parents=True, exist_ok=True)
        atomic_write(_table(cell), json.dumps(rows, indent=1).encode(), durable=False)
