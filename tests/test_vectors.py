"""What the test vectors of a cell file notice: rows of the table, lanes that mix, symbols, opening; and old files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.guard import inspect
from tuirnn.errors import CellFileError
from tuirnn.export.exporter import export_network, export_run
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.verify import verify
from tuirnn.settings.model import ModelConfig

CELLS: dict[str, tuple[ModelConfig, CellOptions]] = {
    "lstm": (ModelConfig(cell="lstm", hidden=24, embed=8), CellOptions()),
    "gru of two layers": (ModelConfig(cell="gru", layers=2, hidden=24, embed=8), CellOptions(opset=18)),
    "rnn in fp16": (ModelConfig(cell="rnn", hidden=32, embed=8), CellOptions("fp16")),
    "one at a time": (ModelConfig(cell="lstm", hidden=24, embed=8), CellOptions(static_batch=1)),
    "three at a time": (ModelConfig(cell="lstm", hidden=24, embed=8), CellOptions(static_batch=3)),
}


@pytest.fixture(params=CELLS)
def made(request: pytest.FixtureRequest) -> TrustedCell:
    config, options = CELLS[request.param]
    return export_network(random_network(config), options)


def spoiled(cell: TrustedCell, change: Callable[[onnx.ModelProto], Any]) -> TrustedCell:
    model = onnx.ModelProto.FromString(cell.data)
    change(model)
    return TrustedCell(model.SerializeToString(), cell.metadata)


def test_every_token_is_read(made: TrustedCell) -> None:
    read = {token for lane in made.metadata.lanes for token in lane.inputs}
    assert read == set(range(len(made.metadata.vocab)))
    assert all(len(lane.largest) == len(lane.inputs) for lane in made.metadata.lanes)
    assert made.metadata.test_steps >= 16 + 66


def test_a_changed_row_is_noticed(made: TrustedCell) -> None:
    """Every tenth row, each element off by a twentieth of what rows differ by."""
    rng = np.random.default_rng(0)
    for row in range(0, len(made.metadata.vocab), 10):

        def change(model: onnx.ModelProto, row: int = row) -> None:
            table = next(t for t in model.graph.initializer if t.name == "table")
            values = numpy_helper.to_array(table).copy()
            values[row] += (0.05 * values.std() * rng.choice([-1, 1], values.shape[1])).astype(values.dtype)
            table.CopyFrom(numpy_helper.from_array(values, "table"))

        with pytest.raises(CellFileError, match="test vector"):
            verify(spoiled(made, change), device="cpu")


@pytest.mark.parametrize("name", ["lstm", "gru of two layers", "three at a time"])
def test_mixed_lanes_are_noticed(name: str) -> None:
    """A step that adds the mean over the batch: with one sequence, or the same one twice, it is right."""
    config, options = CELLS[name]
    made = export_network(random_network(config), options)

    def mix(model: onnx.ModelProto) -> None:
        axes = {"axes": [1]} if model.opset_import[0].version < 18 else {}
        product = next(node for node in model.graph.node if node.op_type == "MatMul")
        source = product.input[0]
        for node in (
            helper.make_node("ReduceMean", [source] if axes else [source, "mean_axis"], ["mean"], keepdims=1, **axes),
            helper.make_node("Sub", [source, source], ["nothing"]),
            helper.make_node("Add", ["nothing", "mean"], ["all"]),
        )[::-1]:
            model.graph.node.insert(list(model.graph.node).index(product), node)
        if not axes:
            model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "mean_axis"))
        product.input[0] = "all"

    mixed = spoiled(made, mix)
    CellSession(mixed, device="cpu")  # the vector of one sequence sees nothing
    with pytest.raises(CellFileError, match="test vector"):
        verify(mixed, device="cpu")


def with_metadata(cell: TrustedCell, **changes: Any) -> TrustedCell:
    values = {**vars(cell.metadata), **changes}
    return TrustedCell(cell.data, CellMetadata(**values))


def test_the_text_proves_symbols_and_opening(small_run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    made = export_run(small_run)
    test = made.metadata.text
    assert test is not None
    assert 1 <= test.length <= 50
    verify(made, device="cpu")
    symbols = list(made.metadata.vocab.symbols)
    at = symbols.index(test.text[0])
    symbols[at], symbols[at - 1] = symbols[at - 1], symbols[at]
    other = type(made.metadata.vocab)("char", tuple(symbols))
    with pytest.raises(CellFileError, match="after its own prime"):
        verify(with_metadata(made, vocab=other), device="cpu")


@pytest.mark.parametrize("tokens", ["char", "byte", "word"])
def test_every_tokeniser_has_its_text(tokens: str, trained: Callable[..., RunPaths]) -> None:
    made = export_run(trained(cell="gru", tokens=tokens))
    test = made.metadata.text
    assert verify(made, device="cpu") == "CPU"
    if test is not None:
        assert made.metadata.vocab.unknown(test.prime) or tokens == "byte"


def test_old_files_are_as_good_as_before(made: TrustedCell) -> None:
    old = export_network(random_network(ModelConfig(cell="lstm", hidden=24, embed=8)), proofs=False)
    assert not old.metadata.lanes
    assert old.metadata.text is None
    assert not {"tuirnn.test_lanes", "tuirnn.test_text"} & set(old.metadata.to_strings())
    assert verify(TrustedCell(old.data, inspect(old.data, "old").metadata), device="cpu") == "CPU"
    again = CellMetadata.from_strings(made.metadata.to_strings())
    assert (again.lanes, again.text, again.test) == (made.metadata.lanes, made.metadata.text, made.metadata.test)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("test_lanes", "[]"),
        ("test_lanes", '[{"tokens": [1], "logits": [0]}, {"tokens": [1, 2], "logits": [0]}]'),
        ("test_lanes", '[{"tokens": [1], "logits": [0], "largest": [1, 2]}, {"tokens": [1], "logits": [0]}]'),
        ("test_lanes", '[{"tokens": [9999], "logits": [0]}, {"tokens": [1], "logits": [0]}]'),
        ("test_text", '{"prime": 1, "text": "a", "length": 1}'),
        ("test_text", '{"prime": "", "text": "a", "length": 1000000000}'),
        ("test_text", "[]"),
    ],
)
def test_damaged_vectors_are_refused(key: str, value: str) -> None:
    made = export_network(random_network(ModelConfig(cell="gru", hidden=8, embed=4)))
    with pytest.raises(CellFileError, match="damaged"):
        CellMetadata.from_strings({**made.metadata.to_strings(), "tuirnn." + key: value})
