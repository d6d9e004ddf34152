"""Whether a file may be handed to ONNX's checker and a runtime: bounded, plain, finite, and as its metadata say."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tuirnn.cellfile.contract import FINGERPRINT, LOGITS, TOKEN, CellMetadata
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import read_bounded

MAX_BYTES = 1 << 30
MAX_NODES = 20_000

OPERATORS = frozenset(
    [
        "Add",
        "Concat",
        "Gather",
        "Gemm",
        "Identity",
        "MatMul",
        "Mul",
        "Relu",
        "Sigmoid",
        "Split",
        "Squeeze",
        "Sub",
        "Tanh",
        "Unsqueeze",
    ]
)
"""Everything a cell file may compute with."""


@dataclass(frozen=True)
class TrustedCell:
    """A file that passed: its bytes, and what it says of itself."""

    data: bytes
    metadata: CellMetadata


def read_cell(path: Path) -> TrustedCell:
    """Read and inspect a cell file.

    Raises:
        CellFileError: the first reason not to trust it, with the file's name.
    """
    return inspect(read_bounded(path, MAX_BYTES, CellFileError, follow_links=True), one_line(path.name))


def inspect(data: bytes, name: str) -> TrustedCell:
    """Inspect the bytes of a cell file; `name` is for the error."""
    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise CellFileError(f"{name} is not an ONNX file, or a damaged one: {one_line(error, 80)}") from None
    try:
        _check_strings(model)
        _refuse_foreign(model)
        metadata = CellMetadata.from_strings({prop.key: prop.value for prop in model.metadata_props})
        _check_weights(model.graph.initializer)
        _check_interface(model.graph, metadata)
        _check_fingerprint(model)
    except CellFileError as error:
        raise CellFileError(f"{name} is refused: {error}") from None
    return TrustedCell(data, metadata)


def fingerprint(model: onnx.ModelProto) -> str:
    """sha256 over the operators, the weights and the metadata but the fingerprint itself, in the file's order."""
    digest = hashlib.sha256()
    for node in model.graph.node:
        digest.update(node.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(f"{tensor.name}\0{tensor.data_type}\0{list(tensor.dims)}\0".encode())
        digest.update(tensor.raw_data)
    for prop in sorted(model.metadata_props, key=lambda prop: prop.key):
        if prop.key != FINGERPRINT:
            digest.update(f"{prop.key}\0{prop.value}\0".encode())
    return digest.hexdigest()


def _check_fingerprint(model: onnx.ModelProto) -> None:
    stored = [prop.value for prop in model.metadata_props if prop.key == FINGERPRINT]
    if stored != [fingerprint(model)]:
        raise CellFileError("its content does not match its own sha256; it is damaged or was changed, export it anew")


def _check_strings(model: onnx.ModelProto) -> None:
    """Protobuf hands over a string that is not UTF-8 as bytes; no later check should have to think of that."""
    graph = model.graph
    named = [*graph.node, *graph.input, *graph.output, *graph.initializer]
    strings: list[object] = [item.name for item in named]
    strings += [word for node in graph.node for word in (node.op_type, node.domain, *node.input, *node.output)]
    strings += [word for prop in model.metadata_props for word in (prop.key, prop.value)]
    strings += [opset.domain for opset in model.opset_import]
    if not all(isinstance(word, str) for word in strings):
        raise CellFileError("its names are not UTF-8")


def _refuse_foreign(model: onnx.ModelProto) -> None:
    if not model.HasField("graph") or not model.graph.node:
        raise CellFileError("it holds no graph")
    if model.functions or model.training_info:
        raise CellFileError("it brings functions or training graphs of its own; a cell has plain operators only")
    if any(opset.domain not in ("", "ai.onnx") for opset in model.opset_import) or len(model.opset_import) != 1:
        raise CellFileError("it needs operators from a foreign domain")
    if len(model.graph.node) > MAX_NODES:
        raise CellFileError(f"it has {len(model.graph.node):,} nodes; a cell has at most {MAX_NODES:,}")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise CellFileError(
                f"it uses the operator '{one_line(node.domain + ':' + node.op_type, 60)}', which no cell needs"
            )
        if any(
            attribute.HasField("g")
            or attribute.graphs
            or attribute.HasField("t")
            or attribute.tensors
            or attribute.ref_attr_name
            for attribute in node.attribute
        ):
            raise CellFileError(f"its operator {node.op_type} carries a graph or a tensor inside")
    if model.graph.sparse_initializer or model.graph.quantization_annotation:
        raise CellFileError("it holds sparse or annotated weights")


def _check_weights(tensors: Iterable[onnx.TensorProto]) -> None:
    for tensor in tensors:
        name = one_line(tensor.name, 40)
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise CellFileError(f"its weight '{name}' lies in another file; a cell is one file")
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64):
            raise CellFileError(f"its weight '{name}' has a type that no cell uses")
        size = 4 if tensor.data_type == onnx.TensorProto.FLOAT else 8
        expected = int(np.prod([max(dim, -1) for dim in tensor.dims], dtype=object)) * size
        if any(dim < 0 for dim in tensor.dims) or expected != len(tensor.raw_data):
            raise CellFileError(f"its weight '{name}' holds {len(tensor.raw_data):,} bytes, its shape {expected:,}")
        if not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise CellFileError(f"its weight '{name}' is not finite")


def _check_interface(graph: onnx.GraphProto, metadata: CellMetadata) -> None:
    states = dict(metadata.state_map)
    inputs, outputs = {TOKEN, *states.values()}, {LOGITS, *states}
    for kind, values, names in (("inputs", graph.input, inputs), ("outputs", graph.output, outputs)):
        found = [value.name for value in values]
        if sorted(found) != sorted(names):
            raise CellFileError(
                f"its {kind} are {', '.join(map(one_line, found))}; expected {', '.join(sorted(names))}"
            )
    for value in (*graph.input, *graph.output):
        tensor = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        batch = dims[1 if value.name in states or value.name in states.values() else 0] if dims else -1
        expected = {TOKEN: [batch], LOGITS: [batch, len(metadata.vocab)]}.get(
            value.name, [metadata.layers, batch, metadata.hidden]
        )
        element = onnx.TensorProto.INT64 if value.name == TOKEN else onnx.TensorProto.FLOAT
        if dims != expected or tensor.elem_type != element or (batch is not None and batch < 1):
            raise CellFileError(f"its '{value.name}' has shape {dims}, its metadata say {expected}")
