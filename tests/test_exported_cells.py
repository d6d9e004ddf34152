"""Every cell there is, exported: carried steps against the definition on torch, and what its file is made of."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from c_networks import CC, compile_sources
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save

from tuirnn.cellfile.contract import CellMetadata, state_map
from tuirnn.cellfile.vectors import TestVector
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, exp, is_positive, maximum, select, sigmoid, softplus, tanh
from tuirnn.codegen.onnx import operators
from tuirnn.codegen.ranges import largest
from tuirnn.codegen.trace import traced
from tuirnn.export import c_source, reference
from tuirnn.export.exporter import export_network
from tuirnn.export.graph import build
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.export.weights import read_weights
from tuirnn.kernels import eager, layer
from tuirnn.models import SequenceModel
from tuirnn.runtime.session import CellSession
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Vocabulary

STEPS, CHUNK = 10_000 if os.environ.get("TUIRNN_LONG") else 200, 200
"""Carried steps; `TUIRNN_LONG=1` takes 10,000."""

BOUND = 1e-5
VOCAB = Vocabulary("char", tuple("abcdefgh"))
WRITTEN: dict[str, list[str]] = json.loads((Path(__file__).parent / "references" / "operators.json").read_text())
"""Some cells -> the operators of their files' graph in one layer, in order."""


