"""Traced cells: the expressions of a step and of a backward step, and the properties that follow from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property

from tuirnn.cells import Cell, Gradients, Parts
from tuirnn.codegen.expression import Expr, depends, leaf, lift, make, replaced, walk
from tuirnn.errors import CellError


@dataclass(frozen=True)
class Stage:
    """A recurrent product: `operand` [B, H] times weight_hhᵀ for the rows of `gates`."""

    operand: Expr
    gates: tuple[str, ...]


@dataclass(frozen=True)
class BackwardProduct:
    """A backward product: Σ gradients[gate] weight_hh[gate]; its result is the leaf ("Wt", name)."""

    name: str
    gradients: Parts[Expr]

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose rows it multiplies."""
        return tuple(self.gradients)


@dataclass(frozen=True, eq=False)
class Traced:
    """A cell's two functions as expressions; every value is [B, H], a vector [H].

    Leaves, by kind: forward `x` (input half), `W` (recurrent product), `state` (before the step), `p` (vector);
    backward `d` (gradient of the state after the step), `kept`, `state`, `after`, `Wt` (backward product), `p`.

    Attributes:
        cell: the definition.
        stages: recurrent products, in order.
        after: state after the step.
        kept: values that the backward step needs in addition to the states.
        products: backward products, in order.
        gradients: results of the backward step.
    """

    cell: Cell
    stages: tuple[Stage, ...]
    after: Parts[Expr]
    kept: Parts[Expr]
    products: tuple[BackwardProduct, ...]
    gradients: "Gradients[Expr]"

    @property
    def name(self) -> str:
        """Name of the cell."""
        return self.cell.name

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates, in the order of weight rows."""
        return self.cell.gates

    @property
    def G(self) -> int:
        """Number of gates."""
        return len(self.cell.gates)

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """The gates that have a recurrent product, in the order of weight_hh's rows."""
        met = {gate for stage in self.stages for gate in stage.gates}
        return tuple(gate for gate in self.cell.gates if gate in met)

    @property
    def R(self) -> int:
        """Number of gates with a recurrent product."""
        return len(self.recurrent)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the parameters with one number for each unit."""
        return self.cell.vectors

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the state's parts, h first."""
        return self.cell.state

    @cached_property
    def non_additive(self) -> tuple[str, ...]:
        """The gates with a recurrent product that are not additive: bias_hh is added to the product."""
        return tuple(gate for gate in self.recurrent if gate not in self.additive)

    @cached_property
    def gate_gradients(self) -> Parts[Expr]:
        """Gradient of each gate's recurrent product, for the gates that have one."""
        found = self.gradients.gates if self.gradients.gates is not None else self.gradients.x
        return Parts({gate: found[gate] for gate in self.recurrent})

    @cached_property
    def vector_gradients(self) -> Parts[Expr]:
        """Gradient of each vector for every sequence [B, H], not yet summed."""
        return self.gradients.vectors if self.gradients.vectors is not None else Parts()

    @cached_property
    def split(self) -> tuple[str, ...]:
        """The gates whose two halves have different gradients."""
        return tuple(g for g in self.recurrent if self.gradients.x[g] is not self.gate_gradients[g])

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """Names of the kept values that are not stored in the place of a gate."""
        return tuple(name for name in self.kept if name not in self.cell.gates)

    @cached_property
    def keeps_gates(self) -> bool:
        """Whether values in the places of gates are kept for the backward step."""
        return any(name in self.cell.gates for name in self.kept)

    @property
    def results(self) -> tuple[Expr, ...]:
        """The results of a forward step: states, kept values, operands."""
        return (*self.after.values(), *self.kept.values(), *(stage.operand for stage in self.stages))

    @cached_property
    def additive(self) -> frozenset[str]:
        """The gates whose halves are used only as their sum: bias_hh may be added to the input half."""
        nodes, results = list(walk(*self.results)), {*self.after.values(), *self.kept.values()}

        def is_additive(gate: str) -> bool:
            both = sum_of_halves(gate)
            users = {node for node in nodes if not set(both.args).isdisjoint(node.args)}
            return users == {both} and results.isdisjoint(both.args)

        return frozenset(filter(is_additive, self.cell.gates))

    @cached_property
    def operands(self) -> tuple[Expr, ...]:
        """Each stage's operand as an expression of the state before the step and kept values.

        Raises:
            CellError: an operand cannot be computed from them.
        """
        by = {node: leaf("kept", name) for name, node in self.kept.items()}
        found = tuple(replaced(stage.operand, by) for stage in self.stages)
        for node in found:
            if depends(node, "x", "W"):
                raise CellError(f"cell '{self.name}': `step` must keep what the operands of its products depend on")
        return found


