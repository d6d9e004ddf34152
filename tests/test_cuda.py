"""The Triton kernels and the captured step: on a GPU where there is one, else in Triton's interpreter and its twin.

The interpreter runs one program after the other, so a barrier between them would wait for ever. It runs the kernels
with one launch a step; only `_arrive` and `_wait` are left to `make bench-gpu`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

from tests.conftest import train_small  # noqa: E402
from tuirnn import spans, tasks  # noqa: E402
from tuirnn.cells import CELLS  # noqa: E402
from tuirnn.codegen.trace import Traced, traced  # noqa: E402
from tuirnn.config import ModelConfig, TrainConfig  # noqa: E402
from tuirnn.kernels import ForwardCache, cuda, portable  # noqa: E402
from tuirnn.kernels.cache import Recurrent  # noqa: E402
from tuirnn.models import RecurrentLayer  # noqa: E402
from tuirnn.runs import checkpoint  # noqa: E402
from tuirnn.runs.layout import RunPaths  # noqa: E402
from tuirnn.runs.reader import LogTail, read_record  # noqa: E402
from tuirnn.training import graphed  # noqa: E402
from tuirnn.training.learner import Learner  # noqa: E402
from tuirnn.training.optimizers import make_optimizer, set_rate  # noqa: E402
from tuirnn.training.team import Alone  # noqa: E402

needs_triton = pytest.mark.skipif(cuda.kernels()[0] is None, reason=cuda.kernels()[1] or "Triton")

PRODUCT = cuda.Plan(product=True, persistent=False, resident=False, BB=16, BU=16, BK=32, slices=4)
"""Several programs at H = 17 and B = 33; K = 17 and 68 end within a tile."""
WHOLE = cuda.Plan(product=True, persistent=False, resident=False, BB=16, BU=32, BK=128)
RESIDENT = cuda.Plan(product=True, persistent=False, resident=True, BB=16, BU=16, BK=64, slices=8)

ROOT = Path(__file__).parent.parent


def cell_of(name: str) -> Traced:
    return traced(CELLS[name])


def run(
    plan: cuda.Plan | None, cell: Traced, T: int, B: int, H: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Outputs and every gradient on random numbers that depend on the shape alone; without a plan in float64."""
    generator = torch.Generator().manual_seed(T * 1_000_000 + B * 1000 + H)

    def normal(*shape: int, of: torch.dtype = torch.float32) -> Tensor:
        made = torch.randn(*shape, generator=generator).to(of)
        return (made.double() if plan is None else made).to(DEVICE)

    rows = cell.R * H
    gx = normal(T, B, cell.G * H, of=dtype)
    weights = Recurrent(normal(rows, H, of=dtype) / H**0.5, normal(rows), normal(len(cell.vectors), H))
    state = tuple(normal(B, H) for _ in cell.state)
    dh_all, dlast = normal(T, B, H), tuple(normal(B, H) for _ in cell.state)
    if plan is None:
        trace = portable.forward(cell, gx, weights, state)
    else:
        trace = cuda.forward_by(plan, cell, gx, weights, state)
    trace.observed = True
    made = [trace.a.clone(), trace.saved.clone()] if cell.G > 1 else []  # an RNN's one gate is its state
    if plan is None:
        dgx, dgh, dfirst, _ = portable.backward(cell, trace, weights, dh_all, dlast)
    else:
        dgx, dgh, dfirst, _ = cuda.backward_by(plan, cell, trace, weights, dh_all, dlast)
    assert trace.dh_norm is not None
    return [*made, *trace.states, dgx, dgh, *dfirst, trace.dh_norm]


@needs_triton
@pytest.mark.parametrize("cell", sorted(cuda.KINDS))
@pytest.mark.parametrize(
    ("plan", "T", "B", "H"),
    [(PRODUCT, 3, 5, 17), (PRODUCT, 1, 33, 17), (WHOLE, 2, 1, 64), (RESIDENT, 3, 5, 17), (cuda.CUBLAS, 7, 5, 17)],
    ids=["sliced", "two slices of the batch", "whole", "resident", "gates"],
)
def test_kernels_equal_portable(cell: str, plan: cuda.Plan, T: int, B: int, H: int) -> None:
    made = cell_of(cell)
    for ours, exact in zip(run(plan, made, T, B, H), run(None, made, T, B, H), strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=2e-5, atol=2e-5)


@needs_triton
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_kernels_in_half_precision(cell: str) -> None:
    """float16: the interpreter of Triton 3.6 multiplies bfloat16's bits as integers. States stay in float32."""
    made = cell_of(cell)
    ours, exact = run(PRODUCT, made, 3, 5, 17, torch.float16), run(None, made, 3, 5, 17, torch.float16)
    assert ours[0].dtype == torch.float16
    assert ours[2].dtype == torch.float32
    for a, b in zip(ours, exact, strict=True):
        assert (a.double() - b).norm() <= 3e-3 * b.norm() + 1e-12