def model_of(cell: str, **shape: Any) -> tuple[SequenceModel, Network]:
    """A network with first weights, in float64, and what is exported of it."""
    torch.manual_seed(0)
    config = ModelConfig(**{"hidden": 8, "embed": 4, **CELLS[cell].settings, **shape})
    model = SequenceModel(config, len(VOCAB), unk=VOCAB.unk)
    weights = read_weights(save({name: value.contiguous() for name, value in model.state_dict().items()}), config, "m")
    model.eval().double()
    model.compute_dtype = torch.float64
    return model, Network("m", config, weights, VOCAB)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_carried_steps_in_onnx_runtime_are_those_of_the_definition(
    cell: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_kernel", lambda *_: eager)
    model, network = model_of(cell, layers=layers)
    session, tokens = CellSession(export_network(network), device="cpu"), np.random.default_rng(0)
    state = model.zero_state(1)
    for _ in range(STEPS // CHUNK):
        part = tokens.integers(0, len(VOCAB), CHUNK)
        with torch.no_grad():
            expected, state = model(torch.from_numpy(part)[:, None], state)
        y = expected[:, 0].numpy()
        found = np.stack([session.step(int(token))[0].copy() for token in part])
        assert (np.abs(found - y) <= BOUND * np.maximum(1, np.abs(y))).all()


@pytest.mark.parametrize("cell", CELLS)
def test_onnx_reference_agrees_with_onnx_runtime_for_two_sequences(cell: str) -> None:
    made = export_network(random_network(ModelConfig(cell=cell, hidden=8, layers=2, residual=True, embed=0), VOCAB))
    session = CellSession(made, device="cpu", batch=2)
    evaluator = ReferenceEvaluator(onnx.ModelProto.FromString(made.data))
    state = {name: np.zeros((2, 2, 8), np.float32) for name in made.metadata.state_map.values()}
    for tokens in np.random.default_rng(0).integers(0, len(VOCAB), (10, 2)):
        outputs = dict(zip(evaluator.output_names, evaluator.run(None, {"token": tokens, **state}), strict=True))
        state = {into: outputs[out] for out, into in made.metadata.state_map.items()}
        np.testing.assert_allclose(session.step(tokens), outputs["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_file_holds_the_operators_of_its_step_and_no_weight_that_the_cell_lacks(cell: str) -> None:
    made = traced(CELLS[cell])
    graph = onnx.ModelProto.FromString(
        export_network(random_network(ModelConfig(cell=cell, hidden=8), VOCAB)).data
    ).graph
    found = Counter(node.op_type for node in graph.node)
    assert operators(CELLS[cell]) <= set(found)
    assert found["MatMul"] == len(made.stages) + 1  # of the head
    assert [value.name for value in graph.input[1:]] == [f"{name}_in" for name in made.state]
    recurrent = [tensor for tensor in graph.initializer if tensor.name.startswith("l0_gh")]
    assert sum(tensor.dims[1] for tensor in recurrent) == made.R * 8


@pytest.mark.parametrize("cell", WRITTEN)
def test_cells_of_old_are_written_as_they_were(cell: str) -> None:
    """What hosts have run for long, and what a step of it costs, does not change with what newer cells need."""
    graph = onnx.ModelProto.FromString(export_network(random_network(ModelConfig(cell=cell, hidden=8), VOCAB)).data)
    assert [node.op_type for node in graph.graph.node] == WRITTEN[cell]


@pytest.mark.parametrize("cell", CELLS)
def test_eight_bits_have_a_fixed_scale_where_a_bound_follows_and_only_there(cell: str) -> None:
    """An operand without a bound is measured at each step: a fixed scale would cut it off."""
    made = traced(CELLS[cell])
    bounds = [largest(stage.operand, made.cell) for stage in made.stages] + [made.cell.bounds.get("h")]
    network = random_network(ModelConfig(cell=cell, hidden=8), VOCAB)
    graph = onnx.ModelProto.FromString(export_network(network, CellOptions("int8")).data).graph
    found = Counter(node.op_type for node in graph.node)
    assert found["DynamicQuantizeLinear"] == bounds.count(None)
    assert found["QuantizeLinear"] == len(bounds) - bounds.count(None)


class Strange(Cell):
    """What no other has: operands made of x, states that are one another, gates of several letters, truth values."""

    name = family = "strange"
    year, paper, vectors = 2026, "", ("bend", "flat")
    gates = ("low", "keep", "mix", "v1", "out")
    words = dict(zip(gates, gates, strict=True))
    state = ("h", "a", "i", "j", "w")

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        keep = sigmoid(x.keep + W(tanh(x.v1) * x.low, "keep").keep)
        mix = x.mix * W(keep * s.a + p.flat, "mix").mix
        a = keep * s.a + exp(-softplus(p.bend)) * mix
        above = is_positive(a - 0.125)
        h = select(above, tanh(a), -0.5 * x.low) + above * p.flat - maximum(x.out, -1e-3)
        return Parts(h=h, a=a, i=s.h, j=a, w=sigmoid(x.out)), Parts()

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Not called: the cell is not trained."""
        none = 0.0 * d.h
        gates = Parts(keep=none, mix=none)
        before = Parts(dict.fromkeys(s, Wt(keep=none) + Wt(mix=none)))
        return Gradients(before, Parts(dict.fromkeys(Strange.gates, none)), gates, Parts(bend=none, flat=none))


class StrangeConfig(ModelConfig):
    """A network of such cells."""

    @property
    def recurrent(self) -> Cell:
        return STRANGE


STRANGE = Strange()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_cell_unlike_all_others_is_exported_as_it_is_written(layers: int, tmp_path: Path) -> None:
    config = StrangeConfig(hidden=5, embed=3, layers=layers, residual=True)
    network, tokens = random_network(config, VOCAB), np.random.default_rng(0).integers(0, len(VOCAB), 40).tolist()
    state, expected = reference.zero_state(config), []
    for token in tokens:
        logits, state = reference.step(config, network.weights, token, state)
        expected.append(logits)
    test = TestVector(tuple(tokens), tuple(expected[-1].tolist()))
    metadata = CellMetadata("strange", "", layers, 5, VOCAB, test, state_map=state_map(STRANGE))
    for precision, bound in (("fp32", BOUND), ("int8", 0.3)):
        model = build(config, network.weights, metadata, CellOptions(precision))
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found, names = [], [output.name for output in session.get_outputs()]
        states = {name: np.zeros((layers, 1, 5), np.float32) for name in metadata.state_map.values()}
        for token in tokens:
            outputs = dict(zip(names, session.run(None, {"token": np.array([token]), **states}), strict=True))
            states = {into: outputs[out] for out, into in metadata.state_map.items()}
            found.append(outputs["logits"][0])
        np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)
    if CC is not None:
        c_source.write_c(network, test, tmp_path)
        program = compile_sources(tmp_path, ["cell.c", "cell_weights.c", "example.c"], "-O1")
        assert subprocess.run([program, "a", "1"], capture_output=True, timeout=60, check=False).returncode == 0
