"""When a kernel computes what: a traced cell as elementwise phases around its matrix products.

A kernel walks the units of a step once before the first product and once after each. A phase reads what stands in
memory and what the product before it gave, and writes: gates and kept values, the operand of the next product, states,
gradients. What a later phase needs but could not read any more is carried in a buffer of its own. Where a gradient
takes the place of an activation, the place counts as overwritten.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, make, walk
from tuirnn.codegen.trace import Traced


@dataclass(frozen=True)
class Place:
    """A buffer, [B, H] for each step.

    Attributes:
        of: forward 'gate' (input half, then what is kept), 'extra', 'before' and 'after' (states), 'vector' ([H]),
            'operand' (of a product), 'carry', 'once' ([H], from vectors alone); backward also 'dx' and 'dgate'
            (gradients of the two halves), 'd' (of a state: first of the one after the step, then of the one before),
            'dvector' (added up).
        index: which of them.
    """

    of: str
    index: int


@dataclass(frozen=True)
class Phase:
    """Elementwise work on all units.

    Attributes:
        arrives: what is in registers -> the number of its row in the product before, or of the state whose gradient it
            is.
        reads: what can be read in memory, and where.
        writes: (place, value) pairs; all is read before the first is written.
    """

    arrives: Mapping[Expr, int]
    reads: Mapping[Expr, Place]
    writes: tuple[tuple[Place, Expr], ...]

    @property
    def needed(self) -> list[Expr]:
        """All that is computed or read, operands first."""
        known = {*self.arrives, *self.reads}
        found: dict[Expr, None] = {}

        def visit(node: Expr) -> None:
            if node in found:
                return
            if node not in known:
                for operand in node.args:
                    visit(operand)
            found[node] = None

        for _, value in self.writes:
            visit(value)
        return list(found)


@dataclass(frozen=True)
class Product:
    """A matrix product between two phases.

    Attributes:
        first, rows: the gates that take part, as columns of the input half.
        weight_row: of the first in weight_hh, in units of H.
        operand: where the operand stands; of a backward product None: the gates' gradients.
        from_input: for each gate, whether the sum begins with its input half; else it begins with bias_hh.
    """

    first: int
    rows: int
    weight_row: int
    operand: Place | None = None
    from_input: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """A pass: phase, product, phase, … phase.

    Attributes:
        phases: one more than there are products.
        products: in order.
        once: what depends on vectors alone, computed before the first step.
        carries: buffers [B, H] that stay within a step.
        operands: the same, for operands.
    """

    phases: tuple[Phase, ...]
    products: tuple[Product, ...]
    once: Phase
    carries: int
    operands: int


@cache
def forward_schedule(cell: Traced) -> Schedule:
    """The phases of a forward step."""
    gates = cell.gates
    memory = {leaf("x", gate): Place("gate", i) for i, gate in enumerate(gates)}
    memory |= {leaf("state", name): Place("before", i) for i, name in enumerate(cell.state)}
    memory |= {leaf("p", name): Place("vector", i) for i, name in enumerate(cell.vectors)}
    products, operands = [], list[tuple[Place, Expr]]()
    for stage in cell.stages:
        place = memory.get(stage.operand) if stage.operand.of == "state" else None
        if place is None:
            place = Place("operand", len(operands))
            operands.append((place, stage.operand))
        first, from_input = gates.index(stage.gates[0]), tuple(gate in cell.additive for gate in stage.gates)
        weight_row = cell.recurrent.index(stage.gates[0])
        products.append(Product(first, len(stage.gates), weight_row, place, from_input))
    writes = [*operands]
    writes += [
        (Place("gate", gates.index(name)) if name in gates else Place("extra", cell.extra.index(name)), node)
        for name, node in cell.kept.items()
    ]
    last = [(Place("after", i), cell.after[name]) for i, name in enumerate(cell.state)]
    arrivals: list[dict[Expr, int]] = [{}]
    for stage in cell.stages:
        arrivals.append({_arrival(cell, gate): row for row, gate in enumerate(stage.gates)})
    return _scheduled(arrivals, memory, writes, products, len(operands), last=last)


def _arrival(cell: Traced, gate: str) -> Expr:
    """What a forward product gives for a gate: its whole argument, or the recurrent half."""
    W = leaf("W", gate)
    return make("add", leaf("x", gate), W) if gate in cell.additive else W


@cache
def backward_schedule(cell: Traced) -> Schedule:
    """The phases of a backward step."""
    gates, made = cell.gates, cell.gradients
    memory = {
        leaf("kept", name): Place("gate", gates.index(name))
        if name in gates
        else Place("extra", cell.extra.index(name))
        for name in cell.kept
    }
    for i, name in enumerate(cell.state):
        memory |= {leaf("state", name): Place("before", i), leaf("after", name): Place("after", i)}
    memory |= {leaf("p", name): Place("vector", i) for i, name in enumerate(cell.vectors)}
    writes = [(Place("dgate", gates.index(gate)), node) for gate, node in cell.gate_gradients.items()]
    apart = gates if cell.split else tuple(gate for gate in gates if gate not in cell.recurrent)
    writes += [(Place("dx" if cell.split else "dgate", gates.index(gate)), made.x[gate]) for gate in apart]
    writes += [(Place("dvector", i), cell.vector_gradients[name]) for i, name in enumerate(cell.vectors)]
    writes += [(Place("d", i), made.before[name]) for i, name in enumerate(cell.state)]
    products = [
        Product(gates.index(each.gates[0]), len(each.gates), cell.recurrent.index(each.gates[0]))
        for each in cell.products
    ]
    arrivals: list[dict[Expr, int]] = [{leaf("d", name): i for i, name in enumerate(cell.state)}]
    arrivals += [{leaf("Wt", each.name): 0} for each in cell.products]
    return _scheduled(arrivals, memory, writes, products, 0, over="dx" if cell.split else "dgate")


def _scheduled(
    arrivals: list[dict[Expr, int]],
    memory: dict[Expr, Place],
    writes: list[tuple[Place, Expr]],
    products: list[Product],
    operands: int,
    *,
    last: Iterable[tuple[Place, Expr]] = (),
    over: str = "gate",
) -> Schedule:
    """Compute each result as soon as it can be.

    Args:
        arrivals: what each phase finds in registers.
        memory: what can be read from the beginning.
        writes: results.
        products: between the phases.
        operands: number of their buffers.
        last: results of the last phase.
        over: the places that overwrite those of gates.
    """
    waiting, phases, carries = list(writes), list[Phase](), 0
    last = list(last)
    found = _of_vectors_alone(value for _, value in [*waiting, *last])
    once = Phase({}, memory, tuple((Place("once", i), node) for i, node in enumerate(found)))
    memory = memory | {node: place for place, node in once.writes}
    for number, arrives in enumerate(arrivals):
        known = {*memory, *arrives}
        is_last = number == len(arrivals) - 1
        ready = [each for each in waiting if _can_be_made(each[1], known)]
        waiting = [each for each in waiting if each not in ready]
        if is_last:
            assert not waiting, f"{[place for place, _ in waiting]} cannot be computed"
            ready += last
        lost = {Place("gate", place.index) for place, _ in ready if place.of == over}
        reads = dict(memory)
        memory = {node: place for node, place in memory.items() if place not in lost}
        memory |= {value: place for place, value in ready if place.of in ("gate", "extra") and not _is_number(value)}
        if not is_last:
            roots = [value for _, value in [*waiting, *last]]
            for node in _frontier(roots, known, memory, _depends_on([*arrives, *(set(reads) - set(memory))])):
                place = _home(node, waiting, {place for place, _ in ready}) or Place("carry", carries)
                carries += place.of == "carry"
                ready.append((place, node))
                memory = {other: at for other, at in memory.items() if at != place} | {node: place}
        phases.append(Phase(arrives, reads, tuple(each for each in ready if reads.get(each[1]) != each[0])))
    return Schedule(tuple(phases), tuple(products), once, carries, operands)


def _of_vectors_alone(roots: Iterable[Expr]) -> list[Expr]:
    """The largest parts of some values that are computed from vectors and numbers."""
    found: dict[Expr, None] = {}

    def visit(node: Expr) -> None:
        if node.args and {each.of for each in walk(node) if each.op == LEAF} == {"p"}:
            found[node] = None
        else:
            for operand in node.args:
                visit(operand)

    for root in roots:
        visit(root)
    return list(found)


def _is_number(node: Expr) -> bool:
    return node.op == CONSTANT


def _can_be_made(node: Expr, known: set[Expr]) -> bool:
    return node in known or (node.op != LEAF and all(_can_be_made(operand, known) for operand in node.args))


def _depends_on(leaves: Iterable[Expr]) -> Callable[[Expr], bool]:
    some = set(leaves)
    return lambda node: any(each in some for each in walk(node))


def _frontier(
    roots: Iterable[Expr], known: set[Expr], memory: Mapping[Expr, Place], perishes: Callable[[Expr], bool]
) -> list[Expr]:
    """The largest parts of later results that can be computed now and could not be any more."""
    found: dict[Expr, None] = {}

    def visit(node: Expr) -> None:
        if node in memory or node.op == CONSTANT:
            return
        if _can_be_made(node, known):
            if perishes(node):
                found[node] = None
        else:
            for operand in node.args:
                visit(operand)

    for root in roots:
        visit(root)
    return list(found)


def _home(node: Expr, waiting: list[tuple[Place, Expr]], taken: set[Place]) -> Place | None:
    """The place of a state's gradient that is a sum with this part, which nothing else needs: it is added up there."""
    for place, root in waiting:
        others = [value for _, value in waiting if value is not root]
        if place.of == "d" and place not in taken and node in _terms(root):
            return None if any(node in walk(other) for other in others) else place
    return None


def _terms(node: Expr) -> set[Expr]:
    """A sum and all its parts."""
    return {node}.union(*map(_terms, node.args)) if node.op == "add" else {node}
