"""Random changes to the structure of a cell file, with a new hash, as by someone who knows the format."""

import contextlib
import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tuirnn.cellfile import forms, guard
from tuirnn.cellfile.contract import FINGERPRINT

Model = onnx.ModelProto

KINDS = [*sorted(forms.FORMS), "Reshape", "Transpose", "Pow", "Softmax", "Clip", "LSTM", "Loop", "Sum", "Mean"]
UNARY, BINARY = ("Sigmoid", "Tanh", "Relu", "Exp", "Identity"), ("Add", "Sub", "Mul", "Div", "Max", "MatMul")
ATTRIBUTES = (
    "axis", "axes", "keepdims", "to", "block_size", "alpha", "transA", "transB", "largest", "sorted", "saturate",
    "exclusive", "reverse", "select_last_index", "num_outputs", "fmod",
)  # fmt: skip
VALUES = (
    "",
    "1",
    "2",
    "-1",
    "999999",
    "null",
    "[]",
    "{}",
    "[[[[",
    "\x1b[2J",
    "classify",
    "lm",
    "forecast",
    "gru",
    "int8",
)
NUMBERS = [0.0, -0.0, 1e-40, 1e-20, 1.0, -1.0, 300.0, 1e20, 3e38, -3e38]


def mutate(model: Model, draw: random.Random) -> None:
    """One to three changes of the structure, in place, and the hash made to fit."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        with contextlib.suppress(ValueError, IndexError, TypeError, OverflowError):
            draw.choice(CHANGES)(model, draw)
    for prop in model.metadata_props:
        if prop.key == FINGERPRINT:
            prop.value = guard.fingerprint(model)


def _node(model: Model, draw: random.Random) -> onnx.NodeProto:
    return draw.choice(list(model.graph.node))


def _names(model: Model) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in node.output]
    return [*made, *(value.name for value in (*graph.input, *graph.initializer)), ""]


def _operator(model: Model, draw: random.Random) -> None:
    node = _node(model, draw)
    family = next((kinds for kinds in (UNARY, BINARY) if node.op_type in kinds), None)
    node.op_type = draw.choice(family if family and draw.random() < 0.7 else KINDS)


def _input(model: Model, draw: random.Random) -> None:
    node = _node(model, draw)
    at = draw.randrange(len(node.input))
    match draw.randrange(5):
        case 0:
            node.input.append(draw.choice(_names(model)))
        case 1:
            del node.input[at]
        case 2:
            node.input[at] = ""
        case 3:
            values = list(node.input)
            draw.shuffle(values)
            node.ClearField("input")
            node.input.extend(values)
        case _:
            node.input[at] = draw.choice(_names(model))


def _output(model: Model, draw: random.Random) -> None:
    node = _node(model, draw)
    at = draw.randrange(len(node.output))
    match draw.randrange(4):
        case 0:
            node.output.append("surplus")
        case 1:
            del node.output[at]
        case 2:
            node.output[at] = draw.choice(_names(model))
        case _:
            values = list(node.output)
            draw.shuffle(values)
            node.ClearField("output")
            node.output.extend(values)


def _attribute(model: Model, draw: random.Random) -> None:
    node = _node(model, draw)
    number = draw.choice((-9, -3, -2, -1, 0, 1, 2, 3, 7, 16, 32, 2**31, -(2**63)))
    if node.attribute and draw.random() < 0.6:
        attribute = draw.choice(list(node.attribute))
        if draw.random() < 0.2:
            node.attribute.remove(attribute)
        else:
            attribute.i = number
        return
    name = draw.choice(ATTRIBUTES)
    node.attribute.append(helper.make_attribute(name, draw.choice((number, float(number), [number], "x"))))


def _weight(model: Model, draw: random.Random) -> None:
    tensor = draw.choice(list(model.graph.initializer))
    array = numpy_helper.to_array(tensor)
    match draw.randrange(7):
        case 0:
            array = array.T
        case 1:
            array = array.reshape(draw.choice(([-1], [1, *array.shape], [*array.shape, 1], list(array.shape)[::-1])))
        case 2:
            tensor.data_type = draw.randrange(24)
            return
        case 3:
            tensor.dims.append(draw.choice((0, 1, 2, -1, 2**40)))
            return
        case 4:
            array = array[: max(1, array.shape[0] // 2)] if array.ndim else array
        case 5:
            array = (array.astype(np.float64) * draw.choice((0, -1, 0.5, 2, 1e6))).astype(array.dtype)
        case _:
            array = array.copy()
            if array.dtype.kind == "f":
                array.flat[draw.randrange(array.size)] = draw.choice(NUMBERS)
            elif array.dtype.kind in "iu" and array.dtype.itemsize > 1:
                array.flat[draw.randrange(array.size)] = draw.choice((-(2**63), -2, -1, 0, 1, 2, 3, 8, 2**31, 2**62))
            else:
                raw = bytearray(tensor.raw_data)
                raw[draw.randrange(len(raw))] = draw.randrange(256)
                tensor.raw_data = bytes(raw)
                return
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _initializers(model: Model, draw: random.Random) -> None:
    tensors = list(model.graph.initializer)
    one, other = draw.choice(tensors), draw.choice(tensors)
    if draw.random() < 0.5:
        one.name, other.name = other.name, one.name
    else:
        model.graph.initializer.add().CopyFrom(one)
        if draw.random() < 0.5:
            model.graph.initializer[-1].name += "_more"


def _nodes(model: Model, draw: random.Random) -> None:
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    at, other = draw.randrange(len(nodes)), draw.randrange(len(nodes))
    match draw.randrange(4):
        case 0:
            nodes[at], nodes[other] = nodes[other], nodes[at]
        case 1:
            nodes.insert(at, nodes[other])
        case 2:
            del nodes[at]
        case _:
            again = onnx.NodeProto.FromString(nodes[at].SerializeToString())
            again.ClearField("output")
            again.output.extend(f"{name}_again" for name in nodes[at].output)
            nodes.insert(at + 1, again)
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)


def _spliced(model: Model, draw: random.Random) -> None:
    """A new node between a value and one that reads it."""
    at = draw.randrange(len(model.graph.node))
    node, name = model.graph.node[at], f"spliced{draw.randrange(10**6)}"
    slot = draw.randrange(len(node.input))
    kind = draw.choice((*UNARY, *BINARY, "Min", "Concat", "Cast", "CumSum", "DynamicQuantizeLinear", "Squeeze", "TopK"))
    second = draw.choice([node.input[slot], *_names(model)])
    inputs = [node.input[slot]] if kind in UNARY else [node.input[slot], second]
    model.graph.node.insert(at, helper.make_node(kind, inputs, [name]))
    model.graph.node[at + 1].input[slot] = name


def _metadata(model: Model, draw: random.Random) -> None:
    prop = draw.choice(list(model.metadata_props))
    match draw.randrange(4):
        case 0:
            model.metadata_props.add().CopyFrom(prop)
        case 1:
            model.metadata_props.remove(prop)
        case 2:
            other = draw.choice(list(model.metadata_props))
            prop.value, other.value = other.value, prop.value
        case _:
            prop.value = draw.choice((*VALUES, prop.value[:-1], prop.value * 2))


def _interface(model: Model, draw: random.Random) -> None:
    value = draw.choice([*model.graph.input, *model.graph.output])
    match draw.randrange(4):
        case 0:
            value.type.tensor_type.elem_type = draw.randrange(24)
        case 1:
            value.name = draw.choice(_names(model))
        case 2:
            dims = value.type.tensor_type.shape.dim
            dims[draw.randrange(len(dims))].dim_value = draw.choice((0, 1, 2, 3, 8, -1, 2**40))
        case _:
            for every in (*model.graph.input, *model.graph.output):
                for dim in every.type.tensor_type.shape.dim:
                    if dim.dim_param:
                        dim.dim_value = 3


def _versions(model: Model, draw: random.Random) -> None:
    if draw.random() < 0.7:
        model.opset_import[0].version = draw.randrange(11, 26)
    else:
        model.ir_version = draw.randrange(3, 14)


CHANGES: tuple[Callable[[Model, random.Random], None], ...] = (
    _operator, _operator, _input, _input, _output, _attribute, _weight, _weight, _weight, _initializers, _nodes,
    _spliced, _spliced, _metadata, _interface, _versions,
)  # fmt: skip
