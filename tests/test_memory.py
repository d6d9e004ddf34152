"""Ways to save memory give the same results: spans, recomputed gates, a step in parts; and the memory estimates."""

import gc
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_small
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from tuirnn import machine, spans
from tuirnn.cells import CELLS
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError
from tuirnn.estimate import memory, parameters, step_memory
from tuirnn.models import RecurrentLayer, SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training import launch, verification
from tuirnn.training.contenders import VOCAB, TorchModel
from tuirnn.training.events import to_json
from tuirnn.training.peak import fresh_process, measure

CASES = [verification.Case(cell, 2, carried=True, masked=True) for cell in CELLS]
SOURCES = ["vectors", "tokens", "rare tokens", "one-hot"]
T, B, H, V = 13, 3, 5, 40


@pytest.fixture
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of two or three steps at the sizes of the tests: six, of which two keep their gates."""
    monkeypatch.setattr(spans, "ROWS", {"cpu": (2 * B, 2 * B, 3 * B), "cuda": (2 * B, 2 * B, 3 * B)})


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from(["save", "recompute", "none"]))
def test_spans_cover_every_step_once(T: int, B: int, memory: str) -> None:
    cuts = spans.cut(T, B, memory, "cpu")
    assert [t for steps in cuts for t in range(steps.start, steps.stop)] == list(range(T))
    assert 0 <= spans.kept(len(cuts), memory) <= len(cuts)


def test_a_gpu_runs_a_sequence_in_one_launch() -> None:
    assert spans.cut(4096, 256, "save", "cuda") == [slice(0, 4096)]
    assert len(spans.cut(4096, 256, "recompute", "cuda")) > 1


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("memory", ["save", "recompute"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_both_ways_are_proven(case: verification.Case, memory: str, device: str) -> None:
    subject = verification.trial(case, device=device)
    subject.model.memory = memory
    assert verification.torch_difference(case, subject) <= verification.TORCH_BOUND
    assert verification.finite_difference_error(subject) <= verification.FINITE_DIFFERENCE_BOUND


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.cell)
def test_recompute_equals_save(case: verification.Case, source: str, dtype: torch.dtype, device: str) -> None:
    """Outputs, last state and every gradient, the operands of the products in `dtype`."""
    ours, everything = gradients_of(case, source, dtype, device)
    saved, recomputed = everything("save"), everything("recompute")
    assert all(x.isfinite().all() for x in saved)
    bound = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2}[dtype]
    for a, b in zip(saved, recomputed, strict=True):
        assert (a - b).abs().max() <= bound * (1 + a.abs().max())
    with torch.no_grad():
        torch.testing.assert_close(ours("save"), saved[0])


def gradients_of(
    case: verification.Case, source: str, dtype: torch.dtype, device: str
) -> tuple[Callable[[str], Tensor], Callable[[str], list[Tensor]]]:
    """(outputs, [outputs, last state, gradients]) of a layer, each with the memory that is named."""
    torch.manual_seed(0)
    inputs = V if source == "one-hot" else 6
    config = ModelConfig(cell=case.cell, hidden=H)
    layer = RecurrentLayer(config, inputs).to(device)
    rows = {"tokens": 7, "rare tokens": V}.get(source)
    embedding = torch.randn(rows, inputs, device=device, requires_grad=True) if rows else None
    if source == "vectors":
        x = torch.randn(T, B, inputs, device=device, requires_grad=True)
    else:
        x = torch.randint(rows or V, (T, B), device=device)
    state = tuple(torch.randn(B, H, device=device, requires_grad=True) for _ in layer.cell.state)
    if dtype == torch.float64:
        layer, state = layer.double(), tuple(s.detach().double().requires_grad_() for s in state)
        embedding = embedding.detach().double().requires_grad_() if embedding is not None else None
        x = x.detach().double().requires_grad_() if source == "vectors" else x

    def run(memory: str) -> Any:
        return layer(x, state, embedding, dtype, None, memory)

    def everything(memory: str) -> list[Tensor]:
        outputs, last = run(memory)
        leaves = [leaf for leaf in (*layer.parameters(), *state, embedding, x) if leaf is not None and leaf.is_leaf]
        leaves = [leaf for leaf in leaves if leaf.requires_grad]
        weights = torch.linspace(-1, 1, outputs.numel(), device=device, dtype=outputs.dtype).view_as(outputs)
        scalar = (outputs * weights).sum() + sum((s.square().sum() for s in last), outputs.new_zeros(()))
        return [outputs.detach(), *(s.detach() for s in last), *torch.autograd.grad(scalar, leaves)]

    return lambda memory: run(memory)[0].detach(), everything


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("memory", ["save", "recompute"])
def test_a_graph_can_be_used_twice(memory: str) -> None:
    """A backward pass frees the gates behind it; a second one computes them again."""
    layer = RecurrentLayer(ModelConfig(hidden=H), 4)
    outputs, _ = layer(torch.randn(T, B, 4), layer.zero_state(B), memory=memory)
    first = torch.autograd.grad(outputs.sum(), list(layer.parameters()), retain_graph=True)
    second = torch.autograd.grad(outputs.sum(), list(layer.parameters()))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b)


# ── a step in parts ──────────────────────────────────────────────────────────────


def losses_of(folder: Path, source: Path, **changes: Any) -> tuple[list[float], list[float]]:
    """Training losses, gradient norms after them, of a short run."""
    run = train_small(
        folder, f"run{len(list(folder.iterdir()))}", source, steps=8, hidden=12, batch_size=5, dropout=0.3, **changes
    )
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    training = [record for record in records if record["split"] == "train"]
    return [record["loss"] for record in training], [record["grad_norm"] for record in training]


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"accumulate": 1000}, {"accumulate": 3, "memory": "recompute"}])
@pytest.mark.parametrize("batches", ["stream", "random"])
def test_parts_of_a_batch_add_up_to_it(changes: dict[str, Any], batches: str, tmp_path: Path, small_text: Path) -> None:
    """Five lanes in two, three and five parts, dropout and hidden tokens among it, eight steps of carried state."""
    plain = losses_of(tmp_path, small_text, batches=batches, token_dropout=0.1)
    parts = losses_of(tmp_path, small_text, batches=batches, token_dropout=0.1, **changes)
    for whole, added in zip(plain, parts, strict=True):
        assert added == pytest.approx(whole, rel=2e-5)


def test_parts_of_sequences_of_unequal_length_add_up(tmp_path: Path) -> None:
    """Labelled sequences, with the parts' losses weighted by the targets in them."""
    table = tmp_path / "names.csv"
    words = [(letter * length, "ab"[length % 2]) for letter in "qrstuv" for length in range(1, 9)]
    table.write_text("text,label\n" + "".join(f"{word},{label}\n" for word, label in words))
    settings: dict[str, Any] = {"task": "classify", "summed": True, "every_step": True, "class_weights": True}
    whole, parts = (losses_of(tmp_path, table, **settings, accumulate=count) for count in (1, 2))
    assert parts[0] == pytest.approx(whole[0], rel=2e-5)
    assert parts[1] == pytest.approx(whole[1], rel=2e-5)


