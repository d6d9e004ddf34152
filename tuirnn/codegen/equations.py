"""A cell's equations for people, in Unicode, from its definition.

δs' is the gradient of a state after the step, δs that of the state before; δg that of what gate g's function is applied
to. Where several results share the whole gradient of a state, it is called Δs.
"""

from dataclasses import dataclass

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, make, walk
from tuirnn.codegen.trace import Traced, traced

FUNCTIONS = {"sigmoid": "σ({})", "tanh": "tanh({})", "relu": "relu({})", "is_positive": "[{} > 0]"}
SUM, NEGATION, PRODUCT, ATOM = range(4)
"""How tightly a text holds together, in ascending order."""


@dataclass(frozen=True)
class Equations:
    """One line for each equation, in the order in which they are computed."""

    forward: tuple[str, ...]
    backward: tuple[str, ...]


def equations(cell: Cell) -> Equations:
    """The equations of a cell."""
    made = traced(cell)
    return Equations(tuple(_forward(made)), tuple(_backward(made)))


def _forward(cell: Traced) -> list[str]:
    operands = {gate: stage.operand for stage in cell.stages for gate in stage.gates}
    texts = _Texts({leaf("state", name): name for name in cell.state})
    for gate in cell.gates:
        texts.sums[leaf("x", gate)] = f"W_x{gate} x + b_x{gate}"
        texts.recurrent[leaf("W", gate)] = (f"W_h{gate}", operands[gate], f" + b_h{gate}")
        if gate in cell.additive:
            both = make("add", leaf("x", gate), leaf("W", gate))
            texts.recurrent[both] = (f"W_x{gate} x + W_h{gate}", operands[gate], f" + b_{gate}")
    named = {node: name for name, node in cell.kept.items()}
    named |= {node: f"{name}'" for name, node in cell.after.items()}
    return texts.lines(named)


def _backward(cell: Traced) -> list[str]:
    texts = _Texts({leaf("state", name): name for name in cell.state})
    texts.names |= {leaf("kept", name): name for name in cell.kept}
    texts.names |= {leaf("after", name): f"{name}'" for name in cell.state}
    texts.names |= {leaf("d", name): f"δ{name}'" for name in cell.state}
    named: dict[Expr, str] = {}
    products = {node.name: name for name, node in cell.kept.items() if node.of == "W"}
    for gate in cell.gates:
        named.setdefault(cell.gradients.x[gate], "δa" if gate in cell.state else f"δ{gate}")
        named.setdefault(cell.gate_gradients[gate], f"δ{products.get(gate, gate + '_h')}")
    for product in cell.products:
        parts = [f"W_h{gate}ᵀ {named[node]}" for gate, node in product.gradients.items()]
        texts.sums[leaf("Wt", product.name)] = " + ".join(parts)
        texts.needs[leaf("Wt", product.name)] = tuple(product.gradients.values())
    roots = [*cell.gradients.x.values(), *cell.gate_gradients.values(), *cell.gradients.before.values()]
    for node in list(walk(*roots)):
        states = [operand.name for operand in node.args if node.op == "add" and operand.of == "d"]
        if states and sum(node in each.args for each in walk(*roots)) > 1:
            named.setdefault(node, f"Δ{states[0]}")
    results = {node: f"δ{name}" for name, node in cell.gradients.before.items()}
    return texts.lines(named) + texts.lines(results)


class _Texts:
    """Expressions as text.

    Attributes:
        names: of expressions that have one.
        sums: texts of given values.
        recurrent: texts around what a recurrent product multiplies.
        needs: what has to have a name before a given value is written.
    """

    def __init__(self, names: dict[Expr, str]) -> None:
        self.names = names
        self.sums: dict[Expr, str] = {}
        self.recurrent: dict[Expr, tuple[str, Expr, str]] = {}
        self.needs: dict[Expr, tuple[Expr, ...]] = {}

    def lines(self, named: dict[Expr, str]) -> list[str]:
        """An equation for each named expression; from then on it is called by its name."""
        found, below = [], list(self._walk(*named))
        for node in below:
            if node in named:
                found.append(f"{named[node]} = {self.text(node, SUM)}")
                self.names[node] = named[node]
        return found

    def _walk(self, *roots: Expr) -> dict[Expr, None]:
        """Everything below some expressions, what products multiply as well, operands first."""
        seen: dict[Expr, None] = {}

        def visit(node: Expr) -> None:
            if node in seen:
                return
            recurrent = self.recurrent[node][1:2] if node in self.recurrent else ()
            for operand in (*node.args, *recurrent, *self.needs.get(node, ())):
                visit(operand)
            seen[node] = None

        for root in roots:
            visit(root)
        return seen

    def text(self, node: Expr, tightness: int) -> str:
        """The text of an expression, in parentheses where it holds together less tightly than asked."""
        if node in self.names:
            return self.names[node]
        text, own = self._plain(node)
        return f"({text})" if own < tightness else text

    def _plain(self, node: Expr) -> tuple[str, int]:
        if node in self.recurrent:
            before, operand, after = self.recurrent[node]
            return f"{before} {self.text(operand, ATOM)}{after}", SUM
        if node in self.sums:
            return self.sums[node], SUM
        if node.op == CONSTANT:
            return f"{node.value:g}", ATOM
        assert node.op != LEAF, f"{node.of}.{node.name} has no name"
        if node.op in FUNCTIONS:
            return FUNCTIONS[node.op].format(self.text(node.args[0], SUM)), ATOM
        if node.op == "neg":
            return f"−{self.text(node.args[0], PRODUCT)}", NEGATION
        left, right = node.args
        if node.op == "mul":
            if left is right:
                return f"{self.text(left, ATOM)}²", ATOM
            return f"{self.text(left, PRODUCT)} {self.text(right, PRODUCT)}", PRODUCT
        sign, tight = ("+", SUM) if node.op == "add" else ("−", NEGATION)
        return f"{self.text(left, SUM)} {sign} {self.text(right, tight)}", SUM
