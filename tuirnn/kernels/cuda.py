"""The Triton kernels on a GPU: how a pass is launched, which way is taken, and what happens where it fails.

There are three ways to run a pass over T steps, `Plan`s over the same two kernels:

    one launch for all steps     no launch between steps; as many programs as the device has processors at most
    one launch a step            any size; meant for a captured graph, where a launch costs microseconds less
    cuBLAS and the gates         two launches a step; for sizes at which a large product is bound by its arithmetic

`candidates` orders them by what a program has to read in each step; `measure` times them on the device and keeps the
fastest in the cache folder. A plan that does not compile or does not fit is left out; with none left, or without
Triton, everything runs on `portable`. docs/cuda.md has the reasoning and the figures.
"""

import gc
import hashlib
import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import platformdirs
import torch
from torch import Tensor

from tuirnn.codegen.trace import Traced
from tuirnn.files import atomic_write
from tuirnn.kernels import portable
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, begun

KINDS = {"rnn": 0, "rnn-relu": 1, "lstm": 2, "gru": 3}
"""Cells that the kernels know, by their own numbers."""

OPERANDS = (torch.float32, torch.bfloat16, torch.float16)
TILES = ((16, 32, 64, 128), (16, 32, 64))
"""Sequences and units that a program may own."""

SHARED_MEMORY = 208 * 1024
"""What a program may fill with W and h; an H100 has 227 KiB for one. Where a device has less, the plan fails and is
left out."""

NEAR = 6
"""How many times as fast a program reads its shared memory as others' results."""

MEASURED_STEPS, ROUNDS = 32, 5


@cache
def kernels() -> tuple[ModuleType | None, str]:
    """The Triton kernels, or None and the reason."""
    if os.environ.get("TUIRNN_KERNELS") == "portable":
        return None, "TUIRNN_KERNELS=portable"
    try:
        from tuirnn.kernels import triton_cells
    except Exception as error:  # it is not there, or not for this machine
        return None, f"no Triton ({error})"
    return triton_cells, ""


def why_not() -> str:
    """What the device misses, in a few words; empty where every plan tried so far works."""
    return "; ".join(dict.fromkeys(filter(None, (kernels()[1], *_failed.values()))))