def sum_of_halves(gate: str) -> Expr:
    """Return the sum of a gate's halves."""
    return make("add", leaf("x", gate), leaf("W", gate))


@cache
def traced(cell: Cell) -> Traced:
    """Trace a cell: call its functions with expressions. The result is cached.

    Raises:
        CellError: the functions do not agree with the cell's declaration.
    """
    gates, names = cell.gates, cell.state
    stages: list[Stage] = []
    products: list[BackwardProduct] = []

    def W(operand: Expr, some: str) -> Parts[Expr]:
        stages.append(Stage(operand, tuple(some.split())))
        return Parts({gate: leaf("W", gate) for gate in some.split()})

    def Wt(**gradients: Expr) -> Expr:
        ordered = sorted(gradients, key=lambda gate: gates.index(gate) if gate in gates else len(gates))
        products.append(BackwardProduct(str(len(products)), Parts({gate: lift(gradients[gate]) for gate in ordered})))
        return leaf("Wt", products[-1].name)

    def leaves(of: str, some: tuple[str, ...]) -> Parts[Expr]:
        return Parts({name: leaf(of, name) for name in some})

    state, vectors = leaves("state", names), leaves("p", cell.vectors)
    with _errors_of(cell, "step"):
        after, kept = cell.step(leaves("x", gates), state, W, vectors)
        kept = _lifted(kept)
    d, k, s = leaves("d", names), leaves("kept", tuple(kept)), leaves("after", names)
    with _errors_of(cell, "step_backward"):
        before, x, *optional = cell.step_backward(d, k, state, s, Wt, vectors)
        gradients = Gradients(_lifted(before), _lifted(x), *(parts and _lifted(parts) for parts in optional))
    made = Traced(cell, tuple(stages), after, kept, tuple(products), gradients)
    _check(made)
    return made


@contextmanager
def _errors_of(cell: Cell, function: str) -> Iterator[None]:
    """Raise errors in a definition as CellError with the names of the cell and the function."""
    try:
        yield
    except CellError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise CellError(
            f"cell '{cell.name}': {function} cannot be traced: {error}; it may use +, −, ×, ÷ and the functions of "
            "tuirnn.cells.functions, and no `if` on a value (use `select`)"
        ) from error


def _lifted(parts: Parts[Expr]) -> Parts[Expr]:
    """Return values as expressions; a definition may write the number 0."""
    return Parts({name: lift(value) for name, value in parts.items()})


def _check(made: Traced) -> None:
    """Raise CellError unless the traced functions agree with the cell's declaration."""
    cell = made.cell
    met = [gate for stage in made.stages for gate in stage.gates]
    if unknown := set(met) - set(cell.gates):
        raise CellError(f"cell '{cell.name}': W multiplies {sorted(unknown)}; its gates are {', '.join(cell.gates)}")
    given = made.gradients.gates
    for what, found, wanted in (
        ("states after the step", set(made.after), set(cell.state)),
        ("gradients of the state", set(made.gradients.before), set(cell.state)),
        ("gradients of the input halves", set(made.gradients.x), set(cell.gates)),
        ("gradients of the recurrent products", set(met if given is None else given), set(met)),
        ("gradients of the vectors", set(made.vector_gradients), set(cell.vectors)),
        ("gates with a transposed product", {gate for each in made.products for gate in each.gradients}, set(met)),
        ("names of gates", set(cell.words), set(cell.gates)),
    ):
        if found != wanted:
            raise CellError(f"cell '{cell.name}': expected {what} {sorted(wanted)}, not {sorted(found)}")
    for product in made.products:
        for gate, node in product.gradients.items():
            if node is not made.gate_gradients[gate]:
                raise CellError(f"cell '{cell.name}': Wt and the returned gradient of gate '{gate}' must be the same")
    if len(met) != len(set(met)):
        raise CellError(f"cell '{cell.name}' multiplies the rows of a gate twice; declare a gate for each product")
    for gates in (*(stage.gates for stage in made.stages), *(product.gates for product in made.products)):
        first = cell.gates.index(gates[0])
        if gates != cell.gates[first : first + len(gates)]:
            raise CellError(
                f"cell '{cell.name}': the gates {' '.join(gates)} of a product must be neighbours in `gates`, in the "
                f"same order: {' '.join(cell.gates)}"
            )