def test_a_run_goes_on_with_less_memory(tmp_path: Path, small_text: Path) -> None:
    settings: dict[str, Any] = {"schedule": "constant", "dropout": 0.3}
    whole, half = (train_small(tmp_path, f"to{steps}", small_text, steps=steps, **settings) for steps in (20, 10))
    launch.resume(half, {"steps": 20, "memory": "recompute", "accumulate": 2}, lambda event: None)
    ends = [json.loads(run.metrics.read_text().splitlines()[-1])["loss"] for run in (whole, half)]
    assert ends[1] == pytest.approx(ends[0], rel=1e-5)


# ── how much it takes ────────────────────────────────────────────────────────────


SMALL = RunConfig().replace(hidden=128, embed=128, batch_size=32, seq_len=128)


def model_step(way: str) -> Callable[[], None]:
    """Forward, loss and backward of a character model, ours or on PyTorch's layers."""
    model: torch.nn.Module
    if way == "torch":
        model = TorchModel("lstm", 128, 128)
    else:
        model = SequenceModel(SMALL.model, VOCAB, memory=way)
    tokens, targets = torch.randint(VOCAB, (2, 128, 32))

    def step() -> None:
        logits = model(tokens) if way == "torch" else model(tokens, model.zero_state(32))[0]
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
        del logits
        loss.backward()
        model.zero_grad(set_to_none=True)

    return step


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_leaves_no_tensor_in_a_reference_cycle(cell: str) -> None:
    """Buffers in a reference cycle would stay until the garbage collector runs: those of many steps at once."""
    model = SequenceModel(ModelConfig(cell=cell, hidden=8, layers=2, embed=4, dropout=0.2), 7)
    tokens = torch.randint(7, (5, 3))

    def step() -> None:
        model(tokens, model.zero_state(3))[0].sum().backward()
        model.zero_grad(set_to_none=True)

    step()
    gc.freeze()  # only what the next step makes is looked through
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        step()
        gc.collect()
        assert not [tuple(left.shape) for left in gc.garbage if isinstance(left, torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system keeps no peak of a process")
def test_peaks_are_below_those_of_torch_and_as_estimated() -> None:
    with fresh_process() as process:
        waiting = [process.submit(measure, model_step, (way,)) for way in ("torch", "save", "recompute")]
        torchs, save, recompute = (one.result() for one in waiting)
    assert save <= 0.7 * torchs  # with dropout, which the other has not
    assert recompute <= 0.5 * torchs
    for measured, way in ((save, "save"), (recompute, "recompute")):
        config = SMALL.replace(memory=way)
        expected = step_memory(config, VOCAB, VOCAB) + 4 * parameters(config.model, VOCAB)
        assert measured == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize(
    "changes",
    [{"memory": "recompute"}, {"accumulate": 4}, {"processes": 4}, {"batch_size": 8}, {"seq_len": 32}],
    ids=str,
)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_lowers_the_estimate(cell: str, changes: dict[str, Any]) -> None:
    config = RunConfig().replace(cell=cell, hidden=512, layers=2, batch_size=64, seq_len=256)
    assert step_memory(config.replace(**changes), 65, 65) < 0.8 * step_memory(config, 65, 65)


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_limits_the_room(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tightest of the groups around this process counts, the memory of cached files as free."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "cgroup")
    assert machine.room() is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000 kB\nMemAvailable: 6000 kB\nSwapTotal: 1000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(
        "5:cpu:/else\n4:memory:/job/inner\n" if version == 1 else "0::/job/inner\n"
    )
    assert machine.room() == machine.Room(9000 * 1024, 6000 * 1024, "this machine")
    root = tmp_path / "cgroup" / ("memory" if version == 1 else "")
    (root / "job/inner").mkdir(parents=True)
    limit, usage = ("limit_in_bytes", "usage_in_bytes") if version == 1 else ("max", "current")
    (root / f"job/memory.{limit}").write_text("3000000\n")
    (root / f"job/memory.{usage}").write_text("1000000\n")
    (root / "job/memory.stat").write_text("anon 5\ninactive_file 400000\n")
    (root / f"job/inner/memory.{limit}").write_text("9223372036854771712\n" if version == 1 else "max\n")
    swap = 1000 * 1024
    if version == 2:
        (root / "job/memory.swap.max").write_text("0\n")
        swap = 0
    assert machine.room() == machine.Room(3_000_000 + swap, 2_400_000, "the limit of this control group")


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """`small_machine(whole, free)`: all that this machine has, in bytes."""
    return lambda whole, free: monkeypatch.setattr(machine, "room", lambda: machine.Room(whole, free, "this machine"))


def test_what_cannot_fit_is_refused_before_anything_is_written(
    small_machine: Callable[[float, float], None], tmp_path: Path, small_text: Path
) -> None:
    settings = {"hidden": 256, "embed": 8, "batch_size": 60, "seq_len": 120, "layers": 4}
    config = RunConfig().replace(**settings)
    takes, less = (memory(config.replace(memory=way), 40, 40) for way in ("save", "recompute"))
    small_machine(takes - 5e6, less + 5e6)
    with pytest.raises(ConfigError, match=r"about 61. MB .* 55. MB of it free; try --memory rec") as refused:
        train_small(tmp_path / "runs", "large", small_text, **settings)
    assert not (tmp_path / "runs").exists()
    assert "\n" not in str(refused.value)
    advised = re.findall(r"--([a-z-]+) (\w+) \(", str(refused.value))
    assert len(advised) == 3
    for flag, value in advised:  # each of them alone is enough
        changed = config.replace(**{flag.replace("-", "_"): int(value) if value.isdigit() else value})
        assert memory(changed, 40, 40) <= less + 5e6


def test_what_fits_only_with_swap_is_warned_of(
    small_machine: Callable[[float, float], None], tmp_path: Path, small_text: Path
) -> None:
    small_machine(2e9, 100e6)
    events: list[dict[str, Any]] = []
    config = RunConfig().replace(sources=(str(small_text),), hidden=8, embed=8, steps=1, batch_size=4, seq_len=16,
                                 sample_length=0, device="cpu")  # fmt: skip
    launch.start(config, tmp_path, "tight", lambda event: events.append(to_json(event)))
    assert any("has 100 MB free" in event.get("message", "") for event in events)
    start = next(event for event in events if event["event"] == "start")
    assert start["memory"] == pytest.approx(memory(config, start["vocab"], start["vocab"]), rel=0.01)
