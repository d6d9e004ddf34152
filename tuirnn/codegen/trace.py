"""A cell traced: its step as stages between recurrent products, its backward step, and what follows from both."""

from dataclasses import dataclass
from functools import cache, cached_property

from tuirnn.cells import Cell, Gradients, Parts
from tuirnn.codegen.expression import Expr, depends, leaf, make, replaced, walk


@dataclass(frozen=True)
class Stage:
    """A recurrent product: `operand` [B, H] times the rows of `gates`."""

    operand: Expr
    gates: tuple[str, ...]


@dataclass(frozen=True)
class BackwardProduct:
    """A transposed product: Σ gradients[gate] weight_hh[gate]; its result is the leaf ("Wt", name)."""

    name: str
    gradients: Parts[Expr]


@dataclass(frozen=True, eq=False)
class Traced:
    """A cell's two functions as expressions.

    Leaves, by kind: forward `x` (input half), `W` (recurrent product), `state` (before); backward `d` (gradient of the
    state after), `kept`, `state`, `after`, `Wt` (result of a backward product).

    Attributes:
        cell: the definition.
        stages: recurrent products, in the order in which they are made.
        after: state after the step.
        kept: what the backward step needs beside the states.
        products: transposed products, in order.
        gradients: what the backward step returns; its `gates` are never None.
    """

    cell: Cell
    stages: tuple[Stage, ...]
    after: Parts[Expr]
    kept: Parts[Expr]
    products: tuple[BackwardProduct, ...]
    gradients: "Gradients[Expr]"

    @property
    def name(self) -> str:
        """Of the cell."""
        return self.cell.name

    @property
    def gates(self) -> tuple[str, ...]:
        """In the order of weight rows."""
        return self.cell.gates

    @property
    def G(self) -> int:
        """Number of gates."""
        return len(self.cell.gates)

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the state's parts, h first."""
        return self.cell.state

    @property
    def extra_width(self) -> int:
        """Buffers of H a step that are kept beside the gates."""
        return len(self.extra)

    @property
    def sums_halves(self) -> bool:
        """Whether bias_hh of all gates may be added to the input halves."""
        return self.additive == set(self.cell.gates)

    @cached_property
    def gate_gradients(self) -> Parts[Expr]:
        """Gradient of each gate's recurrent product."""
        return self.gradients.gates if self.gradients.gates is not None else self.gradients.x

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """Names of what is kept beside the gates."""
        return tuple(name for name in self.kept if name not in self.cell.gates)

    @cached_property
    def keeps_gates(self) -> bool:
        """Whether gates are kept for the backward step; else the states are enough."""
        return any(name in self.cell.gates for name in self.kept)

    @cached_property
    def additive(self) -> frozenset[str]:
        """The gates whose two halves are only ever added up: their bias_hh may be added to the input half."""
        nodes = list(walk(*self.after.values(), *self.kept.values(), *(stage.operand for stage in self.stages)))
        found = set()
        for gate in self.cell.gates:
            x, W = leaf("x", gate), leaf("W", gate)
            both = make("add", x, W)
            users = [node for node in nodes if node is not both and (x in node.args or W in node.args)]
            results = {*self.after.values(), *self.kept.values()}
            if both in nodes and not users and x not in results and W not in results:
                found.add(gate)
        return frozenset(found)

    @cached_property
    def operands(self) -> tuple[Expr, ...]:
        """Each stage's operand in terms of the state before and of what is kept, for the weights' gradients."""
        by = {node: leaf("kept", name) for name, node in self.kept.items()}
        found = tuple(replaced(stage.operand, by) for stage in self.stages)
        assert not any(depends(node, "x", "W") for node in found), f"{self.cell.name} keeps too little"
        return found


@cache
def traced(cell: Cell) -> Traced:
    """Call the cell's functions on expressions.

    Raises:
        ValueError: they do not fit the cell's declaration.
    """
    gates, names = cell.gates, cell.state
    stages: list[Stage] = []
    products: list[BackwardProduct] = []

    def W(operand: Expr, some: str) -> Parts[Expr]:
        stages.append(Stage(operand, tuple(some.split())))
        return Parts({gate: leaf("W", gate) for gate in some.split()})

    def Wt(**gradients: Expr) -> Expr:
        products.append(BackwardProduct(str(len(products)), Parts(gradients)))
        return leaf("Wt", products[-1].name)

    def leaves(of: str, some: tuple[str, ...]) -> Parts[Expr]:
        return Parts({name: leaf(of, name) for name in some})

    state = leaves("state", names)
    after, kept = cell.step(leaves("x", gates), state, W)
    gradients = cell.step_backward(leaves("d", names), leaves("kept", tuple(kept)), state, leaves("after", names), Wt)
    made = Traced(cell, tuple(stages), after, kept, tuple(products), gradients)
    _check(made)
    return made


def _check(made: Traced) -> None:
    cell = made.cell
    met = [gate for stage in made.stages for gate in stage.gates]
    for what, found, wanted in (
        ("states after the step", set(made.after), set(cell.state)),
        ("gradients of the state", set(made.gradients.before), set(cell.state)),
        ("gradients of the input halves", set(made.gradients.x), set(cell.gates)),
        ("gates with a recurrent product", set(met), set(cell.gates)),
        ("gates with a transposed product", {gate for each in made.products for gate in each.gradients}, set(met)),
        ("names of gates", set(cell.words), set(cell.gates)),
    ):
        if found != wanted:
            raise ValueError(f"cell '{cell.name}': {what} are {sorted(found)}, not {sorted(wanted)}")
    for product in made.products:
        for gate, node in product.gradients.items():
            if node is not made.gate_gradients[gate]:
                raise ValueError(f"cell '{cell.name}': Wt gets another gradient of gate '{gate}' than is returned")
    if len(met) != len(set(met)):
        raise ValueError(
            f"cell '{cell.name}' multiplies a gate's rows twice in a step; give each product rows of its own"
        )
