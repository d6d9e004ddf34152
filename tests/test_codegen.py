"""Traced cells: what is derived from a definition, and how a wrong definition is reported."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tuirnn.codegen.arrays  # noqa: F401  expressions compute with numpy
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, sigmoid, tanh
from tuirnn.cli import app
from tuirnn.codegen.equations import equations
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, depends, leaf, make, replaced, walk
from tuirnn.codegen.ranges import largest
from tuirnn.codegen.trace import Traced, traced
from tuirnn.kernels import eager, portable
from tuirnn.kernels.cache import Recurrent
from tuirnn.models import RecurrentLayer
from tuirnn.settings.model import ModelConfig

B, H = 3, 4
SEEDS = (0, 1, 2)
"""Of the points at which derivatives are compared."""

FAR = 60.0
"""What is added to input halves, or subtracted: σ(−60) in float64 is 0 as `codegen.arrays` computes it."""


def random_leaves(made: Traced, seed: int = 0) -> tuple[dict[Expr, np.ndarray], dict[str, np.ndarray]]:
    """Numbers for input halves, vectors and a state that some steps from zero lead to; weight_hh of each gate.

    With seed 0 the state is zero; with the last of `SEEDS` some input halves are so far out that gates are shut.
    """
    rng = np.random.default_rng(seed)
    weights = {gate: rng.normal(size=(H, H)) for gate in made.gates}
    leaves = {leaf("p", name): rng.normal(size=(1, H)) for name in made.vectors}
    leaves |= {leaf("state", name): np.zeros((B, H)) for name in made.state}
    for _ in range(3 if seed else 0):
        leaves |= {leaf("x", gate): rng.normal(size=(B, H)) for gate in made.gates}
        after = forward(made, leaves, weights)
        leaves |= {leaf("state", name): after[leaf("after", name)] for name in made.state}
    leaves |= {leaf("x", gate): rng.normal(size=(B, H)) for gate in made.gates}
    for gate in made.gates if seed == SEEDS[-1] else ():
        leaves[leaf("x", gate)] += FAR * rng.integers(-1, 2, size=(B, H))
    return leaves, weights


def forward(made: Traced, leaves: dict[Expr, np.ndarray], weights: dict[str, np.ndarray]) -> dict[Expr, np.ndarray]:
    """The leaves with each stage's products, what is kept, and the state after."""
    found = dict(leaves)
    for stage in made.stages:
        operand = evaluate(stage.operand, found)
        found |= {leaf("W", gate): operand @ weights[gate].T for gate in stage.gates}
    found |= {leaf("kept", name): evaluate(node, found) for name, node in made.kept.items()}
    return found | {leaf("after", name): evaluate(node, found) for name, node in made.after.items()}


def of_the_loss(made: Traced) -> dict[str, np.ndarray]:
    """A gradient for each part of the state after the step: the loss is their weighted sum."""
    rng = np.random.default_rng(7)
    return {name: rng.normal(size=(B, H)) for name in made.state}


def backward_results(made: Traced) -> list[Expr]:
    """All gradients of a backward step."""
    d = made.gradients
    return [*d.x.values(), *made.gate_gradients.values(), *d.before.values(), *made.vector_gradients.values()]


def gradients(made: Traced, change: "dict[Expr, Expr] | None" = None) -> dict[str, np.ndarray]:
    """What the backward step gives for each of `SEEDS`, each expression with some of its parts replaced."""
    return {f"{seed} {name}": value for seed in SEEDS for name, value in _gradients(made, seed, change or {}).items()}


def _gradients(made: Traced, seed: int, change: dict[Expr, Expr]) -> dict[str, np.ndarray]:
    leaves, weights = random_leaves(made, seed)
    found = forward(made, leaves, weights)
    found |= {leaf("d", name): d for name, d in of_the_loss(made).items()}
    found |= {leaf("Wt", product.name): np.full((B, H), 0.5) for product in made.products}  # a mutant may ask too early
    numbers = [node for node in walk(*backward_results(made)) if node.op == CONSTANT]
    found |= {node: np.full((1, 1), node.value) for node in numbers}  # a mutant may apply a function to one

    def value(node: Expr) -> np.ndarray:
        return evaluate(replaced(node, change), found)

    with np.errstate(all="ignore"):
        for product in made.products:
            parts = [value(node) @ weights[gate] for gate, node in product.gradients.items()]
            found[leaf("Wt", product.name)] = sum(parts)
        results = {f"x {gate}": value(node) for gate, node in made.gradients.x.items()}
        results |= {f"p {name}": value(node) for name, node in made.vector_gradients.items()}
        results |= {f"before {name}": value(node) for name, node in made.gradients.before.items()}
    whole = {name: np.broadcast_to(result, (B, H)) for name, result in results.items()}
    return {name: result.sum(0, keepdims=True) if name[0] == "p" else result for name, result in whole.items()}


