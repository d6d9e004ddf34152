"""The order in which a kernel computes a traced cell: elementwise phases around its matrix products.

A kernel processes all units of a step once before the first product and once after each product: these are the phases.
A phase reads memory and the result of the preceding product, and writes gates and kept values, the operand of the next
product, states, or gradients. A value that a later phase needs and could not compute any more goes into a buffer of
its own, a carry. A gradient that replaces an activation overwrites its place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, depends, is_steady, leaf, outermost, walk
from tuirnn.codegen.trace import Traced, sum_of_halves


@dataclass(frozen=True)
class Place:
    """A buffer, [B, H] per step.

    Attributes:
        of: kind of the buffer. Forward: 'gate' (input half, then the kept value), 'extra', 'before' and 'after'
            (states), 'vector' ([H]), 'operand' (of a product), 'carry', 'once' ([H], computed from vectors alone).
            Backward also: 'dx' and 'dgate' (gradients of the input half and the recurrent product), 'd' (gradient of
            the state after the step, then of the state before it), 'dvector' (a sum over sequences and steps).
        index: number within the kind.
    """

    of: str
    index: int


@dataclass(frozen=True)
class Phase:
    """Elementwise work on all units.

    Attributes:
        arrives: values in registers -> the number of their row in the preceding product, or of the state whose gradient
            they are.
        reads: values in memory -> their place.
        writes: (place, value) pairs; a phase reads everything before it writes anything.
    """

    arrives: Mapping[Expr, int]
    reads: Mapping[Expr, Place]
    writes: tuple[tuple[Place, Expr], ...]

    @cached_property
    def needed(self) -> list[Expr]:
        """The values that are read or computed, operands first."""
        known, roots = {*self.arrives, *self.reads}, (value for _, value in self.writes)
        return list(walk(*roots, operands=lambda node: () if node in known else node.args))


@dataclass(frozen=True)
class Product:
    """A matrix product between two phases.

    Attributes:
        first, rows: the gates of the product: number of the first among all gates, and how many.
        weight_row: number of the first among the gates of weight_hh.
        operand: place of the operand; None for a backward product, whose operand is the gates' gradients.
        from_input: for each gate, whether the sum starts from its input half; otherwise it starts from bias_hh.
    """

    first: int
    rows: int
    weight_row: int
    operand: Place | None = None
    from_input: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """A pass: phase, product, phase, …, phase.

    Attributes:
        phases: one more than the products.
        products: in order.
        once: values that depend on vectors alone, computed before the first step.
        carries: number of buffers [B, H] for values that a later phase of the same step reads.
        operands: number of buffers [B, H] for operands of products.
    """

    phases: tuple[Phase, ...]
    products: tuple[Product, ...]
    once: Phase
    carries: int
    operands: int


def _kept(cell: Traced) -> dict[str, Place]:
    """Return the place of each kept value."""
    places = {name: Place("gate", i) for i, name in enumerate(cell.gates)}
    places |= {name: Place("extra", i) for i, name in enumerate(cell.extra)}
    return {name: places[name] for name in cell.kept}


@cache
def forward_schedule(cell: Traced) -> Schedule:
    """Schedule a forward step."""
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
    writes = [*operands, *((place, cell.kept[name]) for name, place in _kept(cell).items())]
    last = [(Place("after", i), cell.after[name]) for i, name in enumerate(cell.state)]
    arrivals: list[dict[Expr, int]] = [{}]
    for stage in cell.stages:
        sums = (sum_of_halves(gate) if gate in cell.additive else leaf("W", gate) for gate in stage.gates)
        arrivals.append({node: row for row, node in enumerate(sums)})
    return _scheduled(arrivals, memory, writes, products, len(operands), last=last)


@cache
def backward_schedule(cell: Traced) -> Schedule:
    """Schedule a backward step."""
    gates, made = cell.gates, cell.gradients
    memory = {leaf("kept", name): place for name, place in _kept(cell).items()}
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
    """Assign each result to the first phase that can compute it.

    Args:
        arrivals: the values in registers at the start of each phase.
        memory: the values in memory at the start of the step.
        writes: the results.
        products: the products between the phases.
        operands: number of buffers for operands.
        last: results of the last phase.
        over: kind of the places that overwrite those of gates.
    """
    waiting, phases, carries = list(writes), list[Phase](), 0
    last = list(last)
    roots = [value for _, value in [*waiting, *last]]
    found = outermost(roots, lambda node: bool(node.args) and depends(node, "p") and is_steady(node))
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
        memory |= {value: place for place, value in ready if place.of in ("gate", "extra") and value.op != CONSTANT}
        if not is_last:
            roots = [value for _, value in [*waiting, *last]]
            for node in _frontier(roots, known, memory, {*arrives, *(set(reads) - set(memory))}):
                place = _home(node, waiting, {place for place, _ in ready}) or Place("carry", carries)
                carries += place.of == "carry"
                ready.append((place, node))
                memory = {other: at for other, at in memory.items() if at != place} | {node: place}
        phases.append(Phase(arrives, reads, tuple(each for each in ready if reads.get(each[1]) != each[0])))
    return Schedule(tuple(phases), tuple(products), once, carries, operands)


def _can_be_made(node: Expr, known: set[Expr]) -> bool:
    return node in known or (node.op != LEAF and all(_can_be_made(operand, known) for operand in node.args))


def _frontier(roots: Iterable[Expr], known: set[Expr], memory: Mapping[Expr, Place], lost: set[Expr]) -> list[Expr]:
    """List the largest parts of later results that need a lost value: they can be computed now, but not later."""
    found = outermost(roots, lambda node: node in memory or _can_be_made(node, known))
    return [node for node in found if node not in memory and not lost.isdisjoint(walk(node))]


def _home(node: Expr, waiting: list[tuple[Place, Expr]], taken: set[Place]) -> Place | None:
    """Find the place of a state's gradient that is a sum with this term, which no other result needs."""
    for place, root in waiting:
        others = [value for _, value in waiting if value is not root]
        if place.of == "d" and place not in taken and node in _terms(root):
            return None if any(node in walk(other) for other in others) else place
    return None


def _terms(node: Expr) -> set[Expr]:
    """Return a sum and all its terms."""
    return {node}.union(*map(_terms, node.args)) if node.op == "add" else {node}
