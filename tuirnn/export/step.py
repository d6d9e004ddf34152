"""The nodes of one step of a network; a token or point, and the state, to the outputs and the next state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuirnn.cellfile.contract import BEFORE
from tuirnn.cells import Cell
from tuirnn.codegen.onnx import Gates, OnnxCell
from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.codegen.trace import traced
from tuirnn.export.precision import PRECISIONS, Precision
from tuirnn.export.weights import Array, LayerWeights, ModelWeights
from tuirnn.scaling import DIFFERENCE, Scaling
from tuirnn.settings.model import ModelConfig

HEAD_SPLITS_FROM = 64
"""Least width of the head's input at which its sum is split."""


@dataclass(frozen=True)
class Step:
    """Adds the nodes of one step, as often as required."""

    b: GraphBuilder
    config: ModelConfig
    weights: ModelWeights
    precision: Precision
    scaling: Scaling | None
    out: str
    cell: OnnxCell
    steps: int = 1

    def take(self, token: str, before: list[str]) -> tuple[str, list[str]]:
        """Add a step that reads a token or point; returns the names of the output [B, N] and of the new states."""
        b, config, letters = self.b, self.config, self.cell.cell.state
        last = before[-1] if self.scaling and self.scaling.reads == DIFFERENCE else ""
        old = [self._layers_of(state, letter) for letter, state in zip(letters, before, strict=False)]
        new: list[list[str]] = []  # for each layer its parts
        bound = self.cell.cell.bounds.get(letters[0])
        point, calendar = self._parts(token)
        x, x_bound = self._read(point, calendar, last), bound  # [·, B, G·H]
        for i in range(config.layers):
            h, after = self._layer(i, x, x_bound, [layers[i] for layers in old])
            new.append(after)
            if config.residual and i:
                x, x_bound = b.add(h, x, f"l{i}_residual"), x_bound and bound and x_bound + bound
            else:
                x, x_bound = h, bound
        columns = zip(letters, zip(*new, strict=True), strict=True)
        states = [self._stacked(f"{letter}_out", layers) for letter, layers in columns]
        if config.pools:
            x, pooled = self._pooled(x, before[-1])
            states.append(pooled)
        x = self._top(x)
        if self.weights.projection:
            weight, bias = self.weights.projection
            x = self.precision.product(b, x, weight.T, "projection_xw", x_bound)
            x, x_bound = b.add(x, b.constant("projection_bias", bias), "projection"), None
        if last:
            states.append(b.op("Concat", self._newest(point), "known", name=BEFORE + "_out", axis=-1))
        return self._answer(point, x, x_bound), states

    def _layers_of(self, state: str, letter: str) -> list[str]:
        """Add the layers of a state [L, B, H], each [1, B, H]."""
        L = self.config.layers
        return self.b.split(state, [f"{letter}{i}" for i in range(L)], [1] * L, axis=0) if L > 1 else [state]

    def _stacked(self, out: str, layers: Sequence[str]) -> str:
        """Add a state [L, B, H] of the given name; a single layer has that name."""
        return layers[0] if len(layers) == 1 else self.b.op("Concat", *layers, name=out, axis=0)

    def _pooled(self, x: str, before: str) -> tuple[str, str]:
        """Add the largest values so far beside x, [1, B, 2H], and the pooled state."""
        after = self.b.op("Max", before, x, name="pooled_out")  # [L, B, H], the same for each layer
        return self.b.op("Concat", x, self._layers_of(after, "pooled")[0], name="both", axis=-1), after

    def _top(self, x: str) -> str:
        """Add what the head reads, [B, H], or [B, 2H]."""
        return self.b.op("Squeeze", x, self.b.constant("axis0", [0]), name="top")

    def _newest(self, point: str) -> str:
        """Add the point that the next step needs, [B, F]."""
        return point

    def _read(self, fed: str, calendar: str, last: str) -> str:
        """Add the first layer's input half [B, G·H] with its biases: a table row of a token, a product of a point."""
        b, first = self.b, self.weights.layers[0]
        if self.scaling is None:
            return self.precision.rows(b, self._ordered(input_table(self.cell.cell, self.weights).T).T, fed, "gx0")
        x = self._difference(fed, last) if last else self._normalised(fed)
        if calendar:
            x = b.op("Concat", x, calendar, name="normalised_with_calendar", axis=-1)
        xw = PRECISIONS["fp32"].product(b, x, self._ordered(first.weight_ih).T, "l0_xw", None)
        return b.add(xw, self._bias(0), "gx0")

    def _normalised(self, point: str) -> str:
        """Add a point [B, F] in deviations from the mean."""
        b, scaling = self.b, self.scaling
        assert scaling is not None
        off = b.op("Sub", point, b.constant("mean", np.array(scaling.mean)), name="off_mean")
        return b.op("Mul", off, b.constant("one_over_std", 1 / np.array(scaling.std)), name="normalised")

    def _difference(self, point: str, state: str) -> str:
        """Add the difference of a point to the one before [B, F], 0 for the first; and 1 for the state, [B, 1]."""
        b, scaling = self.b, self.scaling
        assert scaling is not None
        last, known = b.split(state, ["last", "was_known"], [len(scaling), 1])
        off = b.op("Mul", b.op("Sub", point, last, name="off_last"), known, name="off_known")
        none = b.op("Mul", known, b.constant("zero", np.zeros(1)), name="nothing")
        b.add(none, b.constant("one", np.ones(1)), "known")
        return b.op("Mul", off, b.constant("one_over_step", 1 / np.array(scaling.steps)), name="normalised")

    def _parts(self, fed: str) -> tuple[str, str]:
        """Return the names of a fed point's columns and of its calendar, empty where it has none."""
        if self.scaling is None or not self.scaling.periods:
            return fed, ""
        F = len(self.scaling)
        point, calendar = self.b.split(fed, ["point", "calendar"], [F, self.scaling.inputs - F])
        return point, calendar

    def _layer(self, i: int, x: str, x_bound: float | None, before: list[str]) -> tuple[str, list[str]]:
        """Add layer i, whose `x` is its input half (i = 0) or the layer's input; returns its h and its new parts."""
        after = [f"{letter}{'' if self.config.layers == 1 else i}_out" for letter in self.cell.cell.state]
        gx, whole = x, ""
        if i and self.cell.sums_up and not self.precision.exact:
            whole = self._both(i, x, x_bound, before[0])
        elif i:
            gx = self._input_half(i, x, x_bound)
        after = self._cell_step(i, gx, before, after, whole=whole, first=not i)
        return after[0], after

    def _input_half(self, i: int, x: str, x_bound: float | None) -> str:
        """Add the input half of layer i > 0 with its biases, [·, B, G·H]."""
        xw = self.precision.product(self.b, x, self._ordered(self.weights.layers[i].weight_ih).T, f"l{i}_xw", x_bound)
        return self.b.add(xw, self._bias(i), f"l{i}_gx")

    def _cell_step(
        self, i: int, gx: str | Sequence[str], before: list[str], after: list[str], *, whole: str = "",
        first: bool = False,
    ) -> list[str]:  # fmt: skip
        """Add the cell's step in layer i, see `OnnxCell.add_step`; returns the names of its state."""
        b, prefix, layer, recurrent = self.b, f"l{i}_", self.weights.layers[i], self.cell.traced.recurrent

        def product(operand: str, gates: Gates, name: str, bound: float | None) -> str:
            return self.precision.product(b, operand, _rows(layer.weight_hh, recurrent, gates).T, name, bound)

        def bias(gates: Gates) -> str:
            return b.constant(prefix + "bias_h" + self.cell.label(gates), _rows(layer.bias_hh, recurrent, gates))

        return self.cell.add_step(b, prefix, gx, before, after, layer.vectors, product, bias, whole=whole, first=first)

    def _both(self, i: int, x: str, x_bound: float | None, h: str) -> str:
        """Add the sum of both halves as one product: faster than two, and exact in integers."""
        b, layer, bound = self.b, self.weights.layers[i], self.cell.cell.bounds.get(self.cell.cell.state[0])
        both = b.op("Concat", x, h, name=f"l{i}_xh", axis=-1)
        W = np.concatenate([self._ordered(layer.weight_ih).T, self._ordered(layer.weight_hh).T])
        limit = None if x_bound is None or bound is None else max(x_bound, bound)
        return b.add(self.precision.product(b, both, W, f"l{i}_xhw", limit), self._bias(i), f"l{i}_a")

    def _bias(self, i: int) -> str:
        return self.b.constant(f"l{i}_bias", self._ordered(input_bias(self.cell.cell, self.weights.layers[i])))

    def _ordered(self, rows: Array) -> Array:
        """Return rows of a gate matrix or bias in the graph's gate order."""
        return _rows(rows, self.cell.cell.gates, self.cell.order)

    def _answer(self, point: str, x: str, bound: float | None) -> str:
        """Add the output: what the head says, or, where that is a difference, the current point and it."""
        if self.scaling is None or not self.scaling.steps:
            return self._head(x, bound, self.out)
        return self.b.op("Add", point, self._head(x, bound, "difference"), name=self.out)

    def _head(self, x: str, bound: float | None, out: str) -> str:
        """Add the logits, the next point or its difference to the current one.

        The sum is split into two over half of the units each if this halves the error.

        Logits of a trained network reach ±17; a float32 sum over 256 units then has an error of 1e-5.
        """
        b, precision, (weight, bias_values) = self.b, self.precision, self.weights.head
        if self.scaling is not None:
            unit, precision = self.scaling.unit, PRECISIONS["fp32"]
            weight = weight * unit[:, None]
            bias_values = bias_values * unit if self.scaling.steps else self.scaling.restore(bias_values)
        bias, width = b.constant(out + "_bias", bias_values), weight.shape[1]
        if width < HEAD_SPLITS_FROM or not precision.exact:
            return b.add(precision.product(b, x, weight.T, out + "_xw", bound), bias, out)
        half = width // 2
        first, second = b.split(x, ["top_first", "top_second"], [half, width - half])
        low = b.add(precision.product(b, first, weight[:, :half].T, out + "_xw_first", bound), bias, out + "_first")
        return b.add(precision.product(b, second, weight[:, half:].T, out + "_xw_second", bound), low, out)


def _rows(rows: Array, of: Gates, gates: Gates) -> Array:
    """Return the rows of `gates` from those of the gates `of`."""
    parts = dict(zip(of, np.split(rows, len(of)), strict=True))
    return np.concatenate([parts[gate] for gate in gates])


def input_bias(cell: Cell, layer: LayerWeights) -> Array:
    """Compute the bias of the input half [G·H]: bias_ih plus bias_hh of additive gates."""
    made, total = traced(cell), layer.bias_ih.reshape(len(cell.gates), -1).copy()
    for gate in made.additive:
        total[cell.gates.index(gate)] += _rows(layer.bias_hh, made.recurrent, (gate,))
    return np.asarray(total.ravel())


def input_table(cell: Cell, weights: ModelWeights) -> Array:
    """Compute the input half of every token, embedding · weight_ihᵀ + bias: [V, G·H]."""
    layer = weights.layers[0]
    rows = layer.weight_ih.T if weights.embedding is None else weights.embedding @ layer.weight_ih.T  # [V, G·H]
    return np.asarray(rows + input_bias(cell, layer))
