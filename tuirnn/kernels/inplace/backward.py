"""The calls of a backward pass: factors for blocks of steps, gradients of each step, and gradients that can wait."""

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby

import torch
from torch import Tensor

from tuirnn.codegen.expression import LEAF, Expr, is_steady, leaf
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.inplace.calls import Phases, column
from tuirnn.kernels.inplace.emitter import Emitter, copied
from tuirnn.kernels.inplace.linear import ZERO, Linear, Term, is_gradient

Sums = dict[str, list[Term]]
"""The terms of gradients by name: 'column i', 'split n', 'before h', 'vector u'."""


@dataclass(frozen=True)
class Backward(Phases):
    """A backward pass. Its places are those of a forward pass, 'd h', and the following; columns end as gradients.

    `before` computes what does not depend on gradients; afterwards the places of gates and extras hold factors.

    Attributes:
        results: places of the gradients of the state before a step.
        split: (gate, place) of each input half that has a gradient of its own.
        vectors: place of each vector's gradient for every step and sequence; None if it is zero.
        stored: places of gradients that steps leave for `after`; 'stored d h' is filled before a step.
    """

    results: tuple[str, ...]
    split: tuple[tuple[int, str], ...]
    vectors: tuple[str | None, ...]
    stored: tuple[str, ...]

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The places of a block that a step reads or writes."""
        return tuple(sorted({*super().reads, *self.stored}))


@cache
def backward_program(cell: Traced) -> Backward:
    """Compile the backward pass of a cell to calls.

    Raises:
        ValueError: the cell's `step_backward` is not linear in the gradients.
    """
    homes = {f"column {gate}": column(i, i + 1) for i, gate in enumerate(cell.gates)}
    free = [*(f"extra {name}" for name in cell.extra), *(f"split {gate}" for gate in cell.split)]
    split = dict(zip(cell.split, free, strict=False))
    homes |= {f"split {gate}": place for gate, place in split.items()}
    wanted = {f"column {gate}": cell.gate_gradients.get(gate, cell.gradients.x[gate]) for gate in cell.gates}
    wanted |= {f"split {gate}": cell.gradients.x[gate] for gate in split}
    wanted |= {f"before {name}": cell.gradients.before[name] for name in cell.state}
    standing = {node: homes[name] for name, node in wanted.items() if name in homes and is_gradient(node)}
    try:
        linear = Linear([*wanted.values(), *cell.vector_gradients.values()])
        sums = {name: linear.terms(node) for name, node in wanted.items()}
        linear.done.update(standing)  # a vector's gradient may use the gradients in the columns
        sums |= {f"vector {name}": linear.terms(cell.vector_gradients[name]) for name in cell.vectors}
    except ValueError as error:
        raise ValueError(f"cell '{cell.name}': {error}") from error
    plan = _Plan(cell, sums, linear.shared, homes)
    e, factors = _factors(plan)
    results = _Step(plan, e, factors).emit()
    vectors = _After(plan, e, factors).emit(standing)
    where = tuple((cell.gates.index(gate), place) for gate, place in split.items())
    return Backward(*e.phases(), results, where, vectors, tuple(plan.stored.values()))


class _Plan:
    """The division of gradients into those that steps compute and those that can wait.

    Args:
        cell: the traced cell.
        sums: the required gradients.
        shared: sums that several of them contain.
        homes: the required places.
    Attributes:
        now: names of the gradients that other steps depend on.
        needed: the gradients that these contain.
        stored: gradients of a step that the waiting ones contain -> their places.
    """

    def __init__(self, cell: Traced, sums: Sums, shared: dict[Expr, list[Term]], homes: dict[str, str]) -> None:
        self.cell, self.sums, self.shared, self.homes = cell, sums, shared, homes
        multiplied = {f"column {gate}" for product in cell.products for gate in product.gates}
        self.now = {name for name in sums if name in multiplied or name.startswith("before ")}
        self.needed = self._under([terms for name, terms in sums.items() if name in self.now], set())
        waiting = self._under([terms for name, terms in sums.items() if name not in self.now], self.needed)
        given = [base for base in waiting if base in self.needed or base.op == LEAF]
        self.stored = {base: f"stored {base.of or number} {base.name}".strip() for number, base in enumerate(given)}

    def _under(self, sums: Iterable[list[Term]], stop: Container[Expr]) -> dict[Expr, None]:
        """Collect the gradients that some contain, in a fixed order; does not descend into those in `stop`."""
        found: dict[Expr, None] = {}
        for base in (term.base for terms in sums for term in terms):
            found[base] = None
            if base in self.shared and base not in stop:
                found |= self._under([self.shared[base]], stop)
        return found


def _factors(plan: _Plan) -> tuple[Emitter, dict[Expr, str]]:
    """Emit the calls that compute all factors; returns the emitter and the place of each factor.

    The factor of a gradient of one term is written where the gradient will be. That place may hold an activation that
    other factors read, so these factors are written last, each after the last read of what it overwrites.
    """
    cell, homes = plan.cell, plan.homes
    places = {leaf("kept", name): f"extra {name}" for name in cell.extra}
    places |= {leaf("kept", name): column(i, i + 1) for i, name in enumerate(cell.gates) if name in cell.kept}
    places |= {leaf("state", name): f"before {name}" for name in cell.state}
    places |= {leaf("after", name): f"after {name}" for name in cell.state}
    places |= {leaf("p", name): f"p {name}" for name in cell.vectors}
    every = [term.factor for terms in (*plan.sums.values(), *plan.shared.values()) for term in terms]
    factors = [factor for factor in every if factor is not None]
    e = Emitter(places, factors)
    e.phase = "before"
    alone = {name: terms[0].factor for name, terms in plan.sums.items() if name in homes and len(terms) == 1}
    waiting = {factor: homes[name] for name, factor in alone.items()
               if factor is not None and factors.count(factor) == 1 and not is_steady(factor)}  # fmt: skip
    found: dict[Expr, str] = {}
    for factor in factors:
        if factor not in waiting:
            place = e.value(factor)
            found[factor] = e.add(copied, place) if place in homes.values() else place
        elif e.uses[factor] > 1:
            e.value(factor)
        else:
            e.prepare(factor)
    while waiting:
        free = [
            f for f, home in waiting.items() if not any(home in e.reads(other) for other in waiting if other is not f)
        ]
        factor = free[0] if free else next(iter(waiting))
        if not free:  # they overwrite one another: the value goes to a new tensor first
            e.places[factor] = e.add(copied, e.value(factor))
            continue
        home = found[factor] = waiting.pop(factor)
        if e.value(factor, home) != home:
            raise AssertionError("a value is not in the required place")
    for name, home in homes.items():
        if not plan.sums[name]:  # the gradient is zero
            e.add(copied, e.value(ZERO), into=home)
    return e, found


class _Gradients:
    """Calls that compute gradients from others.

    Attributes:
        known: gradient -> its place.
        left: number of remaining uses of each gradient.
    """

    def __init__(self, plan: _Plan, e: Emitter, factors: dict[Expr, str]) -> None:
        self.plan, self.e, self.factors = plan, e, factors
        self.known: dict[Expr, str] = {}
        self.left: Counter[Expr] = Counter()

    def is_free(self, base: Expr) -> bool:
        """Return whether a gradient may be overwritten."""
        return not self.left[base] and base not in self.plan.stored

    def is_known(self, terms: list[Term]) -> bool:
        """Return whether a sum can be computed."""
        return all(term.base in self.known for term in terms)

    def columns(self, names: Iterable[str]) -> None:
        """Emit gradients of gates and input halves; one call for neighbours that are multiples of the same gradient."""
        gates, sums, homes = self.plan.cell.gates, self.plan.sums, self.plan.homes
        names = list(names)
        simple = {name: sums[name][0].base for name in names if self._is_at_home(name)}
        for base, neighbours in groupby(range(len(gates)), lambda i: simple.get(f"column {gates[i]}")):
            if base is not None:
                first, *more = neighbours
                place = column(first, first + len(more) + 1)
                self.e.add(_scale(len(more) + 1) if more else torch.mul, place, self.known[base], into=place)
                self.left[base] -= len(more) + 1
        for name in names:
            if name in simple and not name.startswith("column "):
                self.e.add(torch.mul, homes[name], self.known[simple[name]], into=homes[name])
                self.left[simple[name]] -= 1
            elif name not in simple:
                self.sum(sums[name], homes[name])

    def _is_at_home(self, name: str) -> bool:
        """Return whether a gradient has one term, whose factor is in the gradient's place."""
        terms = self.plan.sums[name]
        factor = terms[0].factor if len(terms) == 1 else None
        return factor is not None and self.factors[factor] == self.plan.homes[name]

    def sum(self, terms: list[Term], into: str = "") -> str:
        """Emit base × factor + … and return its place: `into`, else that of a free gradient, else a new tensor."""
        self.left.subtract(term.base for term in terms)
        first, *rest = sorted(terms, key=lambda term: term.factor is not None)
        start = self.known[first.base]
        if first.factor is not None:
            start = into = self.e.add(torch.mul, start, self.factors[first.factor], into=into)
        elif not into and self.is_free(first.base):
            into = start
        elif not rest:
            return self.e.add(copied, start, into=into)
        for term in rest:
            base = self.known[term.base]
            if term.factor is None:
                start = into = self.e.add(torch.add, start, base, into=into)
            else:
                start = into = self.e.add(torch.addcmul, start, base, self.factors[term.factor], into=into)
        return start


