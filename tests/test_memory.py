"""Less memory, the same numbers: spans of steps, gates made again, a step in parts, and what was said beforehand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_small
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tuirnn import spans
from tuirnn.config import ModelConfig
from tuirnn.models import RecurrentLayer
from tuirnn.training import proof
from tuirnn.training.peak import peak_of

VARIANTS = [proof.Case(cell, variant, 2, carried=True, masked=True) for cell, variant in proof.VARIANTS]
SOURCES = ["vectors", "tokens", "rare tokens", "one-hot"]
T, B, H, V = 13, 3, 5, 40


@pytest.fixture
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of two or three steps at the sizes of the tests: six, of which two keep their gates."""
    monkeypatch.setattr(spans, "ROWS", {"cpu": (2 * B, 2 * B, 3 * B), "cuda": (2 * B, 2 * B, 3 * B)})


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(["save", "recompute", "none"]))
def test_spans_cover_every_step_once(T: int, B: int, memory: str) -> None:
    cuts = spans.cut(T, B, memory, "cpu")
    assert [t for steps in cuts for t in range(steps.start, steps.stop)] == list(range(T))
    assert 0 <= spans.kept(len(cuts), memory) <= len(cuts)


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("memory", ["save", "recompute"])
@pytest.mark.parametrize("case", VARIANTS, ids=lambda case: case.label)
def test_both_ways_are_proven(case: proof.Case, memory: str, device: str) -> None:
    subject = proof.trial(case, device=device)
    subject.model.memory = memory
    assert proof.torch_difference(case, subject) <= proof.TORCH_BOUND
    assert proof.finite_difference_error(subject) <= proof.FINITE_DIFFERENCE_BOUND


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", VARIANTS, ids=lambda case: f"{case.cell} {case.variant}".strip())
def test_recompute_equals_save(case: proof.Case, source: str, dtype: torch.dtype, device: str) -> None:
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
    case: proof.Case, source: str, dtype: torch.dtype, device: str
) -> tuple[Callable[[str], Tensor], Callable[[str], list[Tensor]]]:
    """(outputs, [outputs, last state, gradients]) of a layer, each with the memory that is named."""
    torch.manual_seed(0)
    inputs = V if source == "one-hot" else 6
    config = ModelConfig(cell=case.cell, hidden=H, nonlinearity=case.config.nonlinearity, reset=case.config.reset)
    layer = RecurrentLayer(config, inputs).to(device)
    rows = {"tokens": 7, "rare tokens": V}.get(source)
    embedding = torch.randn(rows, inputs, device=device, requires_grad=True) if rows else None
    if source == "vectors":
        x = torch.randn(T, B, inputs, device=device, requires_grad=True)
    else:
        x = torch.randint(rows or V, (T, B), device=device)
    state = tuple(torch.randn(B, H, device=device, requires_grad=True) for _ in layer.cell.state_names)
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
def test_a_graph_can_be_walked_twice(memory: str) -> None:
    """Gates are let go of behind a backward pass; a second one makes them again."""
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


# ── how much it takes ────────────────────────────────────────────────────────────


def layer_step(memory: str) -> Callable[[], None]:
    """Forward and backward of an LSTM layer, ours or PyTorch's."""
    x = torch.randn(128, 32, 64)
    theirs, ours = torch.nn.LSTM(64, 64), RecurrentLayer(ModelConfig(hidden=64), 64)

    def step() -> None:
        y = theirs(x)[0] if memory == "torch" else ours(x, ours.zero_state(32), memory=memory)[0]
        y.sum().backward()
        theirs.zero_grad(set_to_none=True)
        ours.zero_grad(set_to_none=True)

    return step


def test_recompute_takes_less_memory() -> None:
    torchs, save, recompute = (peak_of(layer_step, way) for way in ("torch", "save", "recompute"))
    assert save < 0.75 * torchs
    assert recompute < 0.5 * torchs
    assert recompute > 4 * 128 * 32 * 64 * 2  # the states at least: this is not a measurement of nothing
