"""The cell file: what export writes, what a stranger's file may do, and that ONNX Runtime agrees with PyTorch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hostile import ATTACKS
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tuirnn.cellfile import forms, guard
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata, state_map
from tuirnn.cellfile.values import BOOL, F32, FREE, I64, Value
from tuirnn.cells import CELLS, Cell
from tuirnn.errors import CellFileError, ConfigError, RunError, VerificationError
from tuirnn.export.exporter import export_run, write_cell
from tuirnn.export.options import IR_VERSIONS, CellOptions
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.session import CellSession
from tuirnn.variants import cell_of

VARIANTS: list[dict[str, Any]] = [
    {"cell": "rnn"},
    {"cell": "rnn", "nonlinearity": "relu", "lr": 0.001},
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "gru", "reset": "before"},
    {"cell": "lstm", "layers": 3},
    {"cell": "rnn", "layers": 3},
    {"cell": "gru", "layers": 3, "residual": True},
    {"cell": "gru", "layers": 2, "embed": 0, "projection": 6},
    {"cell": "lstm", "tied": True, "embed": 24},
    {"cell": "lstm", "tokens": "word"},
    {"cell": "gru", "tokens": "byte"},
    {"cell": "gru", "dtype": "float64"},
]


@pytest.fixture(params=VARIANTS, ids=lambda changes: " ".join(map(str, changes.values())))
def any_run(request: pytest.FixtureRequest, trained: Callable[..., RunPaths]) -> RunPaths:
    """A trained run of every kind of network; for every cell see test_exported_cells.py."""
    return trained(**request.param)


@pytest.fixture(scope="module")
def exported(small_run: RunPaths) -> TrustedCell:
    return export_run(small_run)


# ── right ────────────────────────────────────────────────────────────────────────


def test_onnx_runtime_agrees_with_torch(any_run: RunPaths) -> None:
    from tuirnn import drift

    found = drift.measure(any_run, steps=300, greedy=100)
    assert found.worst <= found.bound == drift.DRIFT_BOUND
    assert found.greedy == 100


def test_onnx_reference_agrees_with_onnx_runtime(any_run: RunPaths) -> None:
    cell = export_run(any_run)
    session = CellSession(cell, device="cpu", batch=2)
    reference = ReferenceEvaluator(onnx.ModelProto.FromString(cell.data))
    shape = (cell.metadata.layers, 2, cell.metadata.hidden)
    state = {name: np.zeros(shape, np.float32) for name in cell.metadata.state_map.values()}
    rng = np.random.default_rng(0)
    for _ in range(20):
        tokens = rng.integers(0, len(cell.metadata.vocab), 2)
        outputs = dict(zip(reference.output_names, reference.run(None, {"token": tokens, **state}), strict=True))
        state = {into: outputs[out] for out, into in cell.metadata.state_map.items()}
        np.testing.assert_allclose(session.step(tokens), outputs["logits"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("opset", sorted(IR_VERSIONS))
def test_every_opset_gives_the_same_logits(opset: int, small_run: RunPaths, exported: TrustedCell) -> None:
    other = export_run(small_run, options=CellOptions(opset=opset))
    model = onnx.ModelProto.FromString(other.data)
    assert (model.opset_import[0].version, model.ir_version) == (opset, IR_VERSIONS[opset])
    one, two = (CellSession(cell) for cell in (exported, other))
    for token in range(10):
        assert (one.step(token) == two.step(token)).all()


def test_static_batch(small_run: RunPaths) -> None:
    cell = export_run(small_run, options=CellOptions(static_batch=3))
    session = CellSession(cell)
    with pytest.raises(CellFileError, match="batch of 3"):
        CellSession(cell, batch=2)
    assert session.step(np.array([1, 2, 3])).shape == (3, len(cell.metadata.vocab))
    for wrong in ({"opset": 12}, {"static_batch": 0}, {"ir": 6}, {"unroll": 0}, {"precision": "int4", "opset": 20}):
        with pytest.raises(ConfigError, match="--"):
            CellOptions(**wrong)


def test_metadata_round_trip_and_twin(exported: TrustedCell, tmp_path: Path) -> None:
    assert CellMetadata.from_strings(exported.metadata.to_strings()) == exported.metadata
    said_file = json.loads(write_cell(exported, tmp_path / "deep" / "c.onnx").read_text())
    assert said_file["tuirnn.state_map"] == {"h_out": "h_in", "c_out": "c_in"}
    assert said_file["inputs"]["token"] == {"dtype": "int64", "shape": ["batch"]}
    assert said_file["tuirnn.vocab"]["symbols"] == list(exported.metadata.vocab.symbols)
    assert guard.read_cell(tmp_path / "deep" / "c.onnx").metadata == exported.metadata


def test_snapshots_rewind_bit_for_bit(exported: TrustedCell) -> None:
    session = CellSession(exported)
    for token in (1, 2, 3):
        session.step(token)
    kept = session.snapshot()
    after = [session.step(token).copy() for token in (4, 5, 6, 7)]
    session.restore(kept)
    assert all((session.step(token) == logits).all() for token, logits in zip((4, 5, 6, 7), after, strict=True))
    session.reset()
    fresh = CellSession(exported)
    assert (session.step(9) == fresh.step(9)).all()


# ── refused ──────────────────────────────────────────────────────────────────────


def test_a_wrong_export_is_not_written(exported: TrustedCell, tmp_path: Path) -> None:
    """The last check of an export: a graph whose weights are not those of the test vector."""
    model = onnx.ModelProto.FromString(exported.data)
    table = next(t for t in model.graph.initializer if t.name == "table")
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * 1.01, "table"))
    with pytest.raises(VerificationError, match="test vector"):
        write_cell(TrustedCell(model.SerializeToString(), exported.metadata), tmp_path / "c.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_cell_and_its_twin_are_replaced_together(exported: TrustedCell, tmp_path: Path) -> None:
    path = tmp_path / "c.onnx"
    said_file = write_cell(exported, path)
    said_file.write_text("the former sidecar")
    path.unlink()
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(CellFileError, match="choose another place"):
        write_cell(exported, path)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["c.json", "c.onnx"]
    assert said_file.read_text() == "the former sidecar"


def test_a_damaged_checkpoint_is_not_exported(small_run: RunPaths, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(small_run.root, root)
    paths = RunPaths(root)
    path = paths.step(checkpoint.load(paths).step) / checkpoint.MODEL
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"model\.safetensors is damaged.*newest good"):
        export_run(paths)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_files_are_refused(attack: str, exported: TrustedCell) -> None:
    model = onnx.ModelProto.FromString(exported.data)
    ATTACKS[attack](model)
    with pytest.raises(CellFileError) as error:
        guard.inspect(model.SerializeToString(), "evil.onnx")
    assert str(error.value).startswith("evil.onnx")
    assert "\n" not in str(error.value)


H, TRUTH, TOKEN, WIDE = (
    Value(F32, (1, FREE, 8)), Value(BOOL, (FREE, 8)), Value(I64, (FREE,)), Value(F32, (FREE, 9))
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs"),
    [
        ("Greater", [H, H], [BOOL]),
        ("Greater", [H], []),
        ("Greater", [TOKEN, TOKEN], []),
        ("Greater", [TRUTH, TRUTH], []),
        ("Greater", [H, WIDE], []),
        ("Where", [TRUTH, H, H], [F32]),
        ("Where", [H, H, H], []),
        ("Where", [TRUTH, H], []),
        ("Where", [TRUTH, H, WIDE], []),
        ("Where", [TRUTH, H, TOKEN], []),
        ("Max", [H, H], [F32]),
        ("Max", [H, H, H], []),
        ("Div", [H, H], [F32]),
        ("Div", [H, Value(F32, (), constant=True, numbers=(0.0,))], []),
        ("Div", [H, Value(F32, (8,), constant=True, nearest=1e-9)], []),
        ("Div", [H, Value(F32, (8,), constant=True, nearest=0.5)], [F32]),
        ("Sqrt", [TRUTH], []),
        ("Abs", [TOKEN], []),
        ("Atanh", [H, H], []),
        ("Neg", [H], [F32]),
        ("Add", [TRUTH, TRUTH], []),
    ],
)
def test_an_operator_of_a_step_has_one_form(kind: str, inputs: list[Value], outputs: list[int]) -> None:
    """Where the cell's mathematics needs it; elsewhere none of these."""
    names = [f"i{number}" for number in range(len(inputs))]
    node, values = helper.make_node(kind, names, ["made"]), dict(zip(names, inputs, strict=True))
    needs = frozenset({"Greater", "Where", "Max", "Div", "Sqrt", "Abs", "Atanh", "Neg"})
    if not outputs:
        with pytest.raises(CellFileError, match=f"its {kind} 'made' "):
            forms.outputs_of(node, values, set(), needs)
        return
    assert [value.dtype for value in forms.outputs_of(node, values, set(), needs)] == outputs
    with pytest.raises(CellFileError, match="is only for a cell with"):
        forms.outputs_of(node, values, set(), frozenset())


