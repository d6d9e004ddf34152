"""A cell's step as nodes of an ONNX graph.

States have a layer axis, [1, B, H], which broadcasts against the input half [B, G·H]. The gates stand in an order of
the graph's own: those of a recurrent product together, and among them those whose halves are added up and to which
the same function is applied, so that one node serves all of them.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import groupby

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, make, walk
from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.codegen.ranges import largest
from tuirnn.codegen.trace import Traced, traced

NODES = {"add": "Add", "sub": "Sub", "mul": "Mul", "neg": "Neg", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
"""The ONNX operator of each operation that a forward step may use."""

Gates = tuple[str, ...]
Product = Callable[[str, Gates, str, float | None], str]
"""(operand, gates, name, bound of the operand) -> name of the product [1, B, len(gates)·H], without biases."""


class OnnxCell:
    """The nodes of one cell, added to a graph as often as asked.

    Attributes:
        order: all gates, in the graph's order; weight rows, biases and the input half stand in it.
        sums_up: whether the input half and the recurrent product of all gates are only ever added up, so that both may
            come from one product.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.traced: Traced = traced(cell)
        self.additive = self.traced.additive
        self._nodes = list(walk(*self.traced.after.values(), *(stage.operand for stage in self.traced.stages)))
        functions = list(dict.fromkeys(map(self.function, cell.gates)))

        def place(gate: str) -> tuple[int, bool, int]:
            return self.stage_of(gate), gate not in self.additive, functions.index(self.function(gate))

        self.order: Gates = tuple(sorted(cell.gates, key=place))

    @cached_property
    def sums_up(self) -> bool:
        """See the class."""
        (first, *more), state = self.traced.stages, leaf("state", self.cell.state[0])
        return not more and first.operand is state and self.traced.additive == set(self.cell.gates)

    def stage_of(self, gate: str) -> int:
        """The number of the recurrent product that a gate's rows take part in."""
        return next(i for i, stage in enumerate(self.traced.stages) if gate in stage.gates)

    def argument(self, gate: str) -> Expr:
        """The sum of a gate's two halves."""
        return make("add", leaf("x", gate), leaf("W", gate))

    def function(self, gate: str) -> str:
        """The one function that is applied to a gate's argument; '' where there is no such thing."""
        users = [node for node in self._nodes if self.argument(gate) in node.args]
        return users[0].op if len(users) == 1 and len(users[0].args) == 1 else ""

    def add_step(
        self, b: GraphBuilder, prefix: str, gx: str, before: Sequence[str], after: Sequence[str], H: int,
        product: Product, bias: Callable[[Gates], str], whole: str = "",
    ) -> list[str]:  # fmt: skip
        """Add one step.

        Args:
            b: the graph.
            prefix: of the names of all values.
            gx: the input half [B, G·H] with every bias that can be added before the recurrent product.
            before: names of the state's parts, each [1, B, H].
            after: what to call them after the step.
            H: hidden width.
            product: adds a recurrent product.
            bias: adds a constant, the part of bias_hh of gates whose halves do not just add up.
            whole: where given, the sum of both halves of all gates [1, B, G·H], in place of `gx` and of the product.
        Returns:
            `after`.
        """
        step = _Step(self, b, prefix, H, dict(zip(self.cell.state, after, strict=True)))
        for name, value in zip(self.cell.state, before, strict=True):
            step.names[leaf("state", name)] = value
        if whole:
            step.apply(self.order, whole)
        else:
            step.add_gates(gx, product, bias)
        return [step.name_of(self.traced.after[name]) for name in self.cell.state]


class _Step:
    """The names of the values of one step, as they are added."""

    def __init__(self, cell: OnnxCell, b: GraphBuilder, prefix: str, H: int, outputs: dict[str, str]) -> None:
        self.cell, self.b, self.p, self.H = cell, b, prefix, H
        self.names: dict[Expr, str] = {}
        self._wanted = {cell.traced.after[name]: out for name, out in outputs.items()}

    def add_gates(self, gx: str, product: Product, bias: Callable[[Gates], str]) -> None:
        """Each stage's product, and the gates' arguments as far as they are sums of both halves."""
        additive = self.cell.additive
        blocks = [tuple(run) for _, run in groupby(self.cell.order, lambda g: (self.cell.stage_of(g), g in additive))]
        halves = dict(zip(blocks, self._cut(gx, blocks, "gx_"), strict=True))
        for stage in self.cell.traced.stages:
            mine = [block for block in blocks if block[0] in stage.gates]
            gates = tuple(gate for block in mine for gate in block)
            label = self.p + ("gh" if len(gates) == len(self.cell.order) else "gh_" + "".join(gates))
            gh = product(self.name_of(stage.operand), gates, label, largest(stage.operand, self.cell.cell))
            for block, part in zip(mine, self._cut(gh, mine, "gh_"), strict=True):
                letters = "".join(block)
                if block[0] in additive:
                    self.apply(block, self.b.add(halves[block], part, self.p + "a_" + letters))
                else:
                    q = self.b.add(part, bias(block), self.p + "q_" + letters)
                    self._name([leaf("W", gate) for gate in block], q, "q_", block)
                    self._name([leaf("x", gate) for gate in block], halves[block], "gx_", block)

    def apply(self, gates: Gates, a: str) -> None:
        """Cut the arguments of gates by the function that each goes through, apply it, and cut the results."""
        runs = [tuple(run) for _, run in groupby(gates, self.cell.function)]
        for run, part in zip(runs, self._cut(a, runs, "a_"), strict=True):
            function, letters = self.cell.function(run[0]), "".join(run)
            arguments = [self.cell.argument(gate) for gate in run]
            if not function:
                self._name(arguments, part, "a_", run)
                continue
            results = [make(function, argument) for argument in arguments]
            name = self._wanted.get(results[0]) if len(run) == 1 else None
            name = name or self.p + letters
            self._name(results, self.b.op(NODES[function], part, name=name), "", run)

    def name_of(self, node: Expr) -> str:
        """The name of an expression's value, whose nodes are added where they are not there yet."""
        if node in self.names:
            return self.names[node]
        if node.op == CONSTANT:
            self.names[node] = self.b.constant(f"number_{node.value:g}", node.value, "float32")
        else:
            assert node.op != LEAF, f"{node.of}.{node.name} is not known yet"
            operands = [self.name_of(operand) for operand in node.args]
            name = self._wanted.get(node) or f"{self.p}v{len(self.names)}"
            self.names[node] = self.b.op(NODES[node.op], *operands, name=name)
        return self.names[node]

    def _name(self, values: list[Expr], whole: str, label: str, gates: Gates) -> None:
        """Cut `whole` [·, len(gates)·H] into the values of gates."""
        self.names.update(zip(values, self._cut(whole, [(gate,) for gate in gates], label), strict=True))

    def _cut(self, whole: str, parts: Sequence[Gates], label: str) -> list[str]:
        if len(parts) == 1:
            return [whole]
        names = [self.p + label + "".join(part) for part in parts]
        return self.b.split(whole, names, [len(part) * self.H for part in parts])