def numeric(made: Traced) -> dict[str, np.ndarray]:
    """The same by finite differences of the forward step."""
    return {f"{seed} {name}": value for seed in SEEDS for name, value in _numeric(made, seed).items()}


def _numeric(made: Traced, seed: int) -> dict[str, np.ndarray]:
    leaves, weights = random_leaves(made, seed)

    def loss() -> float:
        found = forward(made, leaves, weights)
        return sum(float((d * found[leaf("after", name)]).sum()) for name, d in of_the_loss(made).items())

    results = {}
    named = {f"x {gate}": leaf("x", gate) for gate in made.gates}
    named |= {f"p {name}": leaf("p", name) for name in made.vectors}
    for key, node in (named | {f"before {name}": leaf("state", name) for name in made.state}).items():
        results[key] = np.zeros_like(leaves[node])
        for at in np.ndindex(*leaves[node].shape):
            here, values = leaves[node][at], []
            for step in (1e-6, -1e-6):
                leaves[node][at] = here + step
                values.append(loss())
            leaves[node][at] = here
            results[key][at] = (values[0] - values[1]) / 2e-6
    return results


def distance(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest difference; NaN is as far as can be."""
    return max(float(np.nan_to_num(np.abs(a[key] - b[key]), nan=np.inf).max()) for key in b)


@pytest.mark.parametrize("cell", CELLS)
def test_the_backward_step_is_the_derivative_of_the_forward_step(cell: str) -> None:
    made = traced(CELLS[cell])
    assert distance(gradients(made), numeric(made)) <= 1e-7


def mutations(made: Traced) -> Iterator[dict[Expr, Expr]]:
    """Every operation and every leaf of the backward step, replaced by another."""
    nodes = [node for node in walk(*backward_results(made)) if node.op != CONSTANT]
    for node in nodes:
        if node.op in ("add", "sub"):
            yield {node: make("sub" if node.op == "add" else "add", *node.args)}
        elif node.op in ("mul", "div"):
            yield {node: node.args[0]}
            yield {node: node.args[1]}
            yield {node: make("neg", node)}
        elif node.op in ("select", "maximum"):
            yield {node: node.args[-2]}
            yield {node: node.args[-1]}
        elif node.op == LEAF:
            for other in nodes:
                if other.op == LEAF and other is not node and depends(node, "d", "Wt") == depends(other, "d", "Wt"):
                    yield {node: other}
        else:
            yield {node: node.args[0]}


@pytest.mark.parametrize("cell", CELLS)
def test_any_mistake_in_a_backward_step_is_noticed(cell: str) -> None:
    """Each sign, factor, function and letter of the derivative, changed: finite differences must tell."""
    made = traced(CELLS[cell])
    exact = numeric(made)
    changes = list(mutations(made))
    assert len(changes) >= 5
    missed = [change for change in changes if distance(gradients(made, change), exact) < 1e-4]
    assert not missed


@pytest.mark.parametrize("cell", CELLS)
def test_an_operand_is_made_again_from_what_is_kept(cell: str) -> None:
    made = traced(CELLS[cell])
    found = forward(made, *random_leaves(made, seed=1))
    for stage, operand in zip(made.stages, made.operands, strict=True):
        np.testing.assert_allclose(evaluate(operand, found), evaluate(stage.operand, found), rtol=0, atol=1e-15)


@pytest.mark.parametrize("cell", CELLS)
def test_bounds_hold(cell: str) -> None:
    """States that start at zero stay within their bounds, and so do the operands of the products."""
    made = traced(CELLS[cell])
    leaves, weights = random_leaves(made)
    rng = np.random.default_rng(1)
    for _ in range(50):
        leaves |= {leaf("x", gate): 5 * rng.normal(size=(B, H)) for gate in made.gates}
        found = forward(made, leaves, weights)
        for stage in made.stages:
            limit = largest(stage.operand, made.cell)
            assert limit is None or np.abs(evaluate(stage.operand, found)).max() <= limit
        for name, bound in made.cell.bounds.items():
            assert np.abs(found[leaf("after", name)]).max() <= bound
        leaves |= {leaf("state", name): found[leaf("after", name)] for name in made.state}
    if made.stages and made.stages[-1].operand.of == "state":
        assert largest(made.stages[-1].operand, made.cell) == made.cell.bounds.get(made.stages[-1].operand.name)


@pytest.mark.parametrize("cell", CELLS)
def test_shut_and_wide_open_gates_give_numbers_in_float32(cell: str) -> None:
    """No value and no gradient is NaN, from the zero state on, where functions reach the ends of float32."""
    made, T = traced(CELLS[cell]), 6
    generator = torch.Generator().manual_seed(0)
    gx = 150.0 * torch.randint(-1, 2, (T, B, made.G * H), generator=generator)
    weights = Recurrent(*(torch.randn(*shape, generator=generator)
                          for shape in ((made.R * H, H), (made.R * H,), (len(made.vectors), H))))  # fmt: skip
    trace = eager.forward(made, gx, weights, (torch.zeros(B, H),) * len(made.state))
    d = eager.backward(made, trace, weights, torch.ones(T, B, H), (torch.ones(B, H),) * len(made.state))
    assert all(found.isfinite().all() for found in (*trace.states, d.x, d.gates, *d.state, d.vectors))


class Careless(Cell):
    """Its gradients lack a gate."""

    name = family = "careless"
    year, paper, gates, words = 2026, "", ("a", "b"), {"a": "a", "b": "b"}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        product = W(s.h, "a b")
        return Parts(h=tanh(x.a + product.a) * (x.b + product.b)), Parts()

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        return Gradients(Parts(h=Wt(a=d.h)), Parts(a=d.h))


class Odd(Cell):
    """What the five do not have: halves that are subtracted, numbers as factors, negated gradients, two states."""

    name = family = "odd"
    year, paper, gates, words, state = 2026, "", ("a", "b"), {"a": "a", "b": "b"}, ("h", "c")

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        product = W(s.h, "a b")
        a, b = sigmoid(x.a + product.a), tanh(x.b - product.b)
        c = s.c - a * b
        return Parts(h=tanh(c) * a + s.h * 0.5, c=c), Parts(a=a, b=b)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        t = tanh(after.c)
        dc = d.c + d.h * k.a * (1 - t * t)
        da = (d.h * t - dc * k.b) * k.a * (1 - k.a)
        db = -dc * k.a * (1 - k.b * k.b)
        dh = d.h * 0.5 + Wt(a=da, b=-db)
        return Gradients(Parts(h=dh, c=dc), Parts(a=da, b=db), Parts(a=da, b=-db))


def test_an_odd_cell_is_scheduled_as_it_is_written() -> None:
    made = traced(Odd())
    assert distance(gradients(made), numeric(made)) <= 1e-7
    T, width = 5, 7
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    gx, W, bias = normal(T, B, 2 * width), normal(2 * width, width), normal(2 * width)
    state, dh_all, dlast = (normal(B, width), normal(B, width)), normal(T, B, width), (normal(B, width),) * 2
    results = []
    weights = Recurrent(W, bias, W[:0])
    for kernel in (portable, eager):
        trace = kernel.forward(made, gx.clone(), weights, state)
        kept = trace.gates.clone()
        d = kernel.backward(made, trace, weights, dh_all, dlast)
        results.append([kept, *trace.states, d.x, d.gates, *d.state])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13)


def test_a_wrong_definition_is_reported_with_its_place() -> None:
    with pytest.raises(
        ValueError, match=r"cell 'careless': expected gradients of the input halves \['a', 'b'\], not \['a'\]"
    ):
        traced(Careless())


def test_cells_are_listed_and_shown() -> None:
    listed = CliRunner().invoke(app, ["cells"])
    assert listed.exit_code == 0
    assert all(f"\n{name} " in listed.output for name in CELLS)
    shown = CliRunner().invoke(app, ["cells", "GRU-before"])
    assert "    n = tanh(W_xn x + W_hn (r h) + b_n)\n" in shown.output
    assert "    δh = δh' z + (W_hnᵀ δn) r + W_hrᵀ δr + W_hzᵀ δz\n" in shown.output
    for words in (["cells", "lst"], ["cells", "--latex"]):
        assert CliRunner().invoke(app, words).exit_code != 0


def test_what_is_said_of_cells_is_what_their_layers_have() -> None:
    said = json.loads(CliRunner().invoke(app, ["cells", "--hidden", "24", "--json"]).output)
    for facts, cell in zip(said, CELLS.values(), strict=True):
        layer = RecurrentLayer(ModelConfig(hidden=24).of_cell(cell), 24)
        assert facts["parameters"] == sum(each.numel() for each in layer.parameters())
        assert facts["numbers_of_state"] == sum(each.numel() for each in layer.zero_state(1))
        assert facts["multiplications"] == layer.weight_ih.numel() + layer.weight_hh.numel()
        assert facts["multiplications_in_loop"] == layer.weight_hh.numel()


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_shown_with_its_equations_and_in_latex(cell: str) -> None:
    made, shown = equations(CELLS[cell]), CliRunner().invoke(app, ["cells", cell]).output
    assert all(f"    {line}\n" in shown for line in (*made.forward, *made.backward))
    assert all(word in shown for word in CELLS[cell].words.values())
    latex = CliRunner().invoke(app, ["cells", cell, "--latex"]).output
    assert latex == f"{made.latex.forward}\n\n{made.latex.backward}\n"