def test_a_truth_value_becomes_a_number_of_32_bits() -> None:
    for kind, fits in ((TensorProto.FLOAT, True), (TensorProto.FLOAT16, False)):
        node = helper.make_node("Cast", ["truth"], ["made"], to=kind)
        if fits:
            assert forms.outputs_of(node, {"truth": TRUTH}, set(), frozenset())[0].dtype == F32
        else:
            with pytest.raises(CellFileError, match="to"):
                forms.outputs_of(node, {"truth": TRUTH}, set(), frozenset())


@given(data=st.data())
@settings(max_examples=300)
def test_mutated_files_get_one_line_or_run(data: st.DataObject, exported: TrustedCell) -> None:
    raw = bytearray(exported.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            raw[at] = data.draw(st.integers(0, 255))
        else:
            del raw[at : at + data.draw(st.integers(1, 64))]
    try:
        CellSession(guard.inspect(bytes(raw), "m.onnx"), device="cpu")
    except CellFileError as error:
        assert "\n" not in str(error)


@given(bit=st.integers(0, 10**9))
@settings(max_examples=500)
def test_a_flipped_bit_is_noticed_or_means_nothing(bit: int, exported: TrustedCell) -> None:
    """Operators, weights and metadata are hashed; what is left says nothing that a cell computes with."""
    raw = bytearray(exported.data)
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    try:
        cell = guard.inspect(bytes(raw), "f.onnx")
    except CellFileError:
        return
    good, bad = (onnx.ModelProto.FromString(data) for data in (exported.data, cell.data))
    assert list(good.graph.node) == list(bad.graph.node)
    assert list(good.graph.initializer) == list(bad.graph.initializer)
    assert cell.metadata == exported.metadata


def test_a_foreign_onnx_file_says_how_to_make_one(tmp_path: Path) -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g",
                              [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])],
                              [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])])  # fmt: skip
    path = tmp_path / "resnet.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    with pytest.raises(CellFileError, match="tuirnn export RUN"):
        guard.read_cell(path)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_file_names_its_cell_and_its_states(cell: Cell) -> None:
    option = cell.option[1] if cell.option else ""
    assert cell_of(cell.family, option) is cell
    assert cell_of(cell.family, "unheard of").family == cell.family
    assert list(state_map(cell).items()) == [(f"{name}_out", f"{name}_in") for name in cell.state]
