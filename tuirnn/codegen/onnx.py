"""A cell's step as nodes of an ONNX graph.

States have a layer axis, [1, B, H], which broadcasts against the input half [B, G·H]. The graph has a gate order of its
own: the gates of a recurrent product are neighbours, and among them the additive gates with the same function, so that
one node computes all of them; gates without a product come last. Values that depend on vectors alone are stored as
constants.
"""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import groupby

import numpy as np

from tuirnn.cells import Cell
from tuirnn.codegen.arrays import Array
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, depends, is_steady, leaf, make, outermost, walk
from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.codegen.onnx_functions import CONDITIONAL, WRITE, condition, number
from tuirnn.codegen.ranges import largest
from tuirnn.codegen.trace import Traced, sum_of_halves, traced

Gates = tuple[str, ...]
Product = Callable[[str, Gates, str, float | None], str]
"""Adds a recurrent product: (operand, gates, name, bound of the operand) -> name of the product [1, B, len(gates)·H],
without biases."""


class OnnxCell:
    """Adds the nodes of a cell to a graph, as often as required.

    Attributes:
        order: all gates, in the graph's order: that of weight rows, biases and the input half in the graph.
        results: states after the step, and operands of the products.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.traced: Traced = traced(cell)
        self.additive = self.traced.additive
        self.results = (*self.traced.after.values(), *(stage.operand for stage in self.traced.stages))
        self._nodes = list(walk(*self.results))
        functions = list(dict.fromkeys(map(self.function, cell.gates)))

        def place(gate: str) -> tuple[int, bool, int]:
            return self.stage_of(gate), gate not in self.additive, functions.index(self.function(gate))

        self.order: Gates = tuple(sorted(cell.gates, key=place))
        self._joint = "" if all(len(gate) == 1 for gate in cell.gates) else "_"

    @cached_property
    def sums_up(self) -> bool:
        """Whether one product may compute both halves: all gates are additive and have the same product with h."""
        operands, state = [stage.operand for stage in self.traced.stages], leaf("state", self.cell.state[0])
        return operands == [state] and self.traced.additive == set(self.cell.gates)

    def stage_of(self, gate: str) -> int:
        """Return the number of a gate's recurrent product; the number of products if it has none."""
        stages = self.traced.stages
        return next((i for i, stage in enumerate(stages) if gate in stage.gates), len(stages))

    @cached_property
    def blocks(self) -> list[Gates]:
        """The gates in the graph's order, cut where the product changes or gates are no longer additive."""
        return [tuple(run) for _, run in groupby(self.order, lambda g: (self.stage_of(g), g in self.additive))]

    def label(self, gates: Gates) -> str:
        """Return a unique name for the values of some gates."""
        return self._joint + self._joint.join(gates)

    def argument(self, gate: str) -> Expr:
        """Return the sum of a gate's halves; the input half if the gate is not additive."""
        return sum_of_halves(gate) if gate in self.additive else leaf("x", gate)

    def function(self, gate: str) -> str:
        """Return the only function of a gate's argument; '' if it is used in any other way."""
        argument = self.argument(gate)
        users = [node for node in self._nodes if argument in node.args]
        alone = len(users) == 1 and len(users[0].args) == 1 and argument not in self.results
        return users[0].op if alone else ""

    def has_layer_axis(self, node: Expr) -> bool:
        """Return whether a value is [1, B, H] if the input half is [B, G·H]: whether it depends on a state."""
        stages = self.traced.stages
        products = (stages[self.stage_of(each.name)].operand for each in walk(node) if each.of == "W")
        return depends(node, "state") or any(map(self.has_layer_axis, products))

    def add_step(
        self, b: GraphBuilder, prefix: str, gx: "str | Sequence[str]", before: Sequence[str], after: Sequence[str],
        vectors: Array, product: Product, bias: Callable[[Gates], str], *, whole: str = "", first: bool = False,
    ) -> list[str]:  # fmt: skip
        """Add the nodes of one step.

        Args:
            b: the graph.
            prefix: of the names of all values.
            gx: name of the input half [B, G·H], which includes every bias that can be added before the product; or the
                names of its parts for each of `blocks`.
            before: names of the state's parts, each [1, B, H].
            after: names for the state's parts after the step.
            vectors: the cell's vectors, [P, H] float64.
            product: adds a recurrent product.
            bias: adds the rows of bias_hh of some gates as a constant.
            whole: name of the sum of both halves of all gates [1, B, G·H], which replaces `gx` and the product.
            first: whether `gx` has no layer axis, as in the first layer.
        Returns:
            The names of the state's parts after the step.
        """
        names = {leaf("state", name): value for name, value in zip(self.cell.state, before, strict=True)}
        outputs = list(zip(self.cell.state, after, strict=True))
        wanted = {self.traced.after[name]: out for name, out in reversed(outputs)}
        step = _Step(self, b, prefix, vectors, first, names, wanted)
        if whole:
            step.apply(self.order, whole)
        else:
            step.add_gates(gx, product, bias)
        return [step.state(self.traced.after[name], out) for name, out in outputs]


