"""The calls of a forward pass."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from tuirnn.codegen.expression import Expr, depends, leaf, make, walk
from tuirnn.codegen.trace import Stage, Traced, sum_of_halves
from tuirnn.kernels.inplace.calls import Phases, column
from tuirnn.kernels.inplace.emitter import MINUS_TWO, ONE, Emitter


@cache
def forward_program(cell: Traced) -> Phases:
    """Compile the forward pass of a cell to calls."""
    gates = cell.gates
    places = {leaf("x", gate): column(i, i + 1) for i, gate in enumerate(gates)}
    places |= {leaf("state", name): f"before {name}" for name in cell.state}
    places |= {leaf("p", name): f"p {name}" for name in cell.vectors}
    states = [(cell.after[name], f"after {name}") for name in cell.state]
    columns = [(cell.kept[name], column(i, i + 1)) for i, name in enumerate(gates) if name in cell.kept]
    wanted = [*states, *columns, *((cell.kept[name], f"extra {name}") for name in cell.extra)]
    roots = [*(stage.operand for stage in cell.stages), *(node for node, _ in wanted)]
    e = Emitter(places, roots, dict(wanted))
    e.phase = "before"
    _values_of_inputs(e, roots)
    e.settle(pair for pair in states if not _is_carried(pair[0]))
    e.phase = "step"
    for stage in cell.stages:
        _stage(e, cell, stage)
    read = set(walk(*roots))
    carried = {f"after {name}" for name in cell.state if leaf("state", name) in read}  # the next step reads them
    now = [(node, home) for node, home in wanted if _is_carried(node)]
    later = []
    for node, home in sorted(now, key=lambda pair: pair[1] not in carried):
        if home in carried or not _can_wait(e, node):
            e.value(node)
        else:
            later.append((node, home))
    e.settle(pair for pair in now if pair not in later)
    e.phase = "after"
    for node, _ in later:
        e.value(node)
    e.settle(pair for pair in wanted if pair in later or not _is_carried(pair[0]))
    return Phases(*e.phases())


def _is_carried(node: Expr) -> bool:
    """Return whether a value depends on the state before the step."""
    return depends(node, "state", "W")


def _values_of_inputs(e: Emitter, roots: list[Expr]) -> None:
    """Emit the values that steps need and that do not depend on the state."""
    users: dict[Expr, list[Expr]] = {}
    for node in walk(*roots):
        for operand in node.args:
            users.setdefault(operand, []).append(node)
    for node in walk(*roots):
        if node.args and not _is_carried(node) and (node in roots or any(map(_is_carried, users[node]))):
            e.value(node)


def _can_wait(e: Emitter, node: Expr) -> bool:
    """Return whether a value can be computed after the steps of a block, from the contents of its buffers."""
    if node in e.places:
        place = e.places[node]
        keeper = next((other for other, home in e.homes.items() if home == place), node)
        return keeper is node and not place.startswith("step")
    return bool(node.args) and all(_can_wait(e, operand) for operand in node.args)


def _stage(e: Emitter, cell: Traced, stage: Stage) -> None:
    """Emit an operand, its product, the sums of halves, and functions that serve several gates at once."""
    first, row = cell.gates.index(stage.gates[0]), cell.recurrent.index(stage.gates[0])
    last = first + len(stage.gates)
    made = e.product(e.value(stage.operand), (row, row + len(stage.gates)))
    _add_halves(e, cell, made, first, last)
    _apply_functions(e, cell, first, last)


def _add_halves(e: Emitter, cell: Traced, made: str, first: int, last: int) -> None:
    """Add a stage's product `made` to the input halves of additive gates; the rest of it gets places of its own."""
    gates = cell.gates
    for i, j in _runs([gate in cell.additive for gate in gates[first:last]]):
        part = made if (i, j) == (0, last - first) else e.add(_columns(i, j, last - first), made)
        i, j = first + i, first + j
        if gates[i] in cell.additive:
            e.add(torch.add, column(i, j), part, into=column(i, j))
            e.places |= {sum_of_halves(gates[at]): column(at, at + 1) for at in range(i, j)}
        else:
            for at in range(i, j):
                e.places[leaf("W", gates[at])] = (
                    part if j == i + 1 else e.add(_columns(at - i, at - i + 1, j - i), part)
                )


def _apply_functions(e: Emitter, cell: Traced, first: int, last: int) -> None:
    """Apply σ to neighbouring gates in one call, also for gates with tanh."""
    gates = cell.gates

    def result(gate: str) -> Expr | None:
        """Return the only function of a gate's argument, if its result is required in the gate's place."""
        found = [f for f in (make("sigmoid", sum_of_halves(gate)), make("tanh", sum_of_halves(gate)))
                 if e.homes.get(f) == column(gates.index(gate), gates.index(gate) + 1)]  # fmt: skip
        return found[0] if gate in cell.additive and found and e.uses[sum_of_halves(gate)] == 1 else None

    results = [result(gate) for gate in gates[first:last]]
    for i, j in _runs([node is not None for node in results]):
        nodes = [node for node in results[i:j] if node is not None]
        if not nodes or all(node.op == "tanh" for node in nodes):
            continue
        i, j = first + i, first + j
        scaled = [column(i + at, i + at + 1) for at, node in enumerate(nodes) if node.op == "tanh"]
        for place in scaled:
            e.add(torch.mul, place, e.value(MINUS_TWO), into=place)
        e.add(torch.sigmoid, column(i, j), into=column(i, j))
        for place in scaled:
            e.add(torch.add, e.value(ONE), place, into=place, alpha=-2)
        e.places |= {node: column(i + at, i + at + 1) for at, node in enumerate(nodes)}


def _runs(keys: list[bool]) -> list[tuple[int, int]]:
    """Return the (start, end) pairs of runs of equal keys."""
    edges = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
    return list(pairwise(edges))


def _columns(i: int, j: int, count: int) -> Callable[[Tensor], Tensor]:
    """Return a function that views the columns of gates i to j − 1 of `count`."""

    def view(x: Tensor) -> Tensor:
        H = x.shape[-1] // count
        return x.narrow(-1, i * H, (j - i) * H)

    return view
