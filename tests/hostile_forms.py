"""Hostile cell files by someone who knows the format: forms that no exporter writes, with a new hash.

Each attack changes a good cell of a kind ('plain': LSTM in float32; 'sampler': with the sampler inside; 'int8';
'dividing': a cell with a division in its mathematics and several states) and is to be refused with one line
before ONNX Runtime sees it.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import FINGERPRINT

Model = onnx.ModelProto
Change = Callable[[Model], Any]
"""Changes a model in place; returns bytes where no model can hold the result."""
Changes = dict[str, Change]
Attack = tuple[str, Change]
"""The kind of cell that is changed, and the change."""


def made(attack: Attack, good: dict[str, bytes]) -> bytes:
    """The bytes of an attack on a copy of a good cell, with a new hash."""
    model = Model.FromString(good[attack[0]])
    changed = attack[1](model)
    return changed if isinstance(changed, bytes) else signed(model)


def signed(model: Model) -> bytes:
    """An attacker can also compute the hash of the changed file."""
    prop = next((prop for prop in model.metadata_props if prop.key == FINGERPRINT), None)
    if prop is not None:
        prop.value = guard.fingerprint(model)
    return model.SerializeToString(deterministic=True)


def _first(model: Model, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def _constant(model: Model, name: str, value: Any) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _weight(model: Model, name: str = "table") -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _property(model: Model, key: str) -> onnx.StringStringEntryProto:
    return next(prop for prop in model.metadata_props if prop.key == "tuirnn." + key)


def _more(
    kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("more",), **attributes: Any
) -> Callable[..., None]:
    """One more node at the end."""
    return lambda model: model.graph.node.append(helper.make_node(kind, inputs, outputs, **attributes))


def _chain(kind: str, start: str, count: int, other: Sequence[str] = (), **attributes: Any) -> Callable[..., None]:
    """Nodes one after the other, each on the one before."""

    def change(model: Model) -> None:
        names = [start, *(f"chain{i}" for i in range(count))]
        for before, after in itertools.pairwise(names):
            model.graph.node.append(helper.make_node(kind, [before, *other], [after], **attributes))

    return change


def _inputs(kind: str, *names: str) -> Callable[[Model], None]:
    """Other inputs for the first node of a kind; '=' keeps one, '+' adds it."""

    def change(model: Model) -> None:
        node = _first(model, kind)
        old = list(node.input)
        node.ClearField("input")
        node.input.extend(old[i] if name == "=" else name for i, name in enumerate(names))

    return change


def _computed(kind: str, number: int) -> Callable[[Model], None]:
    """An input that decides a size comes from the host's own top_k."""

    def change(model: Model) -> None:
        node = _first(model, kind)
        node.input[number] = "top_k"

    return change


def _with(*changes: Callable[[Model], Any]) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        for one in changes:
            one(model)

    return change


def _dims(*dims: int) -> Callable[[Model], None]:
    """A tensor that says it has these dimensions."""
    return lambda model: model.graph.initializer.add(name="w", data_type=1, dims=dims, raw_data=b"\0" * 4)


def _attribute(kind: str, **attributes: Any) -> Callable[[Model], None]:
    """More attributes for the first node of a kind."""
    return lambda model: _first(model, kind).attribute.extend(
        helper.make_attribute(name, value) for name, value in attributes.items()
    )


def _axis(kind: str, value: int) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        next(one for one in _first(model, kind).attribute if one.name == "axis").i = value

    return change


def _metadata(key: str, value: str) -> Callable[[Model], None]:
    return lambda model: setattr(_property(model, key), "value", value)


