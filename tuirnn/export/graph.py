"""A network as an ONNX graph of one step, in primitive operators that every runtime has.

States keep their layer axis ([1, B, H] for each layer), which broadcasts against [B, ·] for free. The first layer's
embedding, input weights and biases become the rows of one table. The LSTM's gates are stored as i, f, o, g, so that
one Sigmoid serves three of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tuirnn.cellfile.contract import LOGITS, STATE_MAP, TOKEN, CellMetadata
from tuirnn.config import ModelConfig
from tuirnn.export.weights import Array, LayerWeights, ModelWeights

DEFAULT_OPSET = 13
HEAD_SPLITS_FROM = 64
"""Width of the head's input from which its sum is split."""

IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}
"""Opset -> the IR version of the ONNX release that brought it."""


class GraphBuilder:
    """Collects nodes and constants; each method adds one operator and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: "Array | Sequence[int]") -> str:
        """A weight (stored as float32) or a list of sizes or axes (int64)."""
        if name not in self.constants:
            array = np.asarray(value)
            array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def op(self, kind: str, *inputs: str, name: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """One operator; its output is called `name` unless `outputs` are named."""
        self.nodes.append(helper.make_node(kind, inputs, list(outputs) or [name], name=name, **attributes))
        return name

    def split(self, x: str, names: Sequence[str], sizes: Sequence[int], axis: int = -1) -> list[str]:
        """Cut `x` into named pieces of the given sizes."""
        shape = self.constant("split_" + "_".join(map(str, sizes)), sizes)
        self.op("Split", x, shape, name="split_" + names[0], outputs=names, axis=axis)
        return list(names)


def build(
    config: ModelConfig,
    weights: ModelWeights,
    metadata: CellMetadata,
    *,
    opset: int = DEFAULT_OPSET,
    static_batch: int | None = None,
) -> onnx.ModelProto:
    """The cell file's model.

    Args:
        config: architecture.
        weights: of the checkpoint.
        metadata: becomes metadata_props.
        opset: a key of `IR_VERSIONS`.
        static_batch: fixes the batch axis; None leaves it to the caller.
    """
    b = GraphBuilder()
    state_map = STATE_MAP[config.cell]
    L, H, V = config.layers, config.hidden, len(metadata.vocab)
    before = [
        b.split(name, [f"{name[0]}{i}" for i in range(L)], [1] * L, axis=0) if L > 1 else [name]
        for name in state_map.values()
    ]
    after: list[list[str]] = [[] for _ in state_map]
    x = b.op("Gather", b.constant("table", _table(config, weights)), TOKEN, name="gx0")  # [B, G·H]
    for i, layer in enumerate(weights.layers):
        p = f"l{i}_"
        if i:
            W = b.constant(p + "weight_ih", _ordered(config, layer.weight_ih).T)
            gx = b.op("MatMul", x, W, name=p + "xw")
            gx = b.op("Add", gx, b.constant(p + "bias", _ordered(config, _input_bias(config, layer))), name=p + "gx")
        else:
            gx = x
        names = [out if L == 1 else f"{out[0]}{i}_out" for out in state_map]
        new = _CELLS[config.cell](b, p, config, layer, gx, [s[i] for s in before], names)
        for bucket, name in zip(after, new, strict=True):
            bucket.append(name)
        x = b.op("Add", new[0], x, name=p + "residual") if config.residual and i else new[0]
    if L > 1:
        for out, names in zip(state_map, after, strict=True):
            b.op("Concat", *names, name=out, axis=0)
    x = b.op("Squeeze", x, b.constant("axis0", [0]), name="top")  # [B, H]
    if weights.projection:
        x = _affine(b, x, "projection", weights.projection)
    _head(b, x, weights.head)
    batch: int | str = static_batch or "batch"
    state = {name: [L, batch, H] for pair in state_map.items() for name in pair}
    graph = helper.make_graph(
        b.nodes,
        "tuirnn_cell",
        [
            helper.make_tensor_value_info(TOKEN, TensorProto.INT64, [batch]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, state[name]) for name in state_map.values()),
        ],
        [
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [batch, V]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, state[name]) for name in state_map),
        ],
        list(b.constants.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="tuirnn",
        producer_version=metadata.version,
    )
    model.ir_version = IR_VERSIONS[opset]
    helper.set_model_props(model, metadata.to_strings())
    return model


def _affine(b: GraphBuilder, x: str, name: str, layer: tuple[Array, Array]) -> str:
    weight, bias = layer
    return b.op("Gemm", x, b.constant(f"{name}_weight", weight.T), b.constant(f"{name}_bias", bias), name=name)


def _head(b: GraphBuilder, x: str, layer: tuple[Array, Array]) -> None:
    """The logits, as two sums over half of the units each: half the rounding error of one long sum.

    A trained network's logits reach ±17, where a float32 sum over 256 units alone is off by 1e-5.
    """
    weight, bias = layer
    width = weight.shape[1]
    if width < HEAD_SPLITS_FROM:
        _affine(b, x, LOGITS, layer)
        return
    half = width // 2
    first, second = b.split(x, ["top_first", "top_second"], [half, width - half])
    low = _affine(b, first, "logits_first", (weight[:, :half], bias))
    W = b.constant("logits_second_weight", weight[:, half:].T)
    b.op("Gemm", second, W, low, name=LOGITS)


def _ordered(config: ModelConfig, rows: Array) -> Array:
    """Rows of a gate matrix or bias in the graph's gate order."""
    if config.cell != "lstm":
        return rows
    i, f, g, o = np.split(rows, 4)
    return np.concatenate([i, f, o, g])


