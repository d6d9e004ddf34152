"""The forms of a cell file: precisions, sampler, many steps in a call, C source; and writing with each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.cellfile import guard, sidecar
from tuirnn.cells import CELLS
from tuirnn.errors import CellFileError, ConfigError, DataError
from tuirnn.export import reference
from tuirnn.export.exporter import export_network, export_run
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.precision import quantize
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime import native_sampler
from tuirnn.runtime.generate import TextWriter, write_side_by_side
from tuirnn.runtime.samplers import Sampling, sample, sample_rows
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.unrolled import UnrolledSession
from tuirnn.runtime.verify import verify
from tuirnn.settings.model import ModelConfig

STACKS: list[dict[str, Any]] = [{}, {"layers": 2, "residual": True}, {"layers": 3, "embed": 0}]
SHAPES: list[dict[str, Any]] = [{"cell": cell, **STACKS[i % len(STACKS)]} for i, cell in enumerate(CELLS)]
FORMS = [
    CellOptions("fp16"),
    CellOptions("int8"),
    CellOptions("int4"),
    CellOptions(sampler=True, opset=18, ir=7),
    CellOptions("int8", unroll=5),
    CellOptions(unroll=3, static_batch=2),
    CellOptions(block=3),
    CellOptions("int8", block=5),
]


def in_four_bits(net: Network) -> bool:
    """Whether a matrix of a layer has 256 columns or more; the width is a multiple of 16."""
    columns = [layer.weight_hh.shape[0] for layer in net.weights.layers]
    columns += [layer.weight_ih.shape[0] for layer in net.weights.layers[1:]]
    return max(columns) >= 256


def network(**shape: Any) -> Network:
    return random_network(ModelConfig(**{"hidden": 64, "embed": 16, **shape}))


@pytest.mark.parametrize("options", FORMS, ids=lambda o: f"{o.precision} {o.samples} {o.steps}")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: " ".join(map(str, s.values())))
def test_every_cell_in_every_form_verifies(shape: dict[str, Any], options: CellOptions) -> None:
    net = network(**shape)
    if options.precision == "int4" and not in_four_bits(net):
        with pytest.raises(ConfigError, match=r"would hold no matrix of .* in four bits: .* take --precision int8"):
            export_network(net, options)
        return
    made = export_network(net, options)
    assert verify(made, device="cpu") == "CPU"
    inputs = [value.name for value in onnx.ModelProto.FromString(made.data).graph.input]
    assert sorted(inputs) == sorted(sidecar.contents(made.data, made.metadata, guard.fixed_batch(made))["inputs"])


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.01), ("int8", 0.15), ("int4", 1.5)])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: " ".join(map(str, s.values())))
def test_fewer_bits_stay_near_the_reference(shape: dict[str, Any], precision: str, most: float) -> None:
    net = network(**shape)
    if precision == "int4" and not in_four_bits(net):
        return
    session = CellSession(export_network(net, CellOptions(precision)), device="cpu")
    state = reference.zero_state(net.config)
    worst = 0.0
    for token in range(60):
        expected, state = reference.step(net.config, net.weights, token, state)
        worst = max(worst, float(np.abs(session.step(token)[0] - expected).max()))
    assert worst < most


def test_int8_is_small_and_a_sequence_does_not_feel_its_neighbours() -> None:
    net = random_network(ModelConfig(cell="gru", hidden=256))
    fp32, int8 = (export_network(net, CellOptions(precision)) for precision in ("fp32", "int8"))
    assert len(int8.data) <= 0.3 * len(fp32.data)
    alone, beside = CellSession(int8, device="cpu"), CellSession(int8, device="cpu", batch=3)
    for token in range(20):
        np.testing.assert_allclose(
            alone.step(token)[0], beside.step(np.array([7, token, 50 - token]))[1], rtol=0, atol=2e-4
        )


def test_a_precision_is_weighed_on_held_out_text(trained: Callable[..., RunPaths]) -> None:
    paths = trained(cell="gru")
    made = export_run(paths, options=CellOptions("int8"))
    loss = made.metadata.loss
    assert loss is not None
    assert abs(loss.nats - loss.nats_fp32) < 0.005
    assert json.loads(dict(made.metadata.to_strings())["tuirnn.loss"])["tokens"] == loss.tokens
    with pytest.raises(ConfigError, match=r"--precision int8 raises the held-out loss from .* to .* nats"):
        export_run(paths, options=CellOptions("int8"), max_loss_increase=loss.nats - loss.nats_fp32 - 1e-6)


def test_a_precision_without_its_text_is_an_error_of_the_data(small_text: Path, tmp_path: Path) -> None:
    source = tmp_path / "gone.txt"
    shutil.copy(small_text, source)
    paths = train_small(tmp_path / "runs", "gone", source, cell="gru")
    source.unlink()
    with pytest.raises(DataError):
        export_run(paths, options=CellOptions("int8"))
    assert export_run(paths).metadata.loss is None


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 10**6))
def test_codes_are_the_nearest(rows: int, columns: int, seed: int) -> None:
    W = np.random.default_rng(seed).normal(size=(rows, columns))
    codes, scale = quantize(W, 127)
    assert np.abs(codes).max() <= 127
    assert (np.abs(codes * scale - W) <= 0.501 * scale).all()
    four, _ = quantize(W, 7, (0.7, 0.85, 1.0))
    assert np.abs(four).max() <= 7


# ── choosing ─────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not native_sampler.is_native(), reason="no C compiler")
@given(st.integers(2, 300), st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0]), st.integers(0, 310))
@settings(max_examples=300)
def test_the_native_sampler_chooses_as_numpy_does(V: int, seed: int, temperature: float, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4, size=V).astype(np.float32)
    banned = int(rng.integers(V)) if rng.random() < 0.7 else None
    sampling, token = Sampling(temperature, top_k), np.zeros(1, np.int64)
    choose = native_sampler.chooser(logits.copy(), token, banned, sampling)
    if banned is not None:
        logits[banned] = -np.inf
    uniforms = [0.0, *rng.random(20), np.nextafter(1, 0)]
    expected = [sample(logits, sampling, uniform) for uniform in uniforms]
    assert [choose(uniform) for uniform in uniforms] == expected
    assert token[0] == expected[-1]
    assert sample_rows(np.tile(logits, (len(uniforms), 1)), sampling, np.array(uniforms)).tolist() == expected


def test_without_a_compiler_the_same_text_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = export_network(network(cell="gru"))
    texts = []
    for kernels in ("", "portable"):
        monkeypatch.setenv("TUIRNN_KERNELS", kernels)
        native_sampler._library.cache_clear()
        texts.append("".join(TextWriter(CellSession(cell, device="cpu"), 5).stream(Sampling(top_k=20), 300)))
    native_sampler._library.cache_clear()
    assert texts[0] == texts[1]


def test_texts_side_by_side_are_those_written_alone() -> None:
    cell = export_network(network(cell="lstm"))
    sampling, seeds = Sampling(temperature=1.0), (3, 4, 5)
    together = write_side_by_side(CellSession(cell, device="cpu", batch=3), "abc", sampling, 60, seeds)
    alone = []
    for seed in seeds:
        writer = TextWriter(CellSession(cell, device="cpu"), seed)
        writer.feed("abc")
        alone.append("".join(writer.stream(sampling, 60)))
    assert together == alone


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (0.7, 0), (1.3, 5)])
def test_the_graphs_own_sampler_chooses_by_the_same_rule(temperature: float, top_k: int) -> None:
    cell = export_network(network(cell="gru"), CellOptions(sampler=True))
    session, rng, token, agreed = CellSession(cell, device="cpu"), np.random.default_rng(0), 0, 0
    for uniform in rng.random(300).astype(np.float32).tolist():
        session.set_sampler(temperature, top_k, uniform)
        logits = session.step(token)[0].copy()
        logits[cell.metadata.vocab.unk] = -np.inf
        token = int(session.next_token[0])
        agreed += token == sample(logits, Sampling(temperature, top_k), uniform)
    assert agreed >= 299  # float32 in the graph, float64 outside: a tie may fall to the other side


def test_many_steps_in_a_call_are_the_same_steps() -> None:
    net, N = network(cell="lstm", layers=2), 4
    unrolled = UnrolledSession(export_network(net, CellOptions(unroll=N)), device="cpu")
    single = CellSession(export_network(net, CellOptions(sampler=True)), device="cpu")
    prime, uniforms = [5, 9, 2, 7, 1], np.random.default_rng(1).random(24).astype(np.float32)
    forced = np.array([*prime[1:], *[-1] * 20])
    unrolled.reset(prime[0])
    calls = [
        unrolled.call(f, u, 0.9, 10)[0] for f, u in zip(forced.reshape(-1, N), uniforms.reshape(-1, N), strict=True)
    ]
    token, expected = prime[0], []
    for choice, uniform in zip(forced.tolist(), uniforms.tolist(), strict=True):
        single.set_sampler(0.9, 10, uniform)
        single.step(token)
        token = choice if choice >= 0 else int(single.next_token[0])
        expected.append(token)
    assert np.concatenate(calls).tolist() == expected
    with pytest.raises(CellFileError, match="without --unroll"):
        CellSession(export_network(net, CellOptions(unroll=N)))


def test_exported_cells_of_all_forms_read_back(tmp_path: Path) -> None:
    from tuirnn.cellfile.guard import read_cell
    from tuirnn.export.exporter import write_cell

    for number, options in enumerate(FORMS):
        made = export_network(network(cell="gru", hidden=96), options)
        write_cell(made, tmp_path / f"{number}.onnx")
        assert read_cell(tmp_path / f"{number}.onnx").metadata.to_strings() == made.metadata.to_strings()
