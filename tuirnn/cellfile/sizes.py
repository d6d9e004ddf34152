"""Shapes and costs of a cell file's graph, computed from its inputs to its outputs without running it.

A cell uses each weight about once per step. The number of weights in the file therefore bounds the elements and
multiplications of a step, so that a small file cannot use much memory or time.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from tuirnn.cellfile import forms
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.contract import Shape as Declared
from tuirnn.cellfile.values import F32, I64, Value, need
from tuirnn.codegen.onnx import operators
from tuirnn.errors import CellFileError, one_line

SLACK = 2**20
"""Elements and multiplications that a step may need regardless of its weights."""

MAX_SIZE = 2**26
"""Most elements of all values of a call, including a fixed batch."""

MAX_WORK = 6 * 10**9
"""Most multiplications and elements of all test vectors together: some seconds."""

SMALL = 512
"""Most elements of a constant of sizes or axes."""

TYPES = {"float32": F32, "int64": I64}


def check_graph(graph: onnx.GraphProto, metadata: CellMetadata, batch: int | str) -> None:
    """Check every node; refuse operators in forms that no cell has, and costs far above those of a cell.

    Args:
        graph: its weights have the declared sizes.
        metadata: defines the inputs and outputs.
        batch: size of the batch axis, or `values.FREE`.
    Raises:
        CellFileError: the first reason to refuse it.
    """
    inputs, outputs = metadata.interface(batch)
    values: dict[str, Value] = {}
    _add(values, ((name, _declared(one)) for name, one in inputs.items()))
    _add(values, ((tensor.name, _stored(tensor)) for tensor in graph.initializer))
    weights = sum(value.size for value in values.values() if value.constant)
    own = {
        forms.SAMPLER: metadata.sampler, forms.FEWER_BITS: metadata.precision != "fp32", forms.POOLING: metadata.pools
    }  # fmt: skip
    parts, step = {part for part, there in own.items() if there}, operators(metadata.definition)
    size = work = 0
    makes: set[str] = set()
    for node in graph.node:
        results = forms.outputs_of(node, values, parts, step)
        _add(values, zip(node.output, results, strict=True))
        makes.update(node.output)
        size += sum(value.size for value in results)
        if node.op_type in ("MatMul", "MatMulInteger", "Gemm"):
            inner, _ = values[node.input[1]].shape  # a product has none of a free size
            work += results[0].size * int(inner)
    for name, one in outputs.items():
        found, expected = values.get(name), _declared(one)
        need(found is not None and name in makes, "no node computes its output '{}'", name)
        need(found is None or found.stands is None, "its '{}' are codes without their scale", name)
        fits = found is not None and (found.dtype, found.shape) == (expected.dtype, expected.shape)
        need(fits, "its '{}' has shape {}, expected {}", name, found and found.shape, expected.shape)
    _bound(size, work, weights, metadata, batch if isinstance(batch, int) else 1)


def _bound(size: int, work: int, weights: int, metadata: CellMetadata, batch: int) -> None:
    most = batch * metadata.steps * (SLACK + 2 * weights)
    need(
        size <= min(most, MAX_SIZE),
        "one call would compute values of {:,} elements from {:,} weights",
        size,
        weights,
    )
    need(work <= most, "one call would need {:,} multiplications for {:,} weights", work, weights)
    calls = -(-metadata.test_steps // metadata.steps)
    need((work + size) * calls <= MAX_WORK, "its verification would need {:,} operations", (work + size) * calls)


def _add(values: dict[str, Value], named: Iterable[tuple[str, Value]]) -> None:
    """Add values; refuses a name that exists."""
    for name, value in named:
        if not name or name in values:
            raise CellFileError(
                f"two of its values are called '{one_line(name, 40)}'" if name else "a value has no name"
            )
        values[name] = value


def _declared(one: Declared) -> Value:
    return Value(TYPES[one[0]], tuple(one[1]))


def _stored(tensor: onnx.TensorProto) -> Value:
    shape = tuple(tensor.dims)
    value = Value(tensor.data_type, shape, constant=True)
    if value.dtype == I64 and value.size <= SMALL:
        return replace(value, numbers=tuple(numpy_helper.to_array(tensor).ravel().tolist()))
    if value.dtype == F32 and len(shape) <= 1:
        array = numpy_helper.to_array(tensor)
        numbers = None if shape else (float(array),)
        return replace(value, numbers=numbers, nearest=float(np.abs(array).min()))
    return value
