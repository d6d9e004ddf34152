"""The guard: checks a file before it is run. Its sizes, numbers and operators must be those of its metadata."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tuirnn.cellfile.cell import MAX_BYTES, InspectedCell
from tuirnn.cellfile.contract import FINGERPRINT, CellMetadata
from tuirnn.cellfile.sizes import TYPES, check_graph
from tuirnn.cellfile.values import F16, F32, FREE, I4, I8, I64, MAX_DIM, MAX_RANK, U8
from tuirnn.cellfile.vectors import FLOAT32_MAX
from tuirnn.cellfile.wire import Pages, check_parts
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import read_bounded

GLANCE_FROM = 2**25
"""Bytes from which a file is checked before it is read into memory."""

OPSETS, IR_VERSIONS = range(13, 24), range(7, 12)
"""Versions that files of this schema may have."""

FLOATS = (F32, F16)
BITS: dict[int, int] = {F32: 32, I64: 64, F16: 16, I8: 8, U8: 8, I4: 4}
"""Element type of weights -> bits per element."""

LARGEST, NEVER = 1e6, np.float32(-1e30)
"""Largest absolute weight; the sampler's replacement for minus infinity."""

MAX_COMMAS, MAX_BRACKETS = 20_000, 4_000
"""Most commas (besides one per symbol) and brackets in a metadata value: a parser creates objects for them."""


def read_cell(path: Path) -> InspectedCell:
    """Read and inspect a cell file.

    Raises:
        CellFileError: the first reason to refuse it, with the file's name.
    """
    return inspect(read_file(path), one_line(path.name))


def read_file(path: Path) -> bytes:
    """Read the bytes of a cell file; checks a large file before reading it.

    Raises:
        CellFileError: the file cannot be read, or has fields that no cell has.
    """
    name = one_line(path.name)

    def glance(file: BinaryIO, size: int) -> None:
        if size > GLANCE_FROM:
            with refusals(name):
                check_parts(Pages(file), size)

    return read_bounded(path, MAX_BYTES, CellFileError, follow_links=True, glance=glance)


def fixed_batch(cell: InspectedCell) -> int | None:
    """Return the fixed size of a cell's batch axis; None if it is dynamic."""
    return _fixed_batch(onnx.ModelProto.FromString(cell.data).graph, cell.metadata)


def inspect(data: bytes, name: str) -> InspectedCell:
    """Inspect a cell file in memory.

    Raises:
        CellFileError: the first reason to refuse it, with `name`.
    """
    with refusals(name):
        check_parts(data, len(data))
        model = onnx.ModelProto.FromString(data)
        _check_strings(model)
        _refuse_foreign(model)
        _check_weights(model.graph.initializer)
        metadata = CellMetadata.from_strings(_properties(model))
        _check_version(model)
        _check_numbers(model.graph.initializer, metadata)
        batch = _check_interface(model.graph, metadata)
        _check_fingerprint(model)
        check_graph(model.graph, metadata, batch)
    return InspectedCell(data, metadata)


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Add the file's name to errors, and raise a parser's errors as CellFileError."""
    try:
        yield
    except (DecodeError, ValueError, RecursionError) as error:
        raise CellFileError(f"{name} is not an ONNX file, or a damaged one: {one_line(error, 80)}") from None
    except CellFileError as error:
        raise CellFileError(f"{name} is refused: {error}") from None


def fingerprint(model: onnx.ModelProto) -> str:
    """Compute the sha256 of operators, weights and metadata (without the fingerprint), in the file's order."""
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
        raise CellFileError("its content does not match its own sha256; it is damaged or was changed; export it again")


def _check_strings(model: onnx.ModelProto) -> None:
    """Refuse names that are not UTF-8: protobuf returns them as bytes, which later checks do not expect."""
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
        raise CellFileError("it has no graph")
    if any(opset.domain not in ("", "ai.onnx") for opset in model.opset_import) or len(model.opset_import) != 1:
        raise CellFileError("it needs operators from a foreign domain")


def _check_version(model: onnx.ModelProto) -> None:
    if model.opset_import[0].version not in OPSETS or model.ir_version not in IR_VERSIONS:
        raise CellFileError(
            f"it needs opset {model.opset_import[0].version} of IR {model.ir_version}; this tuirnn reads opsets "
            f"{OPSETS[0]} to {OPSETS[-1]} of IR {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}; update tuirnn or export it again"
        )


def _properties(model: onnx.ModelProto) -> dict[str, str]:
    """Return the metadata; refuses repeated keys and values that are far too long for the weights."""
    found = {prop.key: prop.value for prop in model.metadata_props}
    if len(found) != len(model.metadata_props):
        raise CellFileError("its metadata have the same key twice")
    rows = sum(max(tensor.dims, default=0) for tensor in model.graph.initializer)
    for key, value in found.items():
        if value.count(",") > MAX_COMMAS + rows or value.count("[") + value.count("{") > MAX_BRACKETS:
            raise CellFileError(f"its metadata '{one_line(key, 40)}' are longer than those of any cell")
    return found


def _check_weights(tensors: Iterable[onnx.TensorProto]) -> None:
    for tensor in tensors:
        name = one_line(tensor.name, 40)
        bits = BITS.get(tensor.data_type)
        if bits is None:
            raise CellFileError(f"its weight '{name}' has a type that no cell has")
        if len(tensor.dims) > MAX_RANK or not all(0 < dim <= MAX_DIM for dim in tensor.dims):
            raise CellFileError(f"its weight '{name}' has a shape that no cell has: {one_line(list(tensor.dims), 60)}")
        expected = (prod(tensor.dims) * bits + 7) // 8
        if expected != len(tensor.raw_data):
            raise CellFileError(f"its weight '{name}' has {len(tensor.raw_data):,} bytes, expected {expected:,}")


def _check_numbers(tensors: Iterable[onnx.TensorProto], metadata: CellMetadata) -> None:
    """Refuse weights that are not finite or far too large: if products overflow, results depend on their order."""
    most = FLOAT32_MAX if metadata.learned.points else LARGEST  # a forecaster's weights include the data's units
    for tensor in tensors:
        if tensor.data_type not in FLOATS:
            continue
        array = numpy_helper.to_array(tensor)
        if len(tensor.dims) < 2:
            array = array[array != NEVER]
        if not float(np.abs(array).max(initial=0)) <= most:  # also refuses NaN
            raise CellFileError(f"its weight '{one_line(tensor.name, 40)}' has numbers too large or not finite")


def _fixed_batch(graph: onnx.GraphProto, metadata: CellMetadata) -> int | None:
    shapes = (value.type.tensor_type.shape.dim for value in graph.input if value.name == metadata.names[0])
    dims = list(next(shapes, ()))[bool(metadata.block) :]  # a block has an axis of steps before that of the batch
    return dims[0].dim_value if dims and dims[0].HasField("dim_value") else None


def _check_interface(graph: onnx.GraphProto, metadata: CellMetadata) -> int | str:
    """Check inputs and outputs against the metadata; returns the size of the batch axis, or `FREE`."""
    fixed = _fixed_batch(graph, metadata)
    if fixed is not None and fixed < 1:
        raise CellFileError(f"its batch axis is {fixed}, expected 1 or more")
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
            if dims != shape or tensor.elem_type != TYPES[dtype]:
                raise CellFileError(f"its '{value.name}' has shape {dims}, expected {shape}")
    return fixed or FREE