def _input_bias(config: ModelConfig, layer: LayerWeights) -> Array:
    """What can be added before the recurrent product: all of bias_hh but the part that r multiplies."""
    bias = layer.bias_ih + layer.bias_hh
    if config.cell == "gru" and config.reset == "after":
        bias[2 * config.hidden :] = layer.bias_ih[2 * config.hidden :]
    return bias


def _table(config: ModelConfig, weights: ModelWeights) -> Array:
    """embedding · weight_ihᵀ + bias: one row [G·H] a token."""
    layer = weights.layers[0]
    rows = layer.weight_ih.T if weights.embedding is None else weights.embedding @ layer.weight_ih.T
    return np.asarray(_ordered(config, (rows + _input_bias(config, layer)).T).T)


def _rnn(
    b: GraphBuilder, p: str, config: ModelConfig, w: LayerWeights, gx: str, state: list[str], out: list[str]
) -> list[str]:
    gh = b.op("MatMul", state[0], b.constant(p + "weight_hh", w.weight_hh.T), name=p + "gh")
    a = b.op("Add", gx, gh, name=p + "a")
    b.op("Tanh" if config.nonlinearity == "tanh" else "Relu", a, name=out[0])
    return out


def _lstm(
    b: GraphBuilder, p: str, config: ModelConfig, w: LayerWeights, gx: str, state: list[str], out: list[str]
) -> list[str]:
    H = config.hidden
    gh = b.op("MatMul", state[0], b.constant(p + "weight_hh", _ordered(config, w.weight_hh).T), name=p + "gh")
    a = b.op("Add", gx, gh, name=p + "a")
    a_ifo, a_g = b.split(a, [p + "a_ifo", p + "a_g"], [3 * H, H])
    i, f, o = b.split(b.op("Sigmoid", a_ifo, name=p + "ifo"), [p + "i", p + "f", p + "o"], [H, H, H])
    g = b.op("Tanh", a_g, name=p + "g")
    kept, added = b.op("Mul", f, state[1], name=p + "fc"), b.op("Mul", i, g, name=p + "ig")
    c = b.op("Add", kept, added, name=out[1])
    b.op("Mul", o, b.op("Tanh", c, name=p + "tanh_c"), name=out[0])
    return out


def _gru(
    b: GraphBuilder, p: str, config: ModelConfig, w: LayerWeights, gx: str, state: list[str], out: list[str]
) -> list[str]:
    H, (h,) = config.hidden, state
    gx_rz, gx_n = b.split(gx, [p + "gx_rz", p + "gx_n"], [2 * H, H])
    if config.reset == "after":
        gh = b.op("MatMul", h, b.constant(p + "weight_hh", w.weight_hh.T), name=p + "gh")
        gh_rz, gh_n = b.split(gh, [p + "gh_rz", p + "gh_n"], [2 * H, H])
    else:
        gh_rz = b.op("MatMul", h, b.constant(p + "weight_hrz", w.weight_hh[: 2 * H].T), name=p + "gh_rz")
    rz = b.op("Sigmoid", b.op("Add", gx_rz, gh_rz, name=p + "a_rz"), name=p + "rz")
    r, z = b.split(rz, [p + "r", p + "z"], [H, H])
    if config.reset == "after":
        q = b.op("Add", gh_n, b.constant(p + "bias_hn", w.bias_hh[2 * H :]), name=p + "q")
        recurrent = b.op("Mul", r, q, name=p + "rq")
    else:
        W_n = b.constant(p + "weight_hn", w.weight_hh[2 * H :].T)
        recurrent = b.op("MatMul", b.op("Mul", r, h, name=p + "rh"), W_n, name=p + "gh_n")
    n = b.op("Tanh", b.op("Add", gx_n, recurrent, name=p + "a_n"), name=p + "n")
    kept = b.op("Mul", z, b.op("Sub", h, n, name=p + "h_n"), name=p + "zh")
    b.op("Add", n, kept, name=out[0])
    return out


_CELLS = {"rnn": _rnn, "lstm": _lstm, "gru": _gru}