def runs(cell: Traced, weight_hh: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernels can run this cell on these weights, with operands of this type."""
    fits = cell.name in KINDS and weight_hh.is_cuda and dtype in OPERANDS
    return fits and kernels()[0] is not None


# ── which way ─────────────────────────────────────────────────────────────────


class Case(NamedTuple):
    """What a plan is chosen for."""

    forward: bool
    cell: str
    batch: int
    hidden: int
    operands: str
    """Type of the products' operands: float32, tf32, bfloat16, float16."""


@dataclass(frozen=True)
class Plan:
    """One way to run a pass.

    Attributes:
        product: the kernel makes the product; else cuBLAS.
        persistent: one launch for all steps.
        resident: a program's rows of W stay in its shared memory for all steps.
        BB, BU: sequences and units that a program owns.
        BK: terms of the product's sum that it loads at once; all of them where W is resident.
        slices: that a long sum with few outputs is cut into, one for each warp.
        warps: of a program.
        stages: of loads in flight.
    """

    product: bool
    persistent: bool
    resident: bool
    BB: int
    BU: int
    BK: int = 64
    slices: int = 1
    warps: int = 4
    stages: int = 3


CUBLAS = Plan(product=False, persistent=False, resident=False, BB=16, BU=16)

_failed: dict[tuple[Case, Plan], str] = {}


def candidates(case: Case, processors: int) -> list[Plan]:
    """The plans worth trying for a case on a device of so many processors, the most promising first.

    A step takes as long as a program needs to read its rows of h (or dgh) and of W: the tile with the fewest is the
    best that the device holds at once; between equals the one with fewer programs, which meet sooner.
    """
    gates = {"lstm": 4, "gru": 3}.get(case.cell, 1)

    def programs(plan: Plan) -> int:
        return -(-case.batch // plan.BB) * -(-case.hidden // plan.BU)

    def reads(plan: Plan) -> tuple[int, int]:
        x, W = plan.BB * NEAR, plan.BU * (1 if plan.resident else NEAR)
        return (x + gates * W if case.forward else gates * (x + W)), programs(plan)

    batches = [BB for BB in TILES[0] if max(16, 2 * case.batch - 1) >= BB]
    tiles = [(BB, BU) for BB in batches for BU in TILES[1] if BB * BU <= 4096]
    plans = [plan for tile in tiles if (plan := _resident(case, gates, *tile))]
    streaming = [_streaming(case, gates, *tile) for tile in tiles]
    fitting = [plan for plan in sorted(plans + streaming, key=reads) if programs(plan) <= processors]
    streaming.sort(key=reads)
    stepwise = next((plan for plan in streaming if programs(plan) <= 4 * processors), streaming[-1])
    return [*fitting[:2], CUBLAS, replace(stepwise, persistent=False)]


def _streaming(case: Case, gates: int, BB: int, BU: int) -> Plan:
    """Read W anew in each step; `benchmarks/gpu_compile.py` shows that these keep within the registers."""
    plan = Plan(product=True, persistent=True, resident=False, BB=BB, BU=BU)
    wide = _size(case) // 2
    if not case.forward and BB * BU <= 512:
        return replace(plan, BK=16_384 // (BB * BU) // wide, slices=4)
    sums = BB * BU * (4 if case.forward and gates > 1 else 1)
    warps = 4 if case.forward and sums <= 2048 else 8
    return replace(plan, BK=(128 if sums <= 4096 else 64) // wide, warps=warps)


def _resident(case: Case, gates: int, BB: int, BU: int) -> Plan | None:
    """Keep W's rows on the chip; None where they do not fit beside a step's h or dgh."""
    slices = 1 if case.forward or BB * BU > 1024 else 8
    K = case.hidden if case.forward else gates * case.hidden
    BK = max(16, 2 ** (-(-K // slices) - 1).bit_length())
    rows = BB + BU * (4 if case.forward and gates > 1 else 1)
    if case.operands == "float32" or rows * BK * slices * _size(case) > SHARED_MEMORY:
        return None  # float32's three products of a sum this long exceed the registers
    warps = 4 if case.forward and BB * BK <= 8192 else 8
    return Plan(True, True, True, BB, BU, BK, slices, warps, stages=1)


def _size(case: Case) -> int:
    return 2 if case.operands in ("bfloat16", "float16") else 4


def plan_of(case: Case) -> Plan | None:
    """The plan to take: the measured one, else the first that has not failed; None: the portable loop."""
    measured = [_choices()[case]] if case in _choices() else []
    return next((plan for plan in measured + candidates(case, processors()) if (case, plan) not in _failed), None)


def case_of(forward: bool, cell: Traced, weight_hh: Tensor, B: int) -> Case:
    """The case of a pass with weights [G·H, H] of the operands' type, and the present setting of TF32."""
    return Case(forward, cell.name, B, weight_hh.shape[1], _operands(weight_hh.dtype))


def _operands(dtype: torch.dtype) -> str:
    if dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return "tf32"
    return str(dtype).removeprefix("torch.")


@cache
def processors() -> int:
    """How many programs the device runs at once, one on each."""
    return torch.cuda.get_device_properties().multi_processor_count if torch.cuda.is_available() else 1


# ── a pass ────────────────────────────────────────────────────────────────────


def forward(
    cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> ForwardCache:  # fmt: skip
    """As `Kernel.forward`; gx may have the operands' dtype, in which the activations are then kept."""
    weights = weights.to(dtype)
    case = case_of(True, cell, weights.matrix, gx.shape[1])
    while (plan := plan_of(case)) is not None:
        try:
            return forward_by(plan, cell, gx, weights, state, into)
        except Exception as error:
            _fail(case, plan, error)
    return portable.forward(cell, gx.float(), weights, state, into)


def backward(
    cell: Traced,
    trace: ForwardCache,
    weights: Recurrent,
    dh_all: Tensor,
    dlast: State,
    *,
    dtype: torch.dtype | None = None,
) -> SequenceGradients:
    """As `Kernel.backward`; the gradients of gates have the operands' dtype."""
    weights = weights.to(dtype)
    case = case_of(False, cell, weights.matrix, trace.a.shape[1])
    while (plan := plan_of(case)) is not None:
        try:
            return backward_by(plan, cell, trace, weights, dh_all, dlast)
        except Exception as error:
            _fail(case, plan, error)
    whole = ForwardCache(trace.a.float(), trace.states, trace.saved.float(), trace.observed)
    results = portable.backward(cell, whole, weights, dh_all, dlast)
    trace.dh_norm = whole.dh_norm
    return results


def _fail(case: Case, plan: Plan, error: Exception) -> None:
    """Leave a plan out from now on, whatever Triton's compiler or launcher raised; a fault not its own goes on."""
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    if isinstance(error, torch.cuda.OutOfMemoryError) or capturing:
        raise error
    lines = str(error).strip().splitlines()
    _failed[case, plan] = f"{type(error).__name__}: {lines[0][:120] if lines else ''}"


def forward_by(
    plan: Plan,
    cell: Traced,
    gx: Tensor,
    weights: Recurrent,
    state: State,
    into: Sequence[Tensor] = (),
) -> ForwardCache:
    """`forward` in a given way."""
    weight_hh, bias_hh, _ = weights
    bias_hh = bias_hh.clone()
    for gate in cell.additive:
        bias_hh[cell.recurrent.index(gate) * weight_hh.shape[1] :][: weight_hh.shape[1]] = 0
    kernel = _kernel("forward")
    T, B, rows = gx.shape
    H = weight_hh.shape[1]
    a, W = gx.contiguous(), weight_hh.contiguous()
    states = begun(tuple(s.float() for s in state), T, into)
    saved = a.new_empty(T, B, cell.extra_width * H)
    ring = W.new_empty(2, B, H)
    ring[0] = state[0]
    made = ring if plan.product else W.new_empty(B, rows)
    grid = (-(-H // plan.BU), -(-B // plan.BB))
    options = constants(plan, cell, H, _operands(W.dtype))
    counters = torch.zeros(grid[1], dtype=torch.int32, device=W.device)
    bias = bias_hh.float().contiguous()
    for t in range(0, T, T if plan.persistent else 1):
        if not plan.product:
            torch.mm(ring[t % 2], W.t(), out=made)
        end = T if plan.persistent else t + 1
        kernel[grid](a, W, bias, ring, states[0], states[-1], saved, made, counters, t, end, B, **options)
    return ForwardCache(a, states, saved)


def backward_by(
    plan: Plan, cell: Traced, trace: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State
) -> SequenceGradients:
    """`backward` in a given way."""
    weight_hh = weights.matrix
    kernel = _kernel("backward")
    T, B, rows = trace.a.shape
    H = weight_hh.shape[1]
    Wt = weight_hh.t().contiguous()
    dgh = Wt.new_empty(T + 1, B, rows)
    dgh[T] = 0
    dgx = Wt.new_empty(T, B, rows) if cell.extra_width else dgh[:T]
    dh_all = dh_all.float().contiguous()
    carry = [d.to(torch.float32, memory_format=torch.contiguous_format, copy=True) for d in dlast]
    made = Wt if plan.product else Wt.new_empty(B, H)
    grid = (-(-H // plan.BU), -(-B // plan.BB))
    options = constants(plan, cell, H, _operands(Wt.dtype))
    squares = dh_all.new_empty(T, grid[0] * grid[1])
    counters = torch.zeros(grid[1], dtype=torch.int32, device=Wt.device)
    for t in range(T, 0, -T if plan.persistent else -1):
        if not plan.product:
            torch.mm(dgh[t], Wt.t(), out=made)
        kernel[grid](
            trace.a, Wt, dgh, dgx, dh_all, carry[0], carry[-1], trace.states[0], trace.states[-1], trace.saved, made,
            squares, counters, 0 if plan.persistent else t - 1, t, B, **options,
        )  # fmt: skip
    trace.dh_norm = squares.sum(1).sqrt()
    carry[0] += torch.mm(dgh[0], Wt.t())
    return SequenceGradients(dgx, dgh[:T], tuple(carry), torch.zeros_like(weights.vectors))


def _kernel(name: str) -> Any:
    found, why = kernels()
    assert found is not None, why  # callers ask `runs` first
    return getattr(found, name)


def constants(plan: Plan, cell: Traced, H: int, operands: str) -> dict[str, Any]:
    """What a plan's kernel is compiled for, and how it is launched."""
    options: dict[str, Any] = {
        "H": H, "CELL": KINDS[cell.name], "G": cell.G, "BB": plan.BB, "BU": plan.BU, "BK": plan.BK,
        "SLICES": plan.slices, "PRODUCT": plan.product, "PERSISTENT": plan.persistent, "RESIDENT": plan.resident,
        "PRECISION": "tf32x3" if operands == "float32" else "tf32",
        "num_warps": plan.warps, "num_stages": plan.stages,
    }  # fmt: skip
    if plan.persistent:
        options["launch_cooperative_grid"] = True  # refused by the driver where not all programs fit at once
    return options


# ── measuring ─────────────────────────────────────────────────────────────────


def measure(cell: Traced, batch: int, hidden: int, dtype: torch.dtype) -> dict[Case, dict[Plan, float]]:
    """Time every candidate on this device, unless that has been done, and take the fastest from now on.

    Returns:
        Seconds a step of each plan that runs; empty where the choice is known.
    """
    matrix = torch.zeros(cell.G * hidden, hidden, device="cuda", dtype=dtype)
    cases = [case_of(forward, cell, matrix, batch) for forward in (True, False)]
    if not runs(cell, matrix, dtype) or all(case in _choices() for case in cases):
        return {}
    T, rows = MEASURED_STEPS, cell.G * hidden
    own = torch.Generator("cuda").manual_seed(0)  # training's own numbers must not depend on whether this has run
    matrix.normal_(0, hidden**-0.5, generator=own)
    gx = torch.randn(T, batch, rows, device="cuda", generator=own).to(dtype)
    weights = Recurrent(matrix, torch.zeros(rows, device="cuda"), torch.zeros(0, hidden, device="cuda"))
    dh_all = torch.randn(T, batch, hidden, device="cuda", generator=own)
    state = tuple(torch.zeros(batch, hidden, device="cuda") for _ in cell.state)
    trace = forward(cell, gx.clone(), weights, state)
    times: dict[Case, dict[Plan, float]] = {}
    for case in cases:
        times[case] = {}
        for plan in candidates(case, processors()):
            go: Callable[[], object]
            if case.forward:
                go = partial(forward_by, plan, cell, gx, weights, state)
            else:
                go = partial(backward_by, plan, cell, trace, weights, dh_all, state)
            try:
                times[case][plan] = seconds(captured(go)) / T
            except Exception as error:
                _fail(case, plan, error)
        if times[case]:
            _choices()[case] = min(times[case], key=times[case].__getitem__)
    _write_table()
    return times


def captured(go: Callable[[], object]) -> Callable[[], None]:
    """`go` as a CUDA graph, after running it once, which compiles what it needs."""
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
    """What is launched inside becomes a CUDA graph instead of running."""
    graph, collecting = torch.cuda.CUDAGraph(), gc.isenabled()
    gc.disable()  # it could free a loaded kernel, which a recording does not allow
    try:
        with torch.cuda.graph(graph):
            yield graph
    finally:
        if collecting:
            gc.enable()


def seconds(go: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Median time of `go` on the device."""
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


def _table() -> Path:
    """The file of this device's choices, of this version of the kernels and of PyTorch."""
    source = Path(__file__).with_name("triton_cells.py").read_bytes()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    key = hashlib.sha256(source + f"{device} {torch.__version__}".encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("tuirnn")) / f"cuda-plans-{key}.json"


@cache
def _choices() -> dict[Case, Plan]:
    """The measured choices, as they stand in the file."""
    try:
        return {Case(**row["case"]): Plan(**row["plan"]) for row in json.loads(_table().read_bytes())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # nothing measured yet


def _write_table() -> None:
    rows = [{"case": case._asdict(), "plan": asdict(plan)} for case, plan in _choices().items()]
    with suppress(OSError):  # then it is measured again next time
        _table().parent.mkdir(parents=True, exist_ok=True)
        atomic_write(_table(), json.dumps(rows, indent=1).encode(), durable=False)
