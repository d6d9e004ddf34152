"""Every cell there is, exported: carried steps against the definition on torch, and what its file is made of."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save

from tuirnn.cellfile.guard import TrustedCell
from tuirnn.cells import CELLS
from tuirnn.codegen.onnx import operators
from tuirnn.codegen.ranges import largest
from tuirnn.codegen.trace import traced
from tuirnn.config import ModelConfig
from tuirnn.export.exporter import export_network
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.export.weights import read_weights
from tuirnn.kernels import eager, layer
from tuirnn.models import SequenceModel
from tuirnn.runtime.session import CellSession
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
    session, tokens = CellSession(export_network(network).trusted, device="cpu"), np.random.default_rng(0)
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
    session = CellSession(TrustedCell(made.data, made.metadata), device="cpu", batch=2)
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
