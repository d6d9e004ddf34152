"""A network as an ONNX graph of one step, in primitive operators that every runtime has.

States keep their layer axis ([1, B, H] for each layer), which broadcasts against [B, ·] for free. The first layer's
embedding, input weights and biases become the rows of one table. Points come in the data's own units: they are
normalised first, and the head's weights carry the way back; both products stay in float32 whatever the precision. The
LSTM's gates are stored as i, f, o, g, so that one Sigmoid serves three of them. How weights are stored and multiplied
is the precision's affair; the optional sampler and the unrolled form, many steps in a call, are made of the same step.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from tuirnn.cellfile.contract import STATE_MAP, TOKENS, CellMetadata
from tuirnn.config import ModelConfig
from tuirnn.export.builder import GraphBuilder
from tuirnn.export.options import CellOptions
from tuirnn.export.precision import PRECISIONS, Precision
from tuirnn.export.sampling import sample
from tuirnn.export.weights import Array, LayerWeights, ModelWeights
from tuirnn.scaling import Scaling

HEAD_SPLITS_FROM = 64
"""Width of the head's input from which its sum is split."""


def build(config: ModelConfig, weights: ModelWeights, metadata: CellMetadata, options: CellOptions) -> onnx.ModelProto:
    """The cell file's model.

    Args:
        config: architecture.
        weights: of the checkpoint.
        metadata: becomes metadata_props.
        options: the file's form.
    """
    b = GraphBuilder()
    step = _Step(b, config, weights, PRECISIONS[options.precision], metadata.scaling, metadata.names[1])
    states, token, chosen, logits = list(STATE_MAP[config.cell].values()), metadata.names[0], [], ""
    for t in range(options.unroll):
        b.prefix = f"t{t}_" if options.unroll > 1 else ""
        logits, states = step.take(token, states)
        if options.samples:
            token = sample(b, logits, metadata.vocab.unk, len(metadata.vocab), t if options.unroll > 1 else None)
            chosen.append(token)
    if options.unroll > 1:
        b.prefix = ""
        for name, value in zip((metadata.names[1], *STATE_MAP[config.cell]), (logits, *states), strict=True):
            b.op("Identity", value, name=name)
        rows = [b.op("Unsqueeze", token, b.constant("axis0", [0]), name=token + "_row") for token in chosen]
        b.op("Concat", *rows, name=TOKENS, axis=0)
    model = helper.make_model(
        helper.make_graph(b.nodes, "tuirnn_cell", *_interface(metadata, options), list(b.constants.values())),
        opset_imports=[helper.make_opsetid("", options.opset_version)],
        producer_name="tuirnn",
        producer_version=metadata.version,
    )
    model.ir_version = options.ir_version
    helper.set_model_props(model, metadata.to_strings())
    return model


def _interface(
    metadata: CellMetadata, options: CellOptions
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """The graph's inputs and outputs; `CellMetadata.interface` has their shapes."""
    batch = options.static_batch or "batch"
    sides = metadata.interface(batch)
    kinds = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kinds[dtype], shape) for name, (dtype, shape) in side.items()]
        for side in sides
    )
    return inputs, outputs


