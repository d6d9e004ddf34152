"""The calls of a backward step: factors for many steps at once, then what is left for each."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, depends, leaf, make, walk
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.inplace.calls import Call, Emitter, Product, Program, column, copied


@dataclass(frozen=True)
class Term:
    """base × factor, where the base is a gradient; no factor: 1."""

    base: Expr
    factor: Expr | None


@dataclass(frozen=True)
class Backward:
    """A backward step in two programs.

    Attributes:
        factors: for many steps at once, over 'gates i j', 'extra q', 'before h', 'after h': what no gradient enters.
            Afterwards the places of gates and extras hold factors.
        program: for one step, over these places, 'd h' and its own; leaves the gradients of gates in their columns and
            those of the input halves that differ in `apart`.
        results: where the gradients of the state before are.
        columns: the runs of gates whose places they use.
        reads: places that are there before `program`, in which it reads and writes.
        apart: (gate, place) of the input halves that have a gradient of their own.
    """

    factors: Program
    program: Program
    results: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]
    reads: tuple[str, ...]
    apart: tuple[tuple[int, str], ...]


def _is_gradient(node: Expr) -> bool:
    return depends(node, "d", "Wt")


class _Linear:
    """Gradients as sums of terms."""

    def __init__(self, roots: list[Expr]) -> None:
        uses = Counter(operand for node in walk(*roots) for operand in node.args)
        self.shared = {
            node for node in walk(*roots) if node.op in ("add", "sub") and uses[node] > 1 and _is_gradient(node)
        }

    def terms(self, node: Expr, *, whole: bool = False) -> list[Term]:
        """The terms of a gradient; a sum that several use is a base of its own, unless its `whole` is asked for."""
        if node.op == LEAF or (node in self.shared and not whole):
            return [Term(node, None)]
        if node.op in ("add", "sub"):
            left, right = (self.terms(operand) for operand in node.args)
            return left + (
                [self._times(term, make(CONSTANT, value=-1.0)) for term in right] if node.op == "sub" else right
            )
        if node.op == "neg":
            return [self._times(term, make(CONSTANT, value=-1.0)) for term in self.terms(node.args[0])]
        assert node.op == "mul", f"a gradient goes through {node.op}: the derivative is not linear"
        left_node, right_node = node.args
        gradient, factor = (left_node, right_node) if _is_gradient(left_node) else (right_node, left_node)
        assert not _is_gradient(factor), "two gradients are multiplied: the derivative is not linear"
        return [self._times(term, factor) for term in self.terms(gradient)]

    def _times(self, term: Term, factor: Expr) -> Term:
        return Term(term.base, factor if term.factor is None else make("mul", term.factor, factor))


@cache
def backward_program(cell: Traced) -> Backward:
    """The calls of a backward step."""
    gates, state = cell.cell.gates, cell.cell.state
    split = [gate for gate in gates if cell.gradients.x[gate] is not cell.gate_gradients[gate]]
    apart = {gate: f"extra {name}" for gate, name in zip(split, cell.extra, strict=False)}
    apart |= {gate: f"apart {gate}" for gate in split[len(cell.extra) :]}
    results = {f"column {gate}": cell.gate_gradients[gate] for gate in gates}
    results |= {f"apart {gate}": cell.gradients.x[gate] for gate in split}
    results |= {f"before {name}": cell.gradients.before[name] for name in state}
    linear = _Linear([*results.values()])
    sums = {name: linear.terms(node) for name, node in results.items()}
    bases = {node: linear.terms(node, whole=True) for node in linear.shared}
    homes = {f"column {gate}": column(i, i + 1) for i, gate in enumerate(gates)}
    homes |= {f"apart {gate}": place for gate, place in apart.items()}
    factors, places = _factor_program(cell, {name: terms for name, terms in sums.items() if name in homes}, homes,
                                      [*sums.values(), *bases.values()])  # fmt: skip
    step = _BackwardStep(cell, sums, bases, homes, places)
    program = step.program()
    used = {name for part in (factors, program) for call in part for name in _names(call)}
    runs = [(i, j) for i in range(len(gates)) for j in range(i + 1, len(gates) + 1) if column(i, j) in used]
    own = {call.into for call in program if isinstance(call, Product) or not call.in_place}
    reads = {name for call in program for name in _names(call)} - own - {f"d {name}" for name in state}
    reads = {name for name in reads if not name.startswith("number ")}
    return Backward(
        factors,
        program,
        step.results,
        tuple(runs),
        tuple(sorted(reads)),
        tuple((gates.index(gate), apart[gate]) for gate in split),
    )


def _names(call: Call | Product) -> tuple[str, ...]:
    return (*call.inputs, call.into) if isinstance(call, Call) else (call.operand, call.into)


def _factor_program(
    cell: Traced, owned: dict[str, list[Term]], homes: dict[str, str], sums: list[list[Term]]
) -> tuple[Program, dict[Expr, str]]:
    """The calls that make all factors, and where each then is.

    The factor of a gradient that is one term goes where the gradient will be; the place may hold an activation that
    other factors are made of, so these are written last, each when what it overwrites is not read any more.
    """
    gates = cell.cell.gates
    places = {leaf("kept", name): f"extra {name}" for name in cell.extra}
    places |= {leaf("kept", name): column(i, i + 1) for i, name in enumerate(gates) if name in cell.kept}
    places |= {leaf("state", name): f"before {name}" for name in cell.cell.state}
    places |= {leaf("after", name): f"after {name}" for name in cell.cell.state}
    factors = [term.factor for terms in sums for term in terms if term.factor is not None]
    e = Emitter(places, factors)
    waiting = {terms[0].factor: homes[name] for name, terms in owned.items()
               if len(terms) == 1 and terms[0].factor is not None and factors.count(terms[0].factor) == 1}  # fmt: skip
    found: dict[Expr, str] = {}
    for factor in factors:
        if factor not in waiting:
            is_new = factor.op != LEAF
            place = e.value(factor)
            found[factor] = place if is_new else e.add(torch.clone, place)
        elif e.uses[factor] > 1:
            e.value(factor)
        else:
            e.prepare(factor)
    while waiting:
        free = [
            f for f, home in waiting.items() if not any(home in e.reads(other) for other in waiting if other is not f)
        ]
        factor = free[0] if free else next(iter(waiting))
        if not free:  # they overwrite one another: it is made in a new tensor first
            e.places[factor] = e.add(torch.clone, e.value(factor))
            continue
        home = waiting.pop(factor)
        found[factor] = home
        if e.value(factor, home) != home:
            raise AssertionError("a value is not where it was asked for")
    return tuple(e.calls), found


class _BackwardStep:
    """The calls of one backward step, in the order in which gradients become known."""

    def __init__(self, cell: Traced, sums: dict[str, list[Term]], bases: dict[Expr, list[Term]],
                 homes: dict[str, str], places: dict[Expr, str]) -> None:  # fmt: skip
        self.cell, self.sums, self.bases, self.homes, self.factors = cell, sums, bases, homes, places
        self.known = {leaf("d", name): f"d {name}" for name in cell.cell.state}
        self.calls = list[Call | Product]()

    def add(self, function: Callable[..., Tensor], *inputs: str, into: str = "", **options: float) -> str:
        """A call; returns the place of its result."""
        place = into or f"step {len(self.calls)}"
        self.calls.append(Call(function, inputs, place, bool(into), options))
        return place

    def program(self) -> Program:
        """All calls."""
        self._make_bases()
        self._make_columns()
        for product in self.cell.products:
            first, last = (self.cell.cell.gates.index(list(product.gradients)[at]) for at in (0, -1))
            place = f"step {len(self.calls)}"
            operand = column(first, last + 1)
            self.calls.append(Product(operand, (first, last + 1), place))
            self.known[leaf("Wt", product.name)] = place
            self._make_bases()
            self._make_columns()
        self.results = tuple(self._sum(self.sums.pop(f"before {name}")) for name in self.cell.cell.state)
        return tuple(self.calls)

    def _are_known(self, terms: list[Term]) -> bool:
        return all(term.base in self.known for term in terms)

    def _make_bases(self) -> None:
        """Sums that several gradients share."""
        for node, terms in self.bases.items():
            if node not in self.known and self._are_known(terms):
                self.known[node] = self._sum(terms)

    def _make_columns(self) -> None:
        """Gradients of gates and of input halves; one call for neighbours that are multiples of the same gradient."""
        gates = self.cell.cell.gates
        ready = {name: terms for name, terms in self.sums.items() if name in self.homes and self._are_known(terms)}
        for name in ready:
            del self.sums[name]
        simple = {
            name: terms[0] for name, terms in ready.items() if len(terms) == 1 and self._is_at_home(terms[0], name)
        }
        at = 0
        while at < len(gates):
            term = simple.get(f"column {gates[at]}")
            end = at + 1
            while term and end < len(gates) and (more := simple.get(f"column {gates[end]}")) and more.base is term.base:
                end += 1
            if term and end - at > 1:
                self.add(_scale(end - at), column(at, end), self.known[term.base], into=column(at, end))
            elif term:
                self.add(torch.mul, column(at, end), self.known[term.base], into=column(at, end))
            at = end
        for name, terms in ready.items():
            if name in simple and not name.startswith("column "):
                self.add(torch.mul, self.homes[name], self.known[terms[0].base], into=self.homes[name])
            elif name not in simple:
                self._sum(terms, self.homes[name])

    def _is_at_home(self, term: Term, name: str) -> bool:
        """Whether the factor of a gradient stands where the gradient will be."""
        return term.factor is not None and self.factors[term.factor] == self.homes[name]

    def _sum(self, terms: list[Term], into: str = "") -> str:
        """The place of base × factor + …: `into`, else a new tensor, or that of a gradient that nothing else needs."""
        first, *rest = sorted(terms, key=lambda term: term.factor is not None)
        base = self.known[first.base]
        if first.factor is not None:
            start = self.add(torch.mul, base, self.factors[first.factor], into=into)
        elif into or not (first.base.of == "Wt" or self._is_last_use(first.base)):
            start = self.add(copied, base, into=into)
        else:
            start = base
        for term in rest:
            if term.factor is None:
                self.add(torch.add, start, self.known[term.base], into=start)
            else:
                self.add(torch.addcmul, start, self.known[term.base], self.factors[term.factor], into=start)
        return start

    def _is_last_use(self, base: Expr) -> bool:
        """Whether a gradient of the state after occurs in one term alone, so that its tensor may be overwritten."""
        everywhere = [*self.sums.values(), *self.bases.values()]
        return base.of == "d" and sum(term.base is base for terms in everywhere for term in terms) <= 1


def _scale(count: int) -> Callable[..., Tensor]:
    """Multiply the columns of some gates by one gradient [B, H], in place."""

    def scale(columns: Tensor, gradient: Tensor, *, out: Tensor) -> Tensor:
        wide = out.view(*gradient.shape[:-1], count, gradient.shape[-1])
        wide.mul_(gradient.unsqueeze(-2))
        return out

    return scale
