"""Hostile cell files: changes to a good cell that a loader must refuse before it runs anything."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import FINGERPRINT

Model = onnx.ModelProto
Change = Callable[[Model], Any]
"""Changes a model in place."""


def weights(model: Model) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name == "table")


def external(model: Model) -> None:
    tensor = weights(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def function(model: Model) -> None:
    node = helper.make_node("Add", ["a", "a"], ["b"])
    model.functions.append(helper.make_function("x", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 13)]))


def subgraph(model: Model) -> None:
    body = helper.make_graph([], "g", [], [])
    model.graph.node.append(helper.make_node("Loop", ["a"], ["b"], body=body))


def hidden_subgraph(model: Model) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("g", helper.make_graph([], "g", [], [])))


def not_finite(model: Model) -> None:
    array = numpy_helper.to_array(weights(model)).copy()
    array[0, 0] = np.nan
    weights(model).CopyFrom(numpy_helper.from_array(array, "table"))


def lying_shape(model: Model) -> None:
    weights(model).dims[0] = 1 << 40


def meta(key: str, value: str) -> Change:
    def change(model: Model) -> None:
        next(p for p in model.metadata_props if p.key == "tuirnn." + key).value = value

    return change


def signed(model: Model) -> None:
    """An attacker can also compute the hash of the changed file."""
    next(p for p in model.metadata_props if p.key == FINGERPRINT).value = guard.fingerprint(model)


def doubling(model: Model) -> None:
    names = ["table", *(f"twice{i}" for i in range(40))]
    model.graph.node.extend(helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names))
    signed(model)


def broadcast(model: Model) -> None:
    for name, shape in (("tall", (500_000, 1)), ("wide", (1, 500_000))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    model.graph.node.append(helper.make_node("Mul", ["tall", "wide"], ["area"]))
    signed(model)


def products(model: Model) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1000, 1000), np.float32), "square"))
    names = ["square", *(f"product{i}" for i in range(100))]
    model.graph.node.extend(helper.make_node("MatMul", [a, "square"], [b]) for a, b in itertools.pairwise(names))
    signed(model)


def no_such_axis(model: Model) -> None:
    """It loads, and fails in the first step."""
    split = next(node for node in model.graph.node if node.op_type == "Split")
    split.attribute[0].i = -(1 << 36)
    signed(model)


def nested_functions(model: Model) -> None:
    """Each calls the one before it ten times: 10^30 operators in two kilobytes."""
    for depth in range(30):
        kind = f"F{depth - 1}" if depth else "Add"
        inputs = ["a"] if depth else ["a", "a"]
        nodes = [helper.make_node(kind, inputs, [f"b{i}"], domain="x" if depth else "") for i in range(10)]
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("x", 1)]
        model.functions.append(helper.make_function("x", f"F{depth}", ["a"], ["b9"], nodes, opsets))
    model.graph.node.append(helper.make_node("F29", ["h_in"], ["never"], domain="x"))


def endless_loop(model: Model) -> None:
    names = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("again", "same")]
    count = helper.make_tensor_value_info("count", TensorProto.INT64, [])
    body = helper.make_graph([helper.make_node("Identity", ["again"], ["same"])], "g", [count, names[0]], names[1:])
    model.graph.node.append(helper.make_node("Loop", ["", "always"], [], body=body))


def half(model: Model) -> None:
    tensor = weights(model)
    tensor.data_type = TensorProto.FLOAT16
    tensor.raw_data = b"\x00\x7c" * (len(tensor.raw_data) // 4)  # infinity


def four_bits(model: Model) -> None:
    weights(model).data_type = TensorProto.INT4


def changed(model: Model) -> None:
    array = numpy_helper.to_array(weights(model)).copy()
    array[0, 0] += 1
    weights(model).CopyFrom(numpy_helper.from_array(array, "table"))


def rename_input(model: Model) -> None:
    model.graph.input[0].name = "tokens"


ATTACKS: dict[str, Change] = {
    "external data": external,
    "function": function,
    "subgraph": subgraph,
    "hidden subgraph": hidden_subgraph,
    "not finite": not_finite,
    "lying shape": lying_shape,
    "negative shape": lambda model: weights(model).dims.__setitem__(0, -1),
    "foreign domain": lambda model: setattr(model.graph.node[0], "domain", "evil"),
    "foreign opset": lambda model: model.opset_import.append(helper.make_opsetid("evil", 1)),
    "unlisted operator": lambda model: setattr(model.graph.node[0], "op_type", "LSTM"),
    "no metadata": lambda model: model.ClearField("metadata_props"),
    "no graph": lambda model: model.ClearField("graph"),
    "newer schema": meta("schema", "2"),
    "foreign cell": meta("cell", "transformer"),
    "deep json": meta("vocab", "[" * 100_000),
    "state map": meta("state_map", '{"h_out": "c_in", "c_out": "h_in"}'),
    "test vector": meta("test_vector", '{"tokens": [-1], "logits": [1]}'),
    "absurd hidden": meta("hidden", "9" * 50),
    "other hidden": meta("hidden", "25"),
    "other layers": meta("layers", "2"),
    "smaller vocab": meta("vocab", '{"kind": "char", "symbols": ["a"]}'),
    "renamed input": rename_input,
    "lost output": lambda model: model.graph.output.pop() and None,
    "tensor in attribute": lambda model: model.graph.node[0].attribute.append(
        helper.make_attribute("t", numpy_helper.from_array(np.zeros(1)))
    ),
    "sparse": lambda model: model.graph.sparse_initializer.add() and None,
    "doubling 40 times": doubling,
    "a terabyte by broadcasting": broadcast,
    "an hour of products": products,
    "no such axis": no_such_axis,
    "nested functions": nested_functions,
    "endless loop": endless_loop,
    "256 GB constant": lambda model: model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["big"])),
    "a million nodes": lambda model: model.graph.node.extend([model.graph.node[0]] * 1_000_000),
    "half a number": half,
    "lying 4 bits": four_bits,
    "string weights": lambda model: setattr(weights(model), "data_type", TensorProto.STRING),
    "weights that grow when read": lambda model: model.graph.initializer.add(name="w", data_type=1, dims=[1 << 62]),
    "tolerant test vector": meta("test_vector", '{"tokens": [1], "logits": [1], "atol": 1e9}'),
    "infinite test vector": meta("test_vector", '{"tokens": [1], "logits": [Infinity]}'),
    "unrolled without its inputs": lambda model: model.metadata_props.add(key="tuirnn.unroll", value="4") and None,
    "sampler without its inputs": lambda model: model.metadata_props.add(key="tuirnn.sampler", value="{}") and None,
    "huge vocabulary": meta("vocab", '{"kind": "word", "symbols": [' + '"a",' * 500_000 + '"b"]}'),
    "changed weight": changed,
    "double weights": lambda model: weights(model).CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weights(model)).astype(np.float64), "table")
    ),
}
"""Changes to a good cell that a loader must refuse before it runs anything."""
