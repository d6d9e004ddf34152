"""How much memory and time a cell's graph would take, from its shapes alone: a small file may ask for terabytes."""

from math import prod

import onnx
from onnx import helper, shape_inference

from tuirnn.cellfile.contract import CellMetadata
from tuirnn.errors import CellFileError, one_line

MAX_VALUE = 8 * 2**20
"""Elements of one value for one sequence; the widest cell's gates have 262,144, the longest vocabulary 2 million."""

MAX_VALUES = 16 * MAX_VALUE
"""Elements of all values of a call together."""

MAX_WORK = 2 * 10**10
"""Multiplications that the test vector may take: some seconds."""


def check_sizes(model: onnx.ModelProto, metadata: CellMetadata) -> None:
    """Refuse a graph whose values or products are far larger than any cell's.

    Raises:
        CellFileError: too large, or shapes that do not fit together.
    """
    shapes = _shapes(model)
    total = work = 0
    for node in model.graph.node:
        for name in filter(None, node.output):
            size = prod(shapes.get(name, [0]))
            if size > MAX_VALUE:
                raise CellFileError(f"its value '{one_line(name, 40)}' would have {size:,} elements")
            total += size
        if node.op_type in ("MatMul", "MatMulInteger", "Gemm"):
            work += prod(shapes.get(node.output[0], [0])) * max(shapes.get(node.input[0], [1]), default=1)
    work *= -(-len(metadata.test.inputs) // metadata.unroll)
    if total > MAX_VALUES or work > MAX_WORK:
        raise CellFileError(f"it would take {total:,} elements of memory and {work:,} multiplications to verify")


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shape of every value for a batch of one; a size that only the host decides counts as one.

    Weights become inputs of the same shape, so that nothing large is copied; sizes and axes stay.
    """
    graph = onnx.GraphProto()
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.raw_data) <= 4096:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    graph.name = "shapes"
    try:
        light = helper.make_model(graph, opset_imports=model.opset_import, ir_version=max(model.ir_version, 4))
        inferred = shape_inference.infer_shapes(light, check_type=True, strict_mode=True).graph
    except (shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
        raise CellFileError(f"its shapes do not fit together: {one_line(error, 120)}") from None
    return {
        value.name: [dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
