"""Bounds of values, by interval arithmetic over their expressions.

Interval arithmetic ignores that operands depend on one another: it bounds n + z (h − n) by |n| + |h| + |n|. For the
dependencies that matter in cells there are rules of their own, and the narrower interval counts: means of two values
with weights that add up to 1, shares a / (a + b), squares.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

import tuirnn.codegen.arrays  # noqa: F401  the functions compute with numpy
from tuirnn.cells import Cell
from tuirnn.cells.functions import apply
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, lift, make, walk

Interval = tuple[float, float]
"""Least and largest value, both included; ±∞ if there is no bound."""

EVERYTHING: Interval = (-math.inf, math.inf)
SMALLEST = float(np.finfo(np.float32).tiny)
"""Least positive normal float32: a smaller value may be rounded to zero."""


def interval(node: Expr, cell: Cell) -> Interval:
    """Compute the interval of an expression for states within the cell's bounds and any inputs and weights."""
    found: dict[Expr, Interval] = {}
    for each in walk(node):
        found[each] = _of(each, found, cell)
        for low, high in _correlated(each, found):
            found[each] = max(found[each][0], low), min(found[each][1], high)
    return found[node]


def largest(node: Expr, cell: Cell) -> float | None:
    """Compute the largest absolute value of an expression; None if there is no bound."""
    most = max(map(abs, interval(node, cell)))
    return most if math.isfinite(most) else None


def _of(node: Expr, found: Mapping[Expr, Interval], cell: Cell) -> Interval:
    """Compute an interval from the operands' intervals alone."""
    if node.op == LEAF:
        bound = cell.bounds.get(node.name, math.inf) if node.of == "state" else math.inf
        return -bound, bound
    if node.op == CONSTANT:
        return node.value, node.value
    operands = [found[operand] for operand in node.args]
    return RULES[node.op](*operands) if node.op in RULES else _rising(node.op, *operands)


def _rising(name: str, a: Interval) -> Interval:
    """Compute the interval of a nondecreasing function."""
    with np.errstate(over="ignore"):
        low, high = apply(name, np.array(a)).tolist()
    return low, high


def _times(x: float, y: float) -> float:
    return x * y if x and y else 0.0  # values are finite, however large: 0 × ∞ is 0


def _mul(a: Interval, b: Interval) -> Interval:
    ends = [_times(x, y) for x, y in product(a, b)]
    return min(ends), max(ends)


def _div(a: Interval, b: Interval) -> Interval:
    if b[0] < SMALLEST and b[1] > -SMALLEST:
        return EVERYTHING
    return _mul(a, (1 / b[1], 1 / b[0]))


def _sqrt(a: Interval) -> Interval:
    return math.sqrt(max(a[0], 0.0)), math.sqrt(max(a[1], 0.0))  # below zero there is no root


def _select(condition: Interval, x: Interval, y: Interval) -> Interval:
    if condition[0] > 0:
        return x
    return y if condition[1] <= 0 else _hull(x, y)


def _hull(x: Interval, y: Interval) -> Interval:
    return min(x[0], y[0]), max(x[1], y[1])


RULES: Mapping[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _mul,
    "div": _div,
    "neg": lambda a: (-a[1], -a[0]),
    "sqrt": _sqrt,
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "select": _select,
}
"""Every operation but the nondecreasing functions of one number."""


# ── operands that depend on one another ──────────────────────────────────────────


def _correlated(node: Expr, found: Mapping[Expr, Interval]) -> Iterator[Interval]:
    """Yield intervals that contain a value because its operands depend on one another."""
    if node.op == "mul" and node.args[0] is node.args[1]:
        low, high = found[node.args[0]]
        yield 0.0, max(_times(low, low), _times(high, high))
    if node.op == "div" and _is_share(node.args[0], node.args[1], found):
        yield 0.0, 1.0
    for x, y in _means(node, found):
        yield _hull(found[x], found[y])


def _is_share(part: Expr, whole: Expr, found: Mapping[Expr, Interval]) -> bool:
    """Return whether part / whole is a / (a + b) with a, b ≥ 0 and a + b > 0."""
    parts = whole.args if whole.op == "add" else ()
    return part in parts and found[whole][0] >= SMALLEST and all(found[each][0] >= 0 for each in parts)


def _means(node: Expr, found: Mapping[Expr, Interval]) -> Iterator[tuple[Expr, Expr]]:
    """Yield pairs (x, y) of which a value is a mean, with weights from 0 to 1 that add up to 1."""
    if node.op not in ("add", "sub"):
        return
    for first, second in _orders(node):
        # x + w (y − x), or x − w (x − y)
        for weight, difference in _orders(second, "mul"):
            other = difference.args if difference.op == "sub" else ()
            x, y = other[::-1] if node.op == "add" and other else other or (None, None)
            if x is first and y is not None and _within(found[weight], 0.0, 1.0):
                yield first, y
        if node.op == "add":
            for (u, x), (v, y) in product(_orders(first, "mul"), _orders(second, "mul")):
                if _add_up_to_one(u, v, found):
                    yield x, y


def _orders(node: Expr, op: str = "") -> Iterator[tuple[Expr, Expr]]:
    """Yield the operands of a sum or product in both orders, those of a difference in its own."""
    if node.op == (op or node.op) and len(node.args) == 2:
        a, b = node.args
        yield a, b
        if node.op != "sub":
            yield b, a


def _within(a: Interval, low: float, high: float) -> bool:
    return low <= a[0] and a[1] <= high


def _add_up_to_one(u: Expr, v: Expr, found: Mapping[Expr, Interval]) -> bool:
    """Return whether two weights are ≥ 0 and add up to 1: w and 1 − w, σ(t) and σ(−t), a/(a + b) and b/(a + b)."""
    if not (_within(found[u], 0.0, 1.0) and _within(found[v], 0.0, 1.0)):
        return False
    if make("sub", lift(1.0), u) is v or make("sub", lift(1.0), v) is u:
        return True
    if u.op == v.op == "sigmoid":
        return _is_negative(u.args[0], v.args[0]) or _is_negative(v.args[0], u.args[0])
    return u.op == v.op == "div" and u.args[1] is v.args[1] and set(u.args[1].args) == {u.args[0], v.args[0]}


def _is_negative(a: Expr, b: Expr) -> bool:
    """Return whether a is −b."""
    return a is make("neg", b) or (a.op == "sub" and b.op == "sub" and a.args == b.args[::-1])