class _Step(_Gradients):
    """The calls of one step, in the order in which gradients become known."""

    def emit(self) -> tuple[str, ...]:
        """Emit all calls; returns the places of the gradients of the state before the step."""
        plan, cell = self.plan, self.plan.cell
        self.e.phase = "step"
        self.waiting = [name for name in plan.homes if name in plan.now and plan.sums[name]]
        self.known = {leaf("d", name): f"d {name}" for name in cell.state}
        made = [plan.sums[name] for name in plan.now] + [plan.shared.get(base, []) for base in plan.needed]
        self.left = Counter(term.base for terms in made for term in terms)
        for base, place in plan.stored.items():
            if base.of == "d" and base.name != cell.state[0]:
                self.e.add(copied, self.known[base], into=place)
        self._make()
        for product in cell.products:
            first, last = (cell.gates.index(product.gates[at]) for at in (0, -1))
            row = cell.recurrent.index(product.gates[0])
            result = leaf("Wt", product.name)
            self.known[result] = self.e.product(column(first, last + 1), (row, row + len(product.gates)))
            if result in plan.stored:
                self.e.add(copied, self.known[result], into=plan.stored[result])
            self._make()
        return tuple(self._result(plan.sums[f"before {name}"]) for name in cell.state)

    def _make(self) -> None:
        """Emit the gradients that can be computed from known ones."""
        for base, terms in self.plan.shared.items():
            if base in self.plan.needed and base not in self.known and self.is_known(terms):
                self.known[base] = self.sum(terms, self.plan.stored.get(base, ""))
        ready = [name for name in self.waiting if self.is_known(self.plan.sums[name])]
        self.waiting = [name for name in self.waiting if name not in ready]
        self.columns(ready)

    def _result(self, terms: list[Term]) -> str:
        return self.sum(terms) if terms else self.e.add(torch.zeros_like, f"d {self.plan.cell.state[0]}")


