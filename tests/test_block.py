"""Blocks: known inputs in one call, the outputs of each, in every task; cut anywhere; the same as step by step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from c_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from test_webpage import NETWORKS, with_classes

from tuirnn.cellfile import guard, sidecar
from tuirnn.errors import CellFileError, ConfigError
from tuirnn.export.exporter import export_network
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.runtime.block import BlockSession
from tuirnn.runtime.opened import opened
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.verify import verify
from tuirnn.tasks.lm.prediction import evaluate

N = 5


KINDS: dict[str, Any] = {
    **NETWORKS,
    "deep": lambda: with_classes("classify", pooling="last+max", residual=True),
}


def fed_to(net: Network, steps: int, batch: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if net.scaling is None:
        return rng.integers(0, len(net.vocab), (steps, batch))
    points = net.scaling.restore(rng.normal(size=(steps, batch, len(net.scaling))))
    calendar = net.scaling.calendar(rng.uniform(0, 1e9, (steps, batch)))
    return np.concatenate([points, calendar], -1).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_computes_what_its_steps_do_to_the_bit_wherever_it_is_cut(kind: str) -> None:
    net = KINDS[kind]()
    made = export_network(net, CellOptions(block=N))
    verify(made, device="cpu")
    block = BlockSession(made, device="cpu", batch=2)
    steps = CellSession(export_network(net, proofs=False), device="cpu", batch=2)

    @settings(max_examples=8)
    @given(st.lists(st.integers(1, 2 * N + 1), min_size=1, max_size=3), st.integers(0, 99))
    def cut(parts: list[int], seed: int) -> None:
        fed = fed_to(net, sum(parts), 2, seed)
        block.reset()
        steps.reset()
        found = np.concatenate([block.read(part) for part in np.split(fed, np.cumsum(parts)[:-1])])
        expected = steps.read(fed)
        scale = np.array(net.scaling.std) if net.scaling else 1.0
        assert (np.abs(found - expected) <= 1e-5 * scale).all()
        for one, other in zip(block.snapshot(), steps.snapshot(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)

    cut()


@pytest.mark.parametrize("kind", ["pooled", "differences", "tags"])
def test_onnx_reference_agrees(kind: str) -> None:
    net = KINDS[kind]()
    made = export_network(net, CellOptions(block=N))
    block, read = BlockSession(made, device="cpu", batch=3), made.metadata.names[0]
    fed = fed_to(net, N, 3)
    evaluator = ReferenceEvaluator(onnx.ModelProto.FromString(made.data))
    state = dict(zip(made.metadata.state_map.values(), block.snapshot(), strict=True))
    outputs = evaluator.run(None, {read: fed, "last": np.array([N - 1]), **state})
    np.testing.assert_allclose(block.read(fed), outputs[0], rtol=1e-5, atol=1e-5)


def test_a_file_tells_of_its_block_and_of_a_fixed_batch() -> None:
    net = NETWORKS["text"]()
    for options in (CellOptions(block=N), CellOptions("int8", block=N, static_batch=2), CellOptions("int4", block=N)):
        made = export_network(network("char", cell="gru", hidden=96) if options.precision == "int4" else net, options)
        verify(made, device="cpu")
        seen = guard.inspect(made.data, "it")
        assert seen.metadata.block == N
        assert guard.fixed_batch(seen) == options.static_batch
        said = sidecar.contents(made.data, made.metadata, options.static_batch)
        assert json.loads(json.dumps(said))["tuirnn.block"] == N
        assert said["inputs"]["token"]["shape"] == [N, options.static_batch or "batch"]
        assert said["inputs"]["last"] == {"dtype": "int64", "shape": [1]}


def test_evaluation_reads_blocks() -> None:
    net = NETWORKS["text"]()
    tokens = np.random.default_rng(1).integers(0, len(net.vocab), 700)
    one, many = (
        evaluate(opened(export_network(net, options, proofs=False), "it", "cpu"), tokens)
        for options in (CellOptions(), CellOptions(block=N))
    )
    assert many.carried == pytest.approx(one.carried, abs=1e-6)
    assert many.blocks == pytest.approx(one.blocks, abs=1e-6)


def test_what_does_not_fit_a_block_is_refused() -> None:
    with pytest.raises(ConfigError, match="--block must be from 2 to 256, not 1"):
        CellOptions(block=1)
    for further in ({"sampler": True}, {"unroll": 2}):
        with pytest.raises(ConfigError, match="--block reads inputs that are known"):
            CellOptions(block=4, **further)
    made = export_network(NETWORKS["text"](), CellOptions(block=N), proofs=False)
    with pytest.raises(CellFileError, match="without --block"):
        CellSession(made, device="cpu")
    model = onnx.ModelProto.FromString(made.data)
    next(prop for prop in model.metadata_props if prop.key == "tuirnn.block").value = str(N + 1)
    with pytest.raises(CellFileError, match="refused"):
        guard.inspect(model.SerializeToString(), "it")


@pytest.mark.parametrize("options", [CellOptions("int4", block=N), CellOptions("int4", unroll=N)], ids=str)
def test_onnx_runtime_widens_a_matrix_of_four_bits_once_in_a_call(options: CellOptions, tmp_path: Path) -> None:
    """Not at every step, which made a block a tenth as fast as its steps."""
    made = export_network(network("char", cell="gru", hidden=96), options)
    verify(made, device="cpu")
    wanted = onnxruntime.SessionOptions()
    wanted.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(made.data, wanted, providers=["CPUExecutionProvider"])
    kept = [node.op_type for node in onnx.load(wanted.optimized_model_filepath).graph.node]
    assert kept.count("DequantizeLinear") == 1