@dataclass(frozen=True)
class _Step:
    """The nodes of one step, added as often as asked."""

    b: GraphBuilder
    config: ModelConfig
    weights: ModelWeights
    precision: Precision
    scaling: Scaling | None
    out: str

    def take(self, token: str, before: list[str]) -> tuple[str, list[str]]:
        """Read a token or point; returns the names of what comes out and of the new states."""
        b, config, L = self.b, self.config, self.config.layers
        letters = [out[0] for out in STATE_MAP[config.cell]]
        old = [
            b.split(name, [f"{letter}{i}" for i in range(L)], [1] * L, axis=0) if L > 1 else [name]
            for letter, name in zip(letters, before, strict=True)
        ]
        new: list[list[str]] = []
        bound: float | None = None if config.cell == "rnn" and config.nonlinearity == "relu" else 1.0  # of a state
        x, x_bound = self._read(token), bound  # [B, G·H]
        for i in range(L):
            names = [f"{letter}_out" if L == 1 else f"{letter}{i}_out" for letter in letters]
            state = [pieces[i] for pieces in old]
            if config.cell == "gru":
                new.append(self._gru(i, self._input(i, x, x_bound), state[0], names))
            else:
                cell = {"rnn": self._rnn, "lstm": self._lstm}[config.cell]
                new.append(cell(i, self._gates(i, x, x_bound, state[0], bound), state, names))
            if config.residual and i:
                x, x_bound = b.add(new[i][0], x, f"l{i}_residual"), x_bound and x_bound + 1
            else:
                x = new[i][0]
        after = [column[0] for column in zip(*new, strict=True)]
        if L > 1:
            columns = zip(letters, zip(*new, strict=True), strict=True)
            after = [b.op("Concat", *names, name=f"{letter}_out", axis=0) for letter, names in columns]
        x = b.op("Squeeze", x, b.constant("axis0", [0]), name="top")  # [B, H]
        if self.weights.projection:
            weight, bias = self.weights.projection
            x = self.precision.product(b, x, weight.T, "projection_xw", x_bound)
            x, x_bound = b.add(x, b.constant("projection_bias", bias), "projection"), None
        return self._head(x, x_bound), after

    def _read(self, fed: str) -> str:
        """The first layer's input half with its biases: a row of a table for a token, a product for a point."""
        b, config, first = self.b, self.config, self.weights.layers[0]
        if self.scaling is None:
            table = _ordered(config, input_table(config, self.weights).T).T
            return self.precision.rows(b, table, fed, "gx0")
        off = b.op("Sub", fed, b.constant("mean", np.array(self.scaling.mean)), name="off_mean")
        x = b.op("Mul", off, b.constant("one_over_std", 1 / np.array(self.scaling.std)), name="normalised")
        xw = PRECISIONS["fp32"].product(b, x, _ordered(config, first.weight_ih).T, "l0_xw", None)
        return b.add(xw, b.constant("l0_bias", _ordered(config, input_bias(config, first))), "gx0")

    def _input(self, i: int, x: str, bound: float | None) -> str:
        """The input half of layer i with all biases that can be added before the recurrent product."""
        if i == 0:
            return x  # complete: see `_read`
        b, config, layer = self.b, self.config, self.weights.layers[i]
        xw = self.precision.product(b, x, _ordered(config, layer.weight_ih).T, f"l{i}_xw", bound)
        return b.add(xw, b.constant(f"l{i}_bias", _ordered(config, input_bias(config, layer))), f"l{i}_gx")

    def _gates(self, i: int, x: str, x_bound: float | None, h: str, bound: float | None) -> str:
        """What the gates see, input and recurrent half together [1, B, G·H], in the graph's gate order."""
        b, config, layer = self.b, self.config, self.weights.layers[i]
        W_h = _ordered(config, layer.weight_hh).T
        if i and not self.precision.exact:  # one product over both is quicker than two; its sum is exact in integers
            both = b.op("Concat", x, h, name=f"l{i}_xh", axis=-1)
            W = np.concatenate([_ordered(config, layer.weight_ih).T, W_h])
            limit = None if x_bound is None or bound is None else max(x_bound, bound)
            product = self.precision.product(b, both, W, f"l{i}_xhw", limit)
            return b.add(product, b.constant(f"l{i}_bias", _ordered(config, input_bias(config, layer))), f"l{i}_a")
        gx = self._input(i, x, x_bound)
        return b.add(gx, self.precision.product(b, h, W_h, f"l{i}_gh", bound), f"l{i}_a")

    def _rnn(self, i: int, a: str, state: list[str], out: list[str]) -> list[str]:
        return [self.b.op("Tanh" if self.config.nonlinearity == "tanh" else "Relu", a, name=out[0])]

    def _lstm(self, i: int, a: str, state: list[str], out: list[str]) -> list[str]:
        b, H, p = self.b, self.config.hidden, f"l{i}_"
        a_ifo, a_g = b.split(a, [p + "a_ifo", p + "a_g"], [3 * H, H])
        i_gate, f, o = b.split(b.op("Sigmoid", a_ifo, name=p + "ifo"), [p + "i", p + "f", p + "o"], [H, H, H])
        g = b.op("Tanh", a_g, name=p + "g")
        kept, added = b.op("Mul", f, state[1], name=p + "fc"), b.op("Mul", i_gate, g, name=p + "ig")
        c = b.add(kept, added, out[1])
        return [b.op("Mul", o, b.op("Tanh", c, name=p + "tanh_c"), name=out[0]), c]

    def _gru(self, i: int, gx: str, h: str, out: list[str]) -> list[str]:
        b, H, p, w = self.b, self.config.hidden, f"l{i}_", self.weights.layers[i]
        gx_rz, gx_n = b.split(gx, [p + "gx_rz", p + "gx_n"], [2 * H, H])
        if self.config.reset == "after":
            gh = self.precision.product(b, h, w.weight_hh.T, p + "gh", 1.0)
            gh_rz, gh_n = b.split(gh, [p + "gh_rz", p + "gh_n"], [2 * H, H])
        else:
            gh_rz = self.precision.product(b, h, w.weight_hh[: 2 * H].T, p + "gh_rz", 1.0)
        rz = b.op("Sigmoid", b.add(gx_rz, gh_rz, p + "a_rz"), name=p + "rz")
        r, z = b.split(rz, [p + "r", p + "z"], [H, H])
        if self.config.reset == "after":
            q = b.add(gh_n, b.constant(p + "bias_hn", w.bias_hh[2 * H :]), p + "q")
            recurrent = b.op("Mul", r, q, name=p + "rq")
        else:
            rh = b.op("Mul", r, h, name=p + "rh")
            recurrent = self.precision.product(b, rh, w.weight_hh[2 * H :].T, p + "gh_n", 1.0)
        n = b.op("Tanh", b.add(gx_n, recurrent, p + "a_n"), name=p + "n")
        kept = b.op("Mul", z, b.op("Sub", h, n, name=p + "h_n"), name=p + "zh")
        return [b.add(n, kept, out[0])]

    def _head(self, x: str, bound: float | None) -> str:
        """The logits, or the next point; where it matters as two sums over half of the units each, for half the error.

        A trained network's logits reach ±17, where a float32 sum over 256 units alone is off by 1e-5.
        """
        b, out, precision, (weight, bias_values) = self.b, self.out, self.precision, self.weights.head
        if self.scaling is not None:
            std, precision = np.array(self.scaling.std), PRECISIONS["fp32"]
            weight, bias_values = weight * std[:, None], self.scaling.restore(bias_values)
        bias, width = b.constant(out + "_bias", bias_values), weight.shape[1]
        if width < HEAD_SPLITS_FROM or not precision.exact:
            return b.add(precision.product(b, x, weight.T, out + "_xw", bound), bias, out)
        half = width // 2
        first, second = b.split(x, ["top_first", "top_second"], [half, width - half])
        low = b.add(precision.product(b, first, weight[:, :half].T, out + "_xw_first", bound), bias, out + "_first")
        return b.add(precision.product(b, second, weight[:, half:].T, out + "_xw_second", bound), low, out)


def _ordered(config: ModelConfig, rows: Array) -> Array:
    """Rows of a gate matrix or bias in the graph's gate order."""
    if config.cell != "lstm":
        return rows
    i, f, g, o = np.split(rows, 4)
    return np.concatenate([i, f, o, g])


def input_bias(config: ModelConfig, layer: LayerWeights) -> Array:
    """What can be added before the recurrent product: all of bias_hh but the part that r multiplies."""
    bias = layer.bias_ih + layer.bias_hh
    if config.cell == "gru" and config.reset == "after":
        bias[2 * config.hidden :] = layer.bias_ih[2 * config.hidden :]
    return bias


def input_table(config: ModelConfig, weights: ModelWeights) -> Array:
    """embedding · weight_ihᵀ + bias: one row [G·H] a token."""
    layer = weights.layers[0]
    rows = layer.weight_ih.T if weights.embedding is None else weights.embedding @ layer.weight_ih.T
    return np.asarray(rows + input_bias(config, layer))
