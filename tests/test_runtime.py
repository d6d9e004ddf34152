"""Samplers, generation, evaluation."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import ConfigError
from tuirnn.export.exporter import export_run
from tuirnn.loading.cell import load_cell
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import as_number
from tuirnn.runtime.data import held_out
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.opened import opened
from tuirnn.runtime.samplers import Sampling, choose, probabilities, sample
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.lm.prediction import evaluate
from tuirnn.vocab import UNKNOWN

EQUAL = 1e-6
"""Logits that differ by less are equally likely."""

LOGITS = arrays(np.float32, st.integers(1, 50), elements=st.floats(-50, 50, width=32))
SAMPLING = st.builds(
    Sampling, temperature=st.floats(0, 10), top_k=st.integers(0, 60), top_p=st.floats(0.001, 1)
)  # fmt: skip


@given(LOGITS, SAMPLING, st.floats(0, 1, exclude_max=True))
def test_only_what_may_be_chosen_is_chosen(logits: np.ndarray, sampling: Sampling, uniform: float) -> None:
    p = probabilities(logits, sampling)
    assert p.shape == logits.shape
    assert p.sum() == pytest.approx(1)
    token = sample(logits, sampling, uniform)
    assert p[token] > 0
    if sampling.temperature == 0:
        assert token == logits.argmax()
    if sampling.top_k:
        assert (logits > logits[token] + EQUAL).sum() < sampling.top_k
    assert logits[p.argmax()] >= logits.max() - EQUAL


@given(LOGITS, st.floats(0.05, 1))
def test_top_p_keeps_the_smallest_set(logits: np.ndarray, top_p: float) -> None:
    plain = probabilities(logits, Sampling(temperature=1.0))
    kept = probabilities(logits, Sampling(temperature=1.0, top_p=top_p)) > 0
    assert plain[kept].sum() >= min(top_p, 1) - 1e-9
    assert plain[kept].sum() - plain[kept].min() < top_p + 1e-9


def test_choices_follow_the_distribution() -> None:
    p = probabilities(np.log(np.array([0.1, 0.2, 0.7], np.float32)), Sampling(temperature=1.0))
    counts = np.bincount([choose(p, u) for u in (np.arange(1000) + 0.5) / 1000], minlength=3)
    assert counts.tolist() == [100, 200, 700]


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"temperature": math.nan}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 2.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--"):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cell(small_run: RunPaths) -> TrustedCell:
    return export_run(small_run)


def test_the_same_seed_writes_the_same_text(cell: TrustedCell) -> None:
    texts = []
    for seed in (1, 1, 2):
        writer = TextWriter(CellSession(cell), seed)
        writer.feed("the quick")
        texts.append("".join(writer.stream(Sampling(temperature=1.0), 200)))
    assert texts[0] == texts[1] != texts[2]
    assert UNKNOWN not in texts[0]


def test_writing_one_by_one_equals_streaming_and_moments_come_back(cell: TrustedCell) -> None:
    writer = TextWriter(CellSession(cell), 3)
    writer.feed("fox")
    moment = writer.moment()
    streamed = "".join(writer.stream(Sampling(), 120))
    rest = writer.write(Sampling()).text
    writer.go_to(moment)
    single = "".join(writer.write(Sampling()).text for _ in range(120))
    assert single == streamed
    assert writer.write(Sampling()).text == rest


@pytest.fixture(scope="module")
def writers(trained: Callable[..., RunPaths]) -> dict[str, TextWriter]:
    made = {}
    for kind in ("char", "byte", "word"):
        exported = export_run(trained(tokens=kind))
        made[kind] = TextWriter(CellSession(exported))
    return made


@pytest.mark.parametrize("kind", ["char", "byte", "word"])
@given(prime=st.text(max_size=40))
@settings(max_examples=3_400)
def test_any_prime_is_read(kind: str, prime: str, writers: dict[str, TextWriter]) -> None:
    """With three vocabularies, more than 10,000 random Unicode primes."""
    writer = writers[kind]
    writer.reset()
    assert all(math.isfinite(written.nats) for written in writer.feed(prime))
    text = "".join(writer.stream(Sampling(), 3))
    assert isinstance(text, str)


def test_evaluation_agrees_with_the_trainer(trained: Callable[..., RunPaths]) -> None:
    for changes in ({"cell": "gru"}, {"cell": "lstm", "tokens": "byte"}):
        paths = trained(**changes)
        cell = load_cell(paths.name, paths.root.parent)
        loss = evaluate(opened(cell, paths.name), held_out(paths.name, paths.root.parent, cell.metadata))
        recorded = checkpoint.load(paths).trainer["progress"]
        assert loss.carried == pytest.approx(as_number(recorded["val_loss"]), abs=2e-5)
        assert loss.blocks == pytest.approx(as_number(recorded["figures"]["val_loss_blocks"]), abs=2e-5)


def test_cells_open_by_path_and_by_name(small_run: RunPaths, cell: TrustedCell, tmp_path: Path) -> None:
    path = tmp_path / "c.onnx"
    path.write_bytes(cell.data)
    by_path, by_name = load_cell(str(path), tmp_path), load_cell(small_run.name, small_run.root.parent)
    proofs = {"lanes": (), "text": None}  # are for files that travel
    assert dataclasses.replace(by_path.metadata, **proofs) == by_name.metadata


def test_batches_are_independent(cell: TrustedCell) -> None:
    session = CellSession(cell, batch=3)
    single = CellSession(cell)
    rng = np.random.default_rng(0)
    sequences = rng.integers(0, len(cell.metadata.vocab), (3, 12))
    together = [session.step(sequences[:, t]).copy() for t in range(12)]
    for b in range(3):
        single.reset()
        for t in range(12):
            np.testing.assert_allclose(single.step(int(sequences[b, t]))[0], together[t][b], rtol=0, atol=1e-5)
