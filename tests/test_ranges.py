"""Intervals of expressions contain every value, and are as narrow as a scale of eight bits needs."""

import math

import numpy as np
import pytest

import tuirnn.codegen.arrays  # noqa: F401  expressions compute with numpy
from tuirnn.cells import CELLS, Cell
from tuirnn.cells.functions import (
    exp,
    expm1,
    is_positive,
    log_sigmoid,
    maximum,
    relu,
    select,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, walk
from tuirnn.codegen.ranges import interval, largest
from tuirnn.codegen.trace import traced

INF = math.inf
BOUNDED = next(cell for cell in CELLS.values() if cell.bounds.get("h") == 1)
x, y, h = leaf("x", "a"), leaf("x", "b"), leaf("state", "h")
n, z, w = tanh(x), sigmoid(y), sigmoid(x)
total = (exp(x) + 1) + exp(y)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (h, (-1, 1)),
        (x, (-INF, INF)),
        # means
        (n + z * (h - n), (-1, 1)),
        (n + (h - n) * z, (-1, 1)),
        ((h - n) * z + n, (-1, 1)),
        (n - z * (n - h), (-1, 1)),
        ((1 - z) * n + h * z, (-1, 1)),
        (sigmoid(x - y) * n + sigmoid(y - x) * h, (-1, 1)),
        (sigmoid(-x) * n + sigmoid(x) * h, (-1, 1)),
        (relu(n) + z * (relu(h) - relu(n)), (0, 1)),
        ((exp(x) + 1) / total * h + exp(y) / total * n, (-1, 1)),
        # not quite means
        (n + z * (h + n), (-3, 3)),
        (n - z * (h - n), (-3, 3)),
        (z * n + w * h, (-2, 2)),
        ((1 - w) * n + z * h, (-2, 2)),
        (n + tanh(y) * (h - n), (-3, 3)),
        (sigmoid(x - y) * n + sigmoid(x - y) * h, (-2, 2)),
        # shares, squares, quotients
        ((exp(x) + 1) / total, (0, 1)),
        (exp(x) / (exp(x) + exp(y)), (-INF, INF)),  # the sum may be zero in float32
        (n * n, (0, 1)),
        (n * h, (-1, 1)),
        (x * x, (0, INF)),
        (1 - z * z, (0, 1)),
        (1 / (1 + exp(x)), (0, 1)),
        (n / maximum(y, 0.5), (-2, 2)),
        (n / (h - 2), (-1, 1)),
        (n / h, (-INF, INF)),
        # functions
        (exp(n), (math.exp(-1), math.e)),
        (expm1(-softplus(x)), (-1, 0)),
        (log_sigmoid(x), (-INF, 0)),
        (sqrt(n), (0, 1)),
        (is_positive(x), (0, 1)),
        (maximum(n, 0.25), (0.25, 1)),
        (select(x, n, 3), (-1, 3)),
        (select(exp(n), n, x), (-1, 1)),
        (select(-exp(x), x, n), (-1, 1)),
        (-(n + 2), (-3, -1)),
        (n - z, (-2, 1)),
        (0 * x, (0, 0)),
    ],
)
def test_an_interval_is_as_narrow_as_what_is_known(node: Expr, expected: tuple[float, float]) -> None:
    assert interval(node, BOUNDED) == pytest.approx(expected)
    finite = all(map(math.isfinite, expected))
    assert largest(node, BOUNDED) == (pytest.approx(max(map(abs, expected))) if finite else None)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_no_value_of_a_step_leaves_its_interval(cell: Cell) -> None:
    """Every expression of every cell, for inputs small and large and states up to their bounds."""
    made, rng = traced(cell), np.random.default_rng(0)
    nodes = list(walk(*made.results))
    given = [node for node in nodes if node.op == LEAF]
    size = np.repeat([1e-3, 1.0, 30.0, 300.0], 500)
    leaves = {}
    for node in given:
        bound = cell.bounds.get(node.name, INF) if node.of == "state" else INF
        leaves[node] = np.clip(size * rng.normal(size=2000), -bound, bound)
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.op == CONSTANT:
                continue
            value, (low, high) = evaluate(node, leaves), interval(node, cell)
            value = value[np.isfinite(value)]  # far states may divide by zero: no state that a network reaches
            slack = 1e-12 * max(1.0, *(abs(end) for end in (low, high) if math.isfinite(end)), 1.0)
            assert (value >= low - slack).all(), (node.op, low, value.min())
            assert (value <= high + slack).all(), (node.op, high, value.max())