class _Step:
    """The nodes of one step.

    Args:
        cell, b, prefix, vectors, first: see `OnnxCell.add_step`.
        names: value -> its name, of the values in the graph.
        wanted: result -> its name; `state` adds the axis and the name of a result without a layer axis.
    """

    def __init__(
        self, cell: OnnxCell, b: GraphBuilder, prefix: str, vectors: Array, first: bool, names: dict[Expr, str],
        wanted: dict[Expr, str],
    ) -> None:  # fmt: skip
        self.cell, self.b, self.p, self.H, self.first, self.names = cell, b, prefix, vectors.shape[1], first, names
        self._wanted = {node: out for node, out in wanted.items() if not first or cell.has_layer_axis(node)}
        self._conditions: dict[Expr, str] = {}
        p = {leaf("p", name): row for name, row in zip(cell.cell.vectors, vectors, strict=True)}
        steady = outermost(cell.results, lambda node: node.op != CONSTANT and is_steady(node))
        self._fixed = {node: evaluate(node, p) for node in steady}  # of vectors alone: values that the file contains

    def add_gates(self, gx: str | Sequence[str], product: Product, bias: Callable[[Gates], str]) -> None:
        """Add each stage's product and the gates' arguments and functions."""
        additive, blocks = self.cell.additive, self.cell.blocks
        halves = dict(zip(blocks, self._cut(gx, blocks, "gx_") if isinstance(gx, str) else gx, strict=True))
        for block in blocks:
            if block[0] not in additive:
                self.apply(block, halves[block], "gx_")
        for stage in self.cell.traced.stages:
            mine = [block for block in blocks if block[0] in stage.gates]
            gates = tuple(gate for block in mine for gate in block)
            label = self.p + ("gh" if len(gates) == len(self.cell.order) else "gh_" + self.cell.label(gates))
            gh = product(self.name_of(stage.operand), gates, label, largest(stage.operand, self.cell.cell))
            for block, part in zip(mine, self._cut(gh, mine, "gh_"), strict=True):
                letters = self.cell.label(block)
                if block[0] in additive:
                    self.apply(block, self.b.add(halves[block], part, self.p + "a_" + letters))
                else:
                    q = self.b.add(part, bias(block), self.p + "q_" + letters)
                    self._name([leaf("W", gate) for gate in block], q, "q_", block)

    def apply(self, gates: Gates, a: str, label: str = "a_") -> None:
        """Split the arguments of gates by their functions, apply each function once, and split the results."""
        runs = [tuple(run) for _, run in groupby(gates, self.cell.function)]
        for run, part in zip(runs, self._cut(a, runs, label), strict=True):
            function = self.cell.function(run[0])
            arguments = [self.cell.argument(gate) for gate in run]
            if not function:
                self._name(arguments, part, label, run)
                continue
            results = [make(function, argument) for argument in arguments]
            name = self._wanted.get(results[0]) if len(run) == 1 else None
            name = name or self.p + self.cell.label(run)
            operand = condition(self.b, name + "_above", part) if function in CONDITIONAL else part
            self._name(results, WRITE[function](self.b, name, operand), "", run)

    def name_of(self, node: Expr) -> str:
        """Return the name of an expression's value; adds its nodes at the first call."""
        if node not in self.names:
            self.names[node] = self._add(node)
        return self.names[node]

    def _add(self, node: Expr) -> str:
        if node.op == CONSTANT:
            return number(self.b, node.value)
        if node in self._fixed:
            number_of = list(self._fixed).index(node)
            return self.b.constant(f"{self.p}fixed{number_of}", self._fixed[node])
        assert node.op != LEAF, f"{node.of}.{node.name} has no value yet"
        asked = node.op in CONDITIONAL
        operands = [
            self._condition(each) if asked and not place else self.name_of(each) for place, each in enumerate(node.args)
        ]
        return WRITE[node.op](self.b, self._wanted.get(node) or f"{self.p}v{len(self.names)}", *operands)

    def _condition(self, node: Expr) -> str:
        """Return the name of the truth value node > 0; is_positive(x) > 0 is the same as x > 0."""
        node = node.args[0] if node.op == "is_positive" else node
        if node not in self._conditions:
            x = self.name_of(node)
            self._conditions[node] = condition(self.b, f"{self.p}above{len(self._conditions)}", x)
        return self._conditions[node]

    def state(self, node: Expr, out: str) -> str:
        """Return the name of a state after the step [1, B, H]: `out`."""
        value = self.name_of(node)
        if value in self.b.prefixed(out):
            return value
        if self.first and not self.cell.has_layer_axis(node):
            return self.b.op("Unsqueeze", value, self.b.constant("axis0", [0]), name=out)
        return self.b.op("Identity", value, name=out)

    def _name(self, values: list[Expr], whole: str, label: str, gates: Gates) -> None:
        """Split `whole` [·, len(gates)·H] into the values of gates."""
        self.names.update(zip(values, self._cut(whole, [(gate,) for gate in gates], label), strict=True))

    def _cut(self, whole: str, parts: Sequence[Gates], label: str) -> list[str]:
        if len(parts) == 1:
            return [whole]
        names = [self.p + label + self.cell.label(part) for part in parts]
        return self.b.split(whole, names, [len(part) * self.H for part in parts])


@cache
def operators(cell: Cell) -> frozenset[str]:
    """List the ONNX operators of a step of a cell, except those of its products."""
    b, made = GraphBuilder(), OnnxCell(cell)
    names = [f"{name}_in" for name in cell.state], [f"{name}_out" for name in cell.state]

    def product(operand: str, gates: Gates, name: str, bound: float | None) -> str:
        return name

    with np.errstate(all="ignore"):  # the vectors are zero, which a cell may divide by
        made.add_step(b, "", "gx", *names, np.zeros((len(cell.vectors), 1)), product, lambda gates: "bias", first=True)
    return frozenset(node.op_type for node in b.nodes)