class _After(_Gradients):
    """The calls on a block of steps after its last step."""

    def is_free(self, base: Expr) -> bool:
        """Return False: a block overwrites no gradient."""
        return False

    def emit(self, standing: dict[Expr, str]) -> tuple[str | None, ...]:
        """Emit all calls.

        Args:
            standing: gradients in the columns after the steps -> their places.
        Returns:
            The place of each vector's gradient; None if it is zero.
        """
        plan = self.plan
        self.e.phase = "after"
        self.known = dict(plan.stored)
        for base, terms in plan.shared.items():
            if base not in plan.needed and self.is_known(terms):
                self.known[base] = self.sum(terms)
        self.columns(name for name in plan.homes if name not in plan.now and plan.sums[name])
        self.known |= standing
        vectors = (plan.sums[f"vector {name}"] for name in plan.cell.vectors)
        return tuple(self.sum(terms) if terms else None for terms in vectors)


def _scale(count: int) -> Callable[..., Tensor]:
    """Return a function that multiplies the columns of some gates by one gradient [B, H] in place."""

    def scale(columns: Tensor, gradient: Tensor, *, out: Tensor) -> Tensor:
        wide = out.view(*gradient.shape[:-1], count, gradient.shape[-1])
        wide.mul_(gradient.unsqueeze(-2))
        return out

    return scale
