"""Gradients as sums of gradient × factor: the derivative of a step is linear in the gradients."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, depends, make, walk

ZERO, ONE, MINUS_ONE = (make(CONSTANT, value=value) for value in (0.0, 1.0, -1.0))


@dataclass(frozen=True)
class Term:
    """base × factor; the base is a gradient, and no factor means 1."""

    base: Expr
    factor: Expr | None

    def times(self, factor: Expr) -> "Term":
        """Return the term times a factor."""
        return Term(self.base, factor if self.factor is None else make("mul", self.factor, factor))

    def over(self, divisor: Expr) -> "Term":
        """Return the term divided by a value."""
        return Term(self.base, make("div", self.factor or ONE, divisor))


class Linear:
    """Decomposes the expressions of gradients into terms.

    Args:
        roots: all gradients.
    Attributes:
        shared: sums that several gradients contain -> their terms; inside other gradients they stay whole.
        done: other gradients that stay whole, because their values will be available.
    """

    def __init__(self, roots: Sequence[Expr]) -> None:
        nodes = [node for node in walk(*roots) if is_gradient(node)]
        uses = Counter(operand for node in nodes for operand in node.args) + Counter(set(roots))
        self.shared: dict[Expr, list[Term]] = {}
        self.done: set[Expr] = set()
        for node in nodes:
            if uses[node] > 1 and len(terms := self.terms(node)) > 1:
                self.shared[node] = terms

    def terms(self, node: Expr) -> list[Term]:
        """Decompose a gradient into terms, one for each base.

        Raises:
            ValueError: it is not linear in the leaves 'd' and 'Wt'.
        """
        found: dict[Expr, Expr | None] = {}
        for base, factor in ((term.base, term.factor) for term in self._terms(node)):
            found[base] = make("add", found[base] or ONE, factor or ONE) if base in found else factor
        return [Term(base, factor) for base, factor in found.items()]

    def _terms(self, node: Expr) -> list[Term]:
        is_base = (node.op == LEAF and is_gradient(node)) or node in self.shared or node in self.done
        return [Term(node, None)] if is_base else self._decomposed(node)

    def _decomposed(self, node: Expr) -> list[Term]:
        if not is_gradient(node):
            if _is_zero(node):
                return []
            raise ValueError("step_backward adds a gradient and a value that is none; expected a sum of gradients")
        if node.op == "neg":
            return [term.times(MINUS_ONE) for term in self._terms(node.args[0])]
        if node.op in ("add", "sub"):
            left, right = (self._terms(operand) for operand in node.args)
            return left + ([term.times(MINUS_ONE) for term in right] if node.op == "sub" else right)
        if node.op == "select" and not is_gradient(node.args[0]):
            condition, yes, no = node.args
            chosen = [Term(term.base, make("select", condition, term.factor or ONE, ZERO)) for term in self._terms(yes)]
            others = [Term(term.base, make("select", condition, ZERO, term.factor or ONE)) for term in self._terms(no)]
            return chosen + others
        if node.op == "mul":
            gradient, factor = node.args if is_gradient(node.args[0]) else node.args[::-1]
            if not is_gradient(factor):
                return [term.times(factor) for term in self._terms(gradient)]
        if node.op == "div" and not is_gradient(node.args[1]):
            return [term.over(node.args[1]) for term in self._terms(node.args[0])]
        raise ValueError(f"step_backward gives gradients to {node.op}; it must be linear in the gradients")


def is_gradient(node: Expr) -> bool:
    """Return whether a value depends on the gradients of a later step or of the output."""
    return depends(node, "d", "Wt")


def _is_zero(node: Expr) -> bool:
    """Return whether a value is zero for all values of its leaves."""
    if node.op == "mul":
        return any(map(_is_zero, node.args))
    if node.op in ("div", "neg"):
        return _is_zero(node.args[0])
    if node.op in ("add", "sub", "select"):
        return all(map(_is_zero, node.args[-2:]))
    return node is ZERO
