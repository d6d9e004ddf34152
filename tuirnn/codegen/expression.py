"""Expressions: tracing a cell's arithmetic yields them in place of numbers."""

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Union

from tuirnn.cells.functions import FUNCTIONS, register

Operand = Union["Expr", float]

LEAF, CONSTANT = "leaf", "constant"
ARITHMETIC: Mapping[str, Callable[..., object]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
}  # fmt: skip
"""Every operation that is not a function of `tuirnn.cells.functions`."""

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
"""The sign of each operation on two operands in C++ and Python."""


@dataclass(frozen=True, eq=False)
class Expr:
    """A value that will be computed. Equal expressions are one object, so `is` finds common subexpressions.

    Attributes:
        op: 'leaf', 'constant', one of `ARITHMETIC`, or a function of `tuirnn.cells.functions`.
        args: the operands.
        of, name: of a leaf, its kind ('x', 'state', …) and its name within the kind.
        value: of a constant.
    """

    op: str
    args: tuple["Expr", ...] = ()
    of: str = ""
    name: str = ""
    value: float = 0.0

    def __add__(self, other: Operand) -> "Expr":
        return make("add", self, lift(other))

    def __radd__(self, other: float) -> "Expr":
        return make("add", lift(other), self)

    def __sub__(self, other: Operand) -> "Expr":
        return make("sub", self, lift(other))

    def __rsub__(self, other: float) -> "Expr":
        return make("sub", lift(other), self)

    def __mul__(self, other: Operand) -> "Expr":
        return _product(self, lift(other))

    def __rmul__(self, other: float) -> "Expr":
        return _product(lift(other), self)

    def __truediv__(self, other: Operand) -> "Expr":
        return make("div", self, lift(other))

    def __rtruediv__(self, other: float) -> "Expr":
        return make("div", lift(other), self)

    def __neg__(self) -> "Expr":
        return make("neg", self)


_made: "weakref.WeakValueDictionary[tuple[object, ...], Expr]" = weakref.WeakValueDictionary()


def make(op: str, *args: Expr, of: str = "", name: str = "", value: float = 0.0) -> Expr:
    """Return the expression with these attributes of `Expr`: the existing one if there is one."""
    key = (op, args, of, name, value)
    made = _made.get(key)
    if made is None:
        made = _made[key] = Expr(op, args, of, name, value)
    return made


def leaf(of: str, name: str) -> Expr:
    """Return an expression without operands: `leaf("x", "i")` is the input half of gate i."""
    return make(LEAF, of=of, name=name)


def lift(value: Operand) -> Expr:
    """Return a number as a constant; an expression unchanged."""
    return value if isinstance(value, Expr) else make(CONSTANT, value=float(value))


ZERO = lift(0.0)


def _product(x: Expr, y: Expr) -> Expr:
    """Return x y; 0 if a factor is the number 0: a definition writes a gradient that is zero as `0 * d.h`."""
    return ZERO if ZERO in (x, y) else make("mul", x, y)


register(Expr, {name: lambda *arguments, name=name: make(name, *map(lift, arguments)) for name in FUNCTIONS})


def walk(*roots: Expr, operands: Callable[[Expr], Iterable[Expr]] = operator.attrgetter("args")) -> Iterator[Expr]:
    """Yield every expression under some, each once, operands before what is computed from them.

    Args:
        roots: where the walk starts; they are included.
        operands: the expressions to visit before a given one; an empty result ends the walk there.
    """
    seen: set[Expr] = set()

    def visit(node: Expr) -> Iterator[Expr]:
        if node not in seen:
            seen.add(node)
            for operand in operands(node):
                yield from visit(operand)
            yield node

    for root in roots:
        yield from visit(root)


def outermost(roots: Iterable[Expr], condition: Callable[[Expr], bool]) -> list[Expr]:
    """List the largest expressions under `roots` that satisfy a condition, each once."""
    found = walk(*roots, operands=lambda node: () if condition(node) else node.args)
    return [node for node in found if condition(node)]


def depends(node: Expr, *of: str) -> bool:
    """Return whether an expression contains a leaf of one of these kinds."""
    return any(each.op == LEAF and each.of in of for each in walk(node))


def is_steady(node: Expr) -> bool:
    """Return whether a value is the same at all steps and in all sequences: computed from vectors and constants."""
    return not any(each.op == LEAF and each.of != "p" for each in walk(node))


def replaced(node: Expr, by: dict[Expr, Expr]) -> Expr:
    """Return the expression with each key of `by` in it replaced by the key's value."""
    done: dict[Expr, Expr] = {}
    for each in walk(node):
        if each in by:
            done[each] = by[each]
        elif each.args:
            done[each] = make(each.op, *(done[operand] for operand in each.args))
        else:
            done[each] = each
    return done[node]
