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
    c = _Compiler(cell, sums, linear.shared, homes)
    c.emit_factors()
    results, vectors = c.emit_step(), c.emit_after(standing)
    where = tuple((cell.gates.index(gate), place) for gate, place in split.items())
    return Backward(*c.e.phases(), results, where, vectors, tuple(c.stored.values()))


class _Compiler:
    """Emits the calls of a backward pass.

    Args:
        cell: the traced cell.
        sums: the required gradients.
        shared: sums that several of them contain.
        homes: the places of gradients that are left in buffers.
    Attributes:
        e: the calls.
        now: names of the gradients that other steps depend on; the others can wait until the end of a block.
        needed: the gradients that these contain.
        stored: gradients of a step that the waiting ones contain -> their places.
        factors: factor -> its place.
        known: gradient -> its place.
        left: number of remaining uses of each gradient in a step.
    """

    def __init__(self, cell: Traced, sums: Sums, shared: dict[Expr, list[Term]], homes: dict[str, str]) -> None:
        self.cell, self.sums, self.shared, self.homes = cell, sums, shared, homes
        multiplied = {f"column {gate}" for product in cell.products for gate in product.gates}
        self.now = {name for name in sums if name in multiplied or name.startswith("before ")}
        self.needed = self._under([terms for name, terms in sums.items() if name in self.now], set())
        waiting = self._under([terms for name, terms in sums.items() if name not in self.now], self.needed)
        given = [base for base in waiting if base in self.needed or base.op == LEAF]
        self.stored = {base: f"stored {base.of or number} {base.name}".strip() for number, base in enumerate(given)}
        every = [term.factor for terms in (*sums.values(), *shared.values()) for term in terms]
        self.every_factor = [factor for factor in every if factor is not None]
        self.e = Emitter(self._places(), self.every_factor)
        self.factors: dict[Expr, str] = {}
        self.known: dict[Expr, str] = {}
        self.left: Counter[Expr] = Counter()

    def _under(self, sums: Iterable[list[Term]], stop: Container[Expr]) -> dict[Expr, None]:
        """Collect the gradients that some contain, in a fixed order; does not descend into those in `stop`."""
        found: dict[Expr, None] = {}
        for base in (term.base for terms in sums for term in terms):
            found[base] = None
            if base in self.shared and base not in stop:
                found |= self._under([self.shared[base]], stop)
        return found

    def _places(self) -> dict[Expr, str]:
        """Map the values of a forward pass to their places."""
        cell = self.cell
        places = {leaf("kept", name): f"extra {name}" for name in cell.extra}
        places |= {leaf("kept", name): column(i, i + 1) for i, name in enumerate(cell.gates) if name in cell.kept}
        places |= {leaf("state", name): f"before {name}" for name in cell.state}
        places |= {leaf("after", name): f"after {name}" for name in cell.state}
        return places | {leaf("p", name): f"p {name}" for name in cell.vectors}

    def emit_factors(self) -> None:
        """Emit all factors.

        The factor of a gradient of one term is written where the gradient will be. That place may hold an activation
        that other factors read, so these factors are written last, each after the last read of what it overwrites.
        """
        e, homes = self.e, self.homes
        e.phase = "before"
        alone = {name: terms[0].factor for name, terms in self.sums.items() if name in homes and len(terms) == 1}
        count = Counter(self.every_factor)
        waiting = {f: homes[name] for name, f in alone.items() if f and count[f] == 1 and not is_steady(f)}
        for factor in self.every_factor:
            if factor not in waiting:
                place = e.value(factor)
                self.factors[factor] = e.add(copied, place) if place in homes.values() else place
            elif e.uses[factor] > 1:
                e.value(factor)
            else:
                e.prepare(factor)
        while waiting:
            free = [
                f
                for f, home in waiting.items()
                if not any(home in e.reads(other) for other in waiting if other is not f)
            ]
            factor = free[0] if free else next(iter(waiting))
            if not free:  # they overwrite one another: the value goes to a new tensor first
                e.places[factor] = e.add(copied, e.value(factor))
                continue
            home = self.factors[factor] = waiting.pop(factor)
            if e.value(factor, home) != home:
                raise AssertionError("a value is not in the required place")
        for name, home in homes.items():
            if not self.sums[name]:  # the gradient is zero
                e.add(copied, e.value(ZERO), into=home)

    def emit_step(self) -> tuple[str, ...]:
        """Emit one step; returns the places of the gradients of the state before it."""
        cell, e = self.cell, self.e
        e.phase = "step"
        waiting = [name for name in self.homes if name in self.now and self.sums[name]]
        self.known = {leaf("d", name): f"d {name}" for name in cell.state}
        made = [self.sums[name] for name in self.now] + [self.shared.get(base, []) for base in self.needed]
        self.left = Counter(term.base for terms in made for term in terms)
        for base, place in self.stored.items():
            if base.of == "d" and base.name != cell.state[0]:
                e.add(copied, self.known[base], into=place)
        waiting = self._emit_known(waiting)
        for product in cell.products:
            first, last = (cell.gates.index(product.gates[at]) for at in (0, -1))
            row = cell.recurrent.index(product.gates[0])
            result = leaf("Wt", product.name)
            self.known[result] = e.product(column(first, last + 1), (row, row + len(product.gates)))
            if result in self.stored:
                e.add(copied, self.known[result], into=self.stored[result])
            waiting = self._emit_known(waiting)
        results = [self.sums[f"before {name}"] for name in cell.state]
        return tuple(self._sum(terms) if terms else e.add(torch.zeros_like, f"d {cell.state[0]}") for terms in results)

    def _emit_known(self, waiting: list[str]) -> list[str]:
        """Emit the gradients that can be computed from known ones; returns the names of the others."""
        for base, terms in self.shared.items():
            if base in self.needed and base not in self.known and self._is_known(terms):
                self.known[base] = self._sum(terms, self.stored.get(base, ""))
        ready = [name for name in waiting if self._is_known(self.sums[name])]
        self._columns(ready)
        return [name for name in waiting if name not in ready]

    def emit_after(self, standing: dict[Expr, str]) -> tuple[str | None, ...]:
        """Emit the calls on a block of steps after its last step.

        Args:
            standing: gradients in the columns after the steps -> their places.
        Returns:
            The place of each vector's gradient; None if it is zero.
        """
        self.e.phase = "after"
        self.known = dict(self.stored)
        for base, terms in self.shared.items():
            if base not in self.needed and self._is_known(terms):
                self.known[base] = self._sum(terms)
        self._columns([name for name in self.homes if name not in self.now and self.sums[name]])
        self.known |= standing
        vectors = (self.sums[f"vector {name}"] for name in self.cell.vectors)
        return tuple(self._sum(terms) if terms else None for terms in vectors)

    def _is_known(self, terms: list[Term]) -> bool:
        """Return whether a sum can be computed."""
        return all(term.base in self.known for term in terms)

    def _columns(self, names: list[str]) -> None:
        """Emit gradients of gates and input halves; one call for neighbours that are multiples of the same gradient."""
        gates, sums, homes = self.cell.gates, self.sums, self.homes
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
                self._sum(sums[name], homes[name])

    def _is_at_home(self, name: str) -> bool:
        """Return whether a gradient has one term, whose factor is in the gradient's place."""
        terms = self.sums[name]
        factor = terms[0].factor if len(terms) == 1 else None
        return factor is not None and self.factors[factor] == self.homes[name]

    def _sum(self, terms: list[Term], into: str = "") -> str:
        """Emit base × factor + … and return its place: `into`, else that of a free gradient, else a new tensor."""
        self.left.subtract(term.base for term in terms)
        first, *rest = sorted(terms, key=lambda term: term.factor is not None)
        start = self.known[first.base]
        if first.factor is not None:
            start = into = self.e.add(torch.mul, start, self.factors[first.factor], into=into)
        elif not into and self._is_free(first.base):
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

    def _is_free(self, base: Expr) -> bool:
        """Return whether a gradient may be overwritten: in a step, after its last use."""
        return self.e.phase == "step" and not self.left[base] and base not in self.stored


def _scale(count: int) -> Callable[..., Tensor]:
    """Return a function that multiplies the columns of some gates by one gradient [B, H] in place."""

    def scale(columns: Tensor, gradient: Tensor, *, out: Tensor) -> Tensor:
        wide = out.view(*gradient.shape[:-1], count, gradient.shape[-1])
        wide.mul_(gradient.unsqueeze(-2))
        return out

    return scale
