"""Expressions: what a cell's arithmetic becomes when it is traced instead of computed."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Union

from tuirnn.cells.functions import FUNCTIONS, register

Operand = Union["Expr", float]

LEAF, CONSTANT = "leaf", "constant"
ARITHMETIC = ("add", "sub", "mul", "div", "neg")


@dataclass(frozen=True, eq=False)
class Expr:
    """A value that will be computed. Equal expressions are one object, so a common subexpression is seen by `is`.

    Attributes:
        op: 'leaf', 'constant', one of `ARITHMETIC`, or a function of `tuirnn.cells.functions`.
        args: what it is computed from.
        of, name: of a leaf: whose value it is ('x', 'state', …), and which.
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
        return lift(0.0) if _is_zero(other) else make("mul", self, lift(other))

    def __rmul__(self, other: float) -> "Expr":
        return lift(0.0) if _is_zero(other) else make("mul", lift(other), self)

    def __truediv__(self, other: Operand) -> "Expr":
        return make("div", self, lift(other))

    def __rtruediv__(self, other: float) -> "Expr":
        return make("div", lift(other), self)

    def __neg__(self) -> "Expr":
        return make("neg", self)


def _is_zero(value: Operand) -> bool:
    """Whether it is the number 0, with which a definition says that there is no gradient: `0 * d.h`."""
    return not isinstance(value, Expr) and value == 0


_made: "weakref.WeakValueDictionary[tuple[object, ...], Expr]" = weakref.WeakValueDictionary()


def make(op: str, *args: Expr, of: str = "", name: str = "", value: float = 0.0) -> Expr:
    """The expression with these parts: the one that is there already, if any."""
    key = (op, args, of, name, value)
    made = _made.get(key)
    if made is None:
        made = _made[key] = Expr(op, args, of, name, value)
    return made


def leaf(of: str, name: str) -> Expr:
    """A value that is given: `leaf("x", "i")` is the input half of gate i."""
    return make(LEAF, of=of, name=name)


def lift(value: Operand) -> Expr:
    """A number as an expression."""
    return value if isinstance(value, Expr) else make(CONSTANT, value=float(value))


def _function(name: str, *arguments: Operand) -> Expr:
    return make(name, *map(lift, arguments))


register(Expr, {name: partial(_function, name) for name in FUNCTIONS})


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every expression under some, each once, operands before what is computed from them."""
    seen: set[Expr] = set()

    def visit(node: Expr) -> Iterator[Expr]:
        if node not in seen:
            seen.add(node)
            for operand in node.args:
                yield from visit(operand)
            yield node

    for root in roots:
        yield from visit(root)


def depends(node: Expr, *of: str) -> bool:
    """Whether a leaf of one of these kinds is under an expression."""
    return any(each.op == LEAF and each.of in of for each in walk(node))


def replaced(node: Expr, by: dict[Expr, Expr]) -> Expr:
    """The expression with some of its parts replaced by others."""
    done: dict[Expr, Expr] = {}
    for each in walk(node):
        if each in by:
            done[each] = by[each]
        elif each.args:
            done[each] = make(each.op, *(done[operand] for operand in each.args))
        else:
            done[each] = each
    return done[node]