@needs_triton
def test_kernels_carry_what_is_not_a_number() -> None:
    """A NaN must reach the loss, where training stops; and no other sequence."""
    for cell in map(cell_of, cuda.KINDS):
        gx = torch.zeros(2, 2, cell.G * 16, device=DEVICE)
        gx[0, 0] = float("nan")
        W = torch.ones(cell.R * 16, 16, device=DEVICE)
        weights = Recurrent(W, torch.zeros(len(W), device=DEVICE), W[: len(cell.vectors)])
        state = tuple(torch.zeros(2, 16, device=DEVICE) for _ in cell.state)
        trace = cuda.forward_by(PRODUCT, cell, gx, weights, state)
        assert trace.states[0][1:, 0].isnan().all()
        assert trace.states[0][1:, 1].isfinite().all()


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("memory", ["save", "recompute"])
@pytest.mark.parametrize("V", [0, 5, 30], ids=["vectors", "tokens", "many tokens"])
def test_a_layer_on_the_kernels(V: int, memory: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations in the operands' type, states and gradients in the weights', as on a GPU; whole or in two spans."""
    monkeypatch.setattr(cuda, "runs", lambda cell, weight_hh, dtype: dtype != torch.float64)
    monkeypatch.setattr(cuda, "candidates", lambda case, processors: [PRODUCT])
    torch.manual_seed(3)
    T, B, E, H = 3, 4, 6, 17
    monkeypatch.setattr(spans, "ROWS", dict.fromkeys(("cpu", "cuda"), (2 * B, 2 * B, T * B)))
    layer = RecurrentLayer(ModelConfig(cell="gru", hidden=H), E).to(DEVICE)
    twin = RecurrentLayer(ModelConfig(cell="gru", hidden=H), E).to(DEVICE).double()
    twin.load_state_dict(layer.state_dict())
    table, x = torch.randn(max(V, 1), E, device=DEVICE), torch.randn(T, B, E, device=DEVICE)
    found = []
    for made, operand in ((layer, dtype), (twin, torch.float64)):
        leaf = (table if V else x).to(made.weight_hh.dtype).requires_grad_()
        source = torch.randint(V, (T, B), generator=torch.Generator().manual_seed(0)).to(DEVICE) if V else leaf
        traces: list[ForwardCache] | None = [] if memory == "save" else None
        y, last = made(source, made.zero_state(B), leaf if V else None, operand, traces, memory)
        assert traces is None or traces[0].a.dtype == operand
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
    for forward in (True, False):
        plans = cuda.candidates(cuda.Case(forward, "lstm", B, H, operands), 132)
        assert any(not plan.product for plan in plans)
        for plan in plans:
            programs = -(-B // plan.BB) * -(-H // plan.BU)
            assert not plan.persistent or programs <= 132
            held = plan.BK * plan.slices * (plan.BB + plan.BU * (4 if forward else 1))
            assert held * plan.stages * (2 if operands == "bfloat16" else 4) <= 227 * 1024  # shared memory of an H100
    assert not cuda.candidates(cuda.Case(True, "lstm", 4096, 8192, operands), 132)[0].persistent


def test_a_plan_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in a launch, another way is taken, in the end the portable loop, and it is said."""
    cell = cell_of("lstm")
    failed: dict[Any, str] = {}
    monkeypatch.setattr(cuda, "_failed", failed)

    def refused(*_: Any) -> Any:
        raise RuntimeError("too many resources\nrequested")

    monkeypatch.setattr(cuda, "forward_by", refused)
    gx, W = torch.randn(2, 3, 4 * 16), torch.randn(4 * 16, 16)
    weights, state = Recurrent(W, torch.zeros(4 * 16), W[:0]), (torch.zeros(3, 16), torch.zeros(3, 16))
    expected = portable.forward(cell, gx.clone(), weights, state)
    torch.testing.assert_close(cuda.forward(cell, gx, weights, state).states[0], expected.states[0])
    assert len(failed) == len(cuda.candidates(cuda.case_of(True, cell, W, 3), cuda.processors()))
    assert "too many resources" in cuda.why_not()
    assert "\n" not in cuda.why_not()


@needs_triton
def test_kernels_compile_for_a_gpu_without_one(tmp_path: Path, environment: dict[str, str]) -> None:
    """With the barrier that the interpreter cannot run: arrivals that release, waits that acquire, reads past L1."""
    command = [
        sys.executable,
        "benchmarks/gpu_compile.py",
        "--cell",
        "gru_after",
        "--operands",
        "bfloat16",
        "--batch",
        "64",
    ]
    environment = {**environment, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--hidden", "64", "--ptx", str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
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


# ── the captured step ─────────────────────────────────────────────────────────


def losses(paths: RunPaths) -> list[float]:
    return [record["loss"] for record in LogTail(paths.metrics).read() if record["split"] == "train"]


@pytest.mark.parametrize(
    "settings", [{"cell": "gru", "layers": 2}, {"token_dropout": 0.2, "summed": True, "clip": 0.0}]
)
def test_captured_training_is_the_same(
    settings: dict[str, Any], tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit on the CPU's twin, carried state, dropout and a changing learning rate included."""
    runs = []
    for mode in ("off", "on" if DEVICE == "cuda" else "twin"):
        monkeypatch.setenv("TUIRNN_GRAPH", mode)
        runs.append(train_small(tmp_path, mode, small_text, device=DEVICE, warmup=3, **settings))
    plain, captured = map(losses, runs)
    assert len(plain) == 20
    assert plain[0] != plain[-1]
    torch.testing.assert_close(torch.tensor(captured), torch.tensor(plain), rtol=0, atol=0 if DEVICE == "cpu" else 1e-5)


def test_a_step_that_cannot_be_captured_is_taken_plainly() -> None:
    notes: list[str] = []

    def refuse(step: Any) -> graphed.Recorded:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    step = graphed.Graphed(lambda inputs: [inputs[0] + 1], refuse, notes.append)
    for i in range(6):
        assert step([torch.tensor(float(i))])[0] == i + 1
    assert len(notes) == 1
    assert "not permitted when stream is capturing" in notes[0]
    assert "\n" not in notes[0]


def test_a_batch_of_another_shape_is_taken_plainly() -> None:
    step = graphed.Graphed(lambda inputs: [inputs[0].sum()], graphed.rerun, pytest.fail)
    results = [step([torch.ones(n)])[0] for n in (4, 4, 4, 4, 4, 3, 4)]
    assert [float(r) for r in results] == [4, 4, 4, 4, 4, 3, 4]  # and none is overwritten by a later one


@pytest.mark.parametrize(("accumulate", "records"), [(1, 2), (2, 0)])
def test_a_learner_records_anew_after_a_restore_and_nothing_in_parts(
    accumulate: int, records: int, small_run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored optimizer has other tensors, and between the parts of a batch the random state is set back."""
    recorded: list[graphed.Recorded] = []

    def capture(step: Any) -> graphed.Recorded:
        recorded.append(graphed.rerun(step))
        return recorded[-1]

    monkeypatch.setattr("tuirnn.training.learner.capture_on", lambda device: capture)
    record, saved = read_record(small_run), checkpoint.load(small_run, "last")
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data)
    ours = Learner(record.config.replace(accumulate=accumulate), data, Alone(), torch.device("cpu"), pytest.fail)
    rounds = []
    for _ in range(2):
        ours.restore(saved)
        rounds.append([float(ours.training_step(0.01)[0]) for _ in range(graphed.WARM_UP + 2)])
    assert rounds[0] == rounds[1]
    assert len(recorded) == records


def test_the_rate_reaches_the_optimizer_wherever_it_is() -> None:
    layer = RecurrentLayer.__new__(RecurrentLayer)
    torch.nn.Module.__init__(layer)
    layer.weight = torch.nn.Parameter(torch.zeros(1, 1))
    for name in ("sgd", "adam", "adamw", "rmsprop"):
        optimizer = make_optimizer(layer, TrainConfig(optimizer=name))
        optimizer.param_groups[0]["lr"] = torch.tensor(1.0)  # as it is on CUDA
        set_rate(optimizer, 0.25)
        assert [float(group["lr"]) for group in optimizer.param_groups] == [0.25, 0.25]
        assert isinstance(optimizer.param_groups[0]["lr"], Tensor)


# ── the benchmark ─────────────────────────────────────────────────────────────


def test_the_benchmark_takes_its_whole_road_without_a_gpu(
    tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """So that the minutes on a GPU are not spent on its mistakes."""
    out = tmp_path / "gpu.json"
    environment = {**environment, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": ""}
    command = [
        sys.executable,
        "benchmarks/gpu.py",
        "--device",
        "cpu",
        "--smoke",
        "--out",
        str(out),
        "--data",
        str(small_text),
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    parts = json.loads(out.read_text())["parts"]
    assert set(parts) == {"correctness", "layer_gradients", "graphed", "step", "shakespeare", "layers"}
    for name in ("correctness", "layer_gradients", "graphed"):
        assert parts[name]["rows"]
        assert all(row["ok"] for row in parts[name]["rows"]), parts[name]
    assert not any("failure" in row for part in parts.values() for row in part["rows"])