def _varint(number: int) -> bytes:
    parts = b""
    while number > 127:
        parts, number = parts + bytes([number & 127 | 128]), number >> 7
    return parts + bytes([number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _graph_with(parts: bytes) -> Callable[[Model], bytes]:
    """A file in whose graph these bytes follow what is good: what would take long to build as objects."""

    def change(model: Model) -> bytes:
        graph = model.graph.SerializeToString()
        model.ClearField("graph")
        return model.SerializeToString() + _field(7, graph + parts)

    return change


def _big_test(model: Model) -> None:
    """Every test vector as long as allowed, in a cell whose step is not small."""
    name = _constant(model, "square", np.zeros((2000, 2000), np.float32))
    _constant(model, "row", np.zeros((1, 2000), np.float32))
    model.graph.node.append(helper.make_node("MatMul", ["row", name], ["wide"]))
    _property(model, "test_vector").value = json.dumps({"tokens": [1] * 1024, "logits": [0.0], "atol": 0.1})
    for i in range(2):
        model.graph.node.append(helper.make_node("MatMul", ["wide" if not i else f"w{i - 1}", name], [f"w{i}"]))


def _doubling(model: Model) -> None:
    for i in range(16):
        name = f"twice{i - 1}" if i else "h_in"
        model.graph.node.append(helper.make_node("Concat", [name, name], [f"twice{i}"], axis=-1))


def _outer(model: Model) -> None:
    _constant(model, "long", np.zeros((4000, 1), np.float32))
    _constant(model, "flat", np.zeros((1, 4000), np.float32))
    model.graph.node.append(helper.make_node("Add", ["long", "flat"], ["area"]))


def _typed(keep_raw: bool) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        tensor = _weight(model)
        tensor.float_data.extend(numpy_helper.to_array(tensor).ravel().tolist()[:8])
        if not keep_raw:
            tensor.ClearField("raw_data")

    return change


def _twice(field: str) -> Callable[[Model], None]:
    """The first of a repeated field of the graph once more."""

    def change(model: Model) -> None:
        values = getattr(model.graph, field)
        values.append(values[0])

    return change


def _same_output(model: Model) -> None:
    node = model.graph.node.add()
    node.CopyFrom(model.graph.node[1])


def _reversed_nodes(model: Model) -> None:
    nodes = list(model.graph.node)[::-1]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)


def _logits_are_stored(model: Model) -> None:
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "unused"
    shape = [1, len(json.loads(_property(model, "vocab").value)["symbols"]) + 1]
    _constant(model, "logits", np.zeros(shape, np.float32))


def _rotated(model: Model) -> dict[str, str]:
    """The state map with each output fed to another input."""
    states: dict[str, str] = json.loads(_property(model, "state_map").value)
    return dict(zip(states, [*list(states.values())[1:], "h_in"], strict=True))


PLAIN: Changes = {
    # arity and names
    "Max with an empty name": _more("Max", ["h_in", ""]),
    "Min with an empty name": _more("Min", ["token", ""]),
    "Max of one": _more("Max", ["h_in"]),
    "Max of three": _more("Max", ["h_in"] * 3),
    "Max of none": _more("Max", []),
    "Concat with an empty name": _more("Concat", ["h_in", ""], axis=0),
    "Concat of nothing": _more("Concat", [], axis=0),
    "Concat of 5,000": _more("Concat", ["h_in"] * 5000, axis=0),
    "Add of one": _inputs("Add", "="),
    "Add with an empty name": _inputs("Add", "=", ""),
    "MatMul with an empty name": _inputs("MatMul", "", "="),
    "Split without sizes": _inputs("Split", "="),
    "Split with empty sizes": _inputs("Split", "=", ""),
    "Squeeze without axes": _inputs("Squeeze", "="),
    "node without outputs": lambda model: _first(model, "Tanh").ClearField("output"),
    "output without a name": lambda model: _first(model, "Split").output.__setitem__(0, ""),
    "Tanh with two outputs": lambda model: _first(model, "Tanh").output.append("second"),
    "input that nothing makes": _inputs("Add", "=", "nowhere"),
    # sizes
    "area by broadcasting": _outer,
    "products in a chain": _with(lambda m: _constant(m, "sq", np.zeros((300, 300), np.float32)),
                                 _chain("MatMul", "sq", 200, ["sq"])),
    "doubling": _doubling,
    "an hour of test vectors": _big_test,
    "rank 9": _with(lambda m: _constant(m, "ax", np.array([0])), _chain("Unsqueeze", "h_in", 9, ["ax"])),
    "300,000 dimensions": _dims(*[1] * 300_000),
    "rank 65": _dims(*[1] * 65),
    "dimensions of 2^62": _dims(2**62, 4),
    "product beyond 64 bits": _dims(2**32, 2**32),
    "a dimension of 0": lambda model: model.graph.initializer.add(name="w", data_type=1, dims=[0]),
    "input of 100,000 dimensions": lambda model: [
        model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1) for _ in range(100_000)
    ],
    "batch of 2^40": lambda model: [
        setattr(value.type.tensor_type.shape.dim[axis], "dim_value", 2**40)
        for values, axis in ((model.graph.input[:1], 0), (model.graph.input[1:], 1), (model.graph.output[:1], 0),
                             (model.graph.output[1:], 1)) for value in values
    ],
    # one value a name, one field a tensor, one value a key
    "initializer twice": _twice("initializer"),
    "input twice": _twice("input"),
    "output twice": _twice("output"),
    "initializer with an input's name": lambda model: _constant(model, "token", np.array([1])),
    "node that makes an initializer": lambda model: _first(model, "Tanh").output.__setitem__(0, "table"),
    "node that makes an input": lambda model: _first(model, "Tanh").output.__setitem__(0, "h_in"),
    "two nodes, one output": _same_output,
    "nodes in reverse": _reversed_nodes,
    "node that reads itself": _more("Add", ["more", "more"]),
    "raw and typed data": _typed(True),
    "typed data": _typed(False),
    "metadata key twice": lambda model: model.metadata_props.append(_property(model, "vocab")),
    "sha256 twice": lambda model: model.metadata_props.append(_property(model, "sha256")),
    "two opsets": lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx", 13)),
    "opset 9": lambda model: setattr(model.opset_import[0], "version", 9),
    "opset 99": lambda model: setattr(model.opset_import[0], "version", 99),
    "IR 99": lambda model: setattr(model, "ir_version", 99),
    "value_info that lies": lambda model: model.graph.value_info.append(
        helper.make_tensor_value_info("l0_a", TensorProto.FLOAT, [1])
    ),
    "logits that are stored": _logits_are_stored,
    # attributes and types
    "axis twice": _attribute("Split", axis=0),
    "axis as text": _with(lambda m: _first(m, "Split").ClearField("attribute"), _attribute("Split", axis="0")),
    "axis as a list": _with(lambda m: _first(m, "Split").ClearField("attribute"), _attribute("Split", axis=[0])),
    "axis as another type": lambda model: setattr(_first(model, "Split").attribute[0], "type", 1),
    "axis out of range": _axis("Split", -(2**62)),
    "unlisted attribute": _attribute("Add", broadcast=1),
    "Gather along columns": _attribute("Gather", axis=1),
    "exponential without a sampler": _more("Exp", ["h_in"]),
    "Atanh in a cell without": _more("Atanh", ["h_in"]),
    "Neg in a cell without": _more("Neg", ["h_in"]),
    "comparison in a cell without": _more("Greater", ["h_in", "h_in"]),
    "division in a cell without": _more("Div", ["h_in", "h_in"]),
    "Cast to text": _more("Cast", ["h_in"], to=TensorProto.STRING),
    "Cast to double": _more("Cast", ["h_in"], to=TensorProto.DOUBLE),
    "Add of a token": _more("Add", ["h_in", "token"]),
    "Tanh of a token": _more("Tanh", ["token"]),
    "Relu of codes": _with(lambda m: _constant(m, "codes", np.zeros(3, np.int8)), _more("Relu", ["codes"])),
    "rows that are not there": _with(lambda m: _constant(m, "far", np.array([2**40])),
                                     _more("Gather", ["table", "far"])),
    "shapes that do not fit": _more("Add", ["h_in", "table"]),
    "lanes that meet weights": _more("MatMul", ["table", "h_in"]),
    "a weight of 1e38": lambda model: _weight(model).CopyFrom(
        numpy_helper.from_array(np.full_like(numpy_helper.to_array(_weight(model)), 1e38), "table")
    ),
    "weights of a type unknown": lambda model: setattr(_weight(model), "data_type", 99),
    "a name of 20 MB": lambda model: setattr(_first(model, "Tanh"), "name", "x" * 20_000_000),
    # many parts
    "4 million inputs": _graph_with(_field(1, _field(4, b"Add") + _field(1, b"table") * 4_000_000)),
    "500,000 attributes": _graph_with(_field(1, _field(4, b"Add") + _field(5, b"\x0a\x01a") * 500_000)),
    "4 million empty nodes": _graph_with(_field(1, b"") * 4_000_000),
    "a million metadata keys": lambda model: signed(model) + _field(14, b"\x0a\x01a") * 1_000_000,
    "a million opsets": lambda model: signed(model) + _field(8, b"\x10\x0d") * 1_000_000,
    "graph twice": lambda model: signed(model) + _field(7, model.graph.SerializeToString()),
    "dimensions in one field": _graph_with(_field(5, _field(1, b"\x01" * 300_000))),
    "unknown field": lambda model: signed(model) + _field(999, b"x"),
    "number longer than need be": lambda model: signed(model).replace(b"\x08\x07", b"\x08\x87\x80\x00", 1),
    "8 million empty lists": _metadata("vocab", '{"kind": "word", "symbols": [' + "[]," * 8_000_000 + "[]]}"),
    "symbols without rows": _metadata(
        "vocab", json.dumps({"kind": "word", "symbols": [f"w{i}" for i in range(10**6)]})
    ),
}  # fmt: skip
SAMPLER: Changes = {
    "Slice with a computed end": _computed("Slice", 2),
    "Slice with computed axes": _computed("Slice", 3),
    "Slice with steps": lambda model: _first(model, "Slice").input.append("top_k"),
    "Slice of everything": _with(
        lambda m: _constant(m, "all", np.array([2**40])), _inputs("Slice", "=", "=", "all", "=")
    ),
    "Squeeze with computed axes": _computed("Squeeze", 1),
    "Unsqueeze with computed axes": _computed("Unsqueeze", 1),
    "Split with computed sizes": _computed("Split", 1),
    "ReduceSum with computed axes": _computed("ReduceSum", 1),
    "ReduceSum without axes": _inputs("ReduceSum", "="),
    "CumSum with a computed axis": _computed("CumSum", 1),
    "TopK with a k of its own": _with(
        lambda m: _constant(m, "many", np.array([2**40])), _inputs("TopK", "=", "many")
    ),
    "TopK with a computed k": lambda model: [
        model.graph.node.insert(0, helper.make_node("Concat", ["top_k"], ["k2"], axis=0)),
        _inputs("TopK", "=", "k2")(model),
    ],
    "area of what TopK keeps": _more("Mul", ["best", "best"]),
    "division by logits": _inputs("Div", "=", "logits"),
    "ArgMax of the last": _attribute("ArgMax", select_last_index=1),
    "CumSum backwards": _attribute("CumSum", reverse=1),
}  # fmt: skip
INT8: Changes = {
    "scale of zero": lambda model: _weight(model, "step_1").CopyFrom(
        numpy_helper.from_array(np.float32(0), "step_1")
    ),
    "scale for each column": lambda model: _weight(model, "step_1").CopyFrom(
        numpy_helper.from_array(np.ones(3, np.float32), "step_1")
    ),
    "MatMulInteger without zero points": _inputs("MatMulInteger", "=", "="),
    "MatMulInteger with an empty name": lambda model: _first(model, "MatMulInteger").input.__setitem__(2, ""),
    "QuantizeLinear without a zero point": lambda model: _first(model, "QuantizeLinear").input.pop(),
    "quantized along an axis": _attribute("QuantizeLinear", axis=0),
}  # fmt: skip
DIVIDING: Changes = {
    "division by a stored zero": _with(lambda m: _constant(m, "nil", np.float32(0)), _inputs("Div", "=", "nil")),
    "division by a vector with a zero": _with(
        lambda m: _constant(m, "row", np.array([1, 0, -1], np.float32)), _more("Div", ["row", "row"])
    ),
    "division by a stored matrix": _more("Div", ["table", "table"]),
    "division of whole numbers": _more("Div", ["token", "token"]),
    "Div with an attribute": _attribute("Div", axis=0),
    "Exp of a token": _more("Exp", ["token"]),
    "Atanh of two": _more("Atanh", ["h_in", "h_in"]),
    "Abs with two outputs": _more("Abs", ["h_in"], ["more", "most"]),
    "Neg of codes": _with(lambda m: _constant(m, "codes", np.zeros(3, np.int8)), _more("Neg", ["codes"])),
    "Max of three numbers": _more("Max", ["h_in"] * 3),
    "an operator of another cell": _more("Sqrt", ["h_in"]),
    "a comparison that it does not make": _more("Greater", ["h_in", "h_in"]),
    "an operator of the sampler": _more("LessOrEqual", ["h_in", "h_in"]),
    "a number that is not finite": lambda model: _constant(model, "far", np.float32(np.inf)),
    "states in another order": lambda model: _metadata("state_map", json.dumps(_rotated(model)))(model),
    "a state less": lambda model: [
        _metadata("state_map", json.dumps({"h_out": "h_in"}))(model), model.graph.output.pop()
    ],
    "a state's input less": lambda model: model.graph.input.pop(),
    "a state of another width": lambda model: setattr(
        model.graph.input[-1].type.tensor_type.shape.dim[2], "dim_value", 7
    ),
    "another cell's name": _metadata("cell", "lstm"),
}  # fmt: skip

KINDS = {"plain": PLAIN, "sampler": SAMPLER, "int8": INT8, "dividing": DIVIDING}


def attacks() -> dict[str, Attack]:
    """Every attack by its name."""
    return {name: (kind, change) for kind, changes in KINDS.items() for name, change in changes.items()}
