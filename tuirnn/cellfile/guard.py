"""Whether a file may be handed to ONNX's checker and a runtime: bounded, plain, finite, and as its metadata say."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tuirnn.cellfile.contract import FINGERPRINT, CellMetadata
from tuirnn.cellfile.sizes import check_sizes
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import read_bounded

MAX_BYTES = 1 << 30
MAX_NODES = 20_000
MAX_PARTS = 50_000
"""Nodes, weights and metadata together."""

GRAPH = 7
"""Number of the field `graph` in ONNX's ModelProto."""

STEP = {
    "Add", "Concat", "Gather", "Gemm", "Identity", "MatMul", "Mul", "Relu", "Sigmoid", "Split", "Squeeze", "Sub",
    "Tanh", "Unsqueeze",
}  # fmt: skip
FEWER_BITS = {"Cast", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"}
SAMPLER = {
    "ArgMax", "CumSum", "Div", "Exp", "GreaterOrEqual", "LessOrEqual", "Max", "Min", "ReduceSum", "Slice", "TopK",
    "Where",
}  # fmt: skip
OPERATORS = frozenset(STEP | FEWER_BITS | SAMPLER)
"""Everything a cell file may compute with."""


FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
BITS: dict[int, int] = {
    onnx.TensorProto.FLOAT: 32,
    onnx.TensorProto.INT64: 64,
    onnx.TensorProto.FLOAT16: 16,
    onnx.TensorProto.INT8: 8,
    onnx.TensorProto.UINT8: 8,
    onnx.TensorProto.INT4: 4,
}
"""Types that weights may have, and the bits of an element."""

ELEMENTS = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}
FREE = "batch"
"""Stands for a batch axis without a fixed size."""


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
        _bound_entries(data, 0, len(data), 2)
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
        check_sizes(model, metadata)
    except CellFileError as error:
        raise CellFileError(f"{name} is refused: {error}") from None
    return TrustedCell(data, metadata)


def _bound_entries(data: bytes, at: int, end: int, depth: int) -> None:
    """Refuse a message with more parts than a cell has, before the parser makes an object of each.

    Walks the protobuf wire format of the file and of its graph (field 7), skipping what lies inside their parts.

    Raises:
        DecodeError: not protobuf, or far too many parts.
    """
    for _ in range(MAX_PARTS):
        if at >= end:
            return
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == 2:
            size, at = _varint(data, at, end)
            if key >> 3 == GRAPH and depth > 1:
                _bound_entries(data, at, min(at + size, end), depth - 1)
            at += size
        elif kind == 0:
            _, at = _varint(data, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise DecodeError("not an ONNX message")
    raise DecodeError(f"it has more than {MAX_PARTS:,} parts")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise DecodeError("it ends in the middle")


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
        bits = BITS.get(tensor.data_type)
        if bits is None:
            raise CellFileError(f"its weight '{name}' has a type that no cell uses")
        count = int(np.prod([max(dim, -1) for dim in tensor.dims], dtype=object))
        expected = (count * bits + 7) // 8
        if any(dim < 0 for dim in tensor.dims) or expected != len(tensor.raw_data):
            raise CellFileError(f"its weight '{name}' holds {len(tensor.raw_data):,} bytes, its shape {expected:,}")
        if tensor.data_type in FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise CellFileError(f"its weight '{name}' is not finite")


def _check_interface(graph: onnx.GraphProto, metadata: CellMetadata) -> None:
    fed = next((value.type.tensor_type.shape.dim for value in graph.input if value.name == metadata.names[0]), None)
    fixed = fed[0].dim_value if fed and fed[0].HasField("dim_value") else None
    if fixed is not None and fixed < 1:
        raise CellFileError(f"its batch axis is {fixed}")
    sides = metadata.interface(fixed or FREE)
    for kind, values, expected in zip(("inputs", "outputs"), (graph.input, graph.output), sides, strict=True):
        found = [value.name for value in values]
        if sorted(found) != sorted(expected):
            raise CellFileError(
                f"its {kind} are {', '.join(map(one_line, found))}; expected {', '.join(sorted(expected))}"
            )
        for value in values:
            tensor, (dtype, shape) = value.type.tensor_type, expected[value.name]
            dims = [dim.dim_value if dim.HasField("dim_value") else FREE for dim in tensor.shape.dim]
            if dims != shape or tensor.elem_type != ELEMENTS[dtype]:
                raise CellFileError(f"its '{value.name}' has shape {dims}, its metadata say {shape}")
