"""The calls of a forward step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from tuirnn.codegen.expression import Expr, leaf, make
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.inplace.calls import MINUS_TWO, ONE, Call, Emitter, Product, Program, column


@dataclass(frozen=True)
class Forward:
    """A step: `program` over the places 'gates i j' (columns of gates), 'before h', 'after h', 'extra q' and its own.

    Attributes:
        columns: the runs of gates whose places it uses.
    """

    program: Program
    columns: tuple[tuple[int, int], ...]


@cache
def forward_program(cell: Traced) -> Forward:
    """The calls of a forward step."""
    gates = cell.cell.gates
    places = {leaf("x", gate): column(i, i + 1) for i, gate in enumerate(gates)}
    places |= {leaf("state", name): f"before {name}" for name in cell.cell.state}
    roots = [*(stage.operand for stage in cell.stages), *cell.after.values(), *cell.kept.values()]
    homes = {cell.after[name]: f"after {name}" for name in cell.cell.state}
    homes |= {
        node: column(gates.index(name), gates.index(name) + 1) for name, node in cell.kept.items() if name in gates
    }
    homes |= {cell.kept[name]: f"extra {name}" for name in cell.extra}
    e = Emitter(places, roots, homes)
    for stage in cell.stages:
        first, last = gates.index(stage.gates[0]), gates.index(stage.gates[-1]) + 1
        operand = e.value(stage.operand)
        e.calls.append(Product(operand, (first, last), f"product {first}"))
        _add_halves(e, cell, first, last)
        _apply_functions(e, cell, homes, first, last)
    for node, home in homes.items():
        if node not in e.places or e.places[node] != home:
            e.places[node] = e.value(node, home)
    used = {name for call in e.calls if isinstance(call, Call) for name in (*call.inputs, call.into)}
    runs = [(i, j) for i in range(len(gates)) for j in range(i + 1, len(gates) + 1) if column(i, j) in used]
    return Forward(tuple(e.calls), tuple(runs))


def _add_halves(e: Emitter, cell: Traced, first: int, last: int) -> None:
    """Add a stage's product to the input halves of the gates whose halves are summed; name the rest of it."""
    gates, made = cell.cell.gates, f"product {first}"
    for i, j in _runs([gate in cell.additive for gate in gates[first:last]]):
        part = made if (i, j) == (0, last - first) else e.add(_columns(i, j, last - first), made)
        i, j = first + i, first + j
        if gates[i] in cell.additive:
            e.add(torch.add, column(i, j), part, into=column(i, j))
            e.places |= {_argument(gates[at]): column(at, at + 1) for at in range(i, j)}
        else:
            for at in range(i, j):
                e.places[leaf("W", gates[at])] = (
                    part if j == i + 1 else e.add(_columns(at - i, at - i + 1, j - i), part)
                )


def _apply_functions(e: Emitter, cell: Traced, homes: dict[Expr, str], first: int, last: int) -> None:
    """Apply σ to neighbouring gates in one call, to those of tanh as well."""
    gates = cell.cell.gates

    def result(gate: str) -> Expr | None:
        """What a gate's argument becomes in its own place: the one function of it."""
        found = [f for f in (make("sigmoid", _argument(gate)), make("tanh", _argument(gate)))
                 if homes.get(f) == column(gates.index(gate), gates.index(gate) + 1)]  # fmt: skip
        return found[0] if gate in cell.additive and found and e.uses[_argument(gate)] == 1 else None

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


def _argument(gate: str) -> Expr:
    return make("add", leaf("x", gate), leaf("W", gate))


def _runs(keys: list[bool]) -> list[tuple[int, int]]:
    """Stretches of equal keys."""
    edges = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
    return list(pairwise(edges))


def _columns(i: int, j: int, count: int) -> Callable[[Tensor], Tensor]:
    """The columns of gates i to j − 1 of `count`, as a view."""

    def view(x: Tensor) -> Tensor:
        H = x.shape[-1] // count
        return x.narrow(-1, i * H, (j - i) * H)

    return view
