"""Cells that PyTorch lacks, against second implementations written from the papers: see `tests/references`."""

import importlib
import importlib.util
from types import ModuleType

import pytest
import torch
from references import Weights
from torch import Tensor

from tuirnn.cells import CELLS, Parts
from tuirnn.cells.initial import Setting
from tuirnn.codegen.trace import Traced, traced
from tuirnn.kernels import eager, recurrent_layer
from tuirnn.kernels import layer as layer_module
from tuirnn.models import RecurrentLayer
from tuirnn.settings.model import ModelConfig

T, B, I, H = 7, 3, 4, 5
BOUND = 1e-10


def reference(cell: str) -> ModuleType | None:
    """The module of `tests/references` that has the name of the cell's own."""
    name = f"references.{type(CELLS[cell]).__module__.rpartition('.')[2]}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


REFERENCES = {name: module for name in CELLS if (module := reference(name))}


def by_name(names: tuple[str, ...], rows: Tensor) -> dict[str, Tensor]:
    return dict(zip(names, rows.chunk(max(1, len(names))), strict=False))


def named(made: Traced, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, v: Tensor) -> Weights:
    """A layer's parameters as the references take them."""
    b_x, b_h = by_name(made.gates, bias_ih), by_name(made.recurrent, bias_hh)
    b = {gate: b_x[gate] + b_h.get(gate, 0.0) for gate in made.gates}
    vectors = dict(zip(made.vectors, v, strict=True))
    return Weights(by_name(made.gates, weight_ih), by_name(made.recurrent, weight_hh), b, vectors, b_x, b_h)


@pytest.mark.parametrize("carried", [False, True], ids=["from zero", "carried"])
@pytest.mark.parametrize("cell", REFERENCES)
def test_outputs_states_and_gradients_match_the_paper(
    cell: str, carried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_module, "_kernel", lambda *_: eager)
    made = traced(CELLS[cell])
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = ((made.G * H, I), (made.R * H, H), (made.G * H,), (made.R * H,), (len(made.vectors), H))
    weights = tuple(normal(*shape).requires_grad_() for shape in rows)
    x, state = normal(T, B, I).requires_grad_(), (torch.zeros(B, H, dtype=torch.float64),) * len(made.state)
    if carried:  # a state that steps from zero lead to
        state = recurrent_layer(made, normal(2, B, I), None, weights, state)[1]
    state = tuple(part.detach().clone().requires_grad_() for part in state)
    y, last = recurrent_layer(made, x, None, weights, state)
    expected_y, expected_last = REFERENCES[cell].sequence(x, state, named(made, *weights))
    for ours, theirs in zip((y, *last), (expected_y, *expected_last), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=BOUND, atol=BOUND)
    factors = [normal(*each.shape) for each in (y, *last)]
    leaves = [each for each in (x, *state, *weights) if each.numel()]
    found, expected = (
        torch.autograd.grad(sum((f * each).sum() for f, each in zip(factors, results, strict=True)), leaves,
                            allow_unused=True, materialize_grads=True)
        for results in ((y, *last), (expected_y, *expected_last))
    )  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=BOUND, atol=BOUND)


@pytest.mark.parametrize("cell", [name for name, module in REFERENCES.items() if hasattr(module, "PUBLISHED")])
def test_a_step_gives_the_numbers_of_the_authors_code(cell: str) -> None:
    published = REFERENCES[cell].PUBLISHED
    x, before, v = (
        Parts({name: torch.tensor(values, dtype=torch.float64) for name, values in parts.items()})
        for parts in (published.x, published.before, published.v)
    )

    def nothing(operand: Tensor, gates: str) -> Parts[Tensor]:
        return Parts({gate: torch.zeros_like(operand) for gate in gates.split()})

    after, _ = CELLS[cell].step(x, before, nothing, v)
    for name, values in published.after.items():
        torch.testing.assert_close(after[name], torch.tensor(values, dtype=torch.float64), rtol=1e-13, atol=1e-13)


def layer_of(cell: str, hidden: int, **settings: float) -> RecurrentLayer:
    torch.manual_seed(0)
    return RecurrentLayer(ModelConfig(hidden=hidden, **settings).of_cell(CELLS[cell]), I)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", [name for name, module in REFERENCES.items() if hasattr(module, "begins")])
def test_first_values_are_those_of_the_paper(cell: str) -> None:
    layer = layer_of(cell, 1_000)
    with torch.no_grad():
        parameters = (layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh, layer.vectors)
        REFERENCES[cell].begins(named(layer.cell, *parameters))


@pytest.mark.parametrize(
    "cell", [name for name, cell in CELLS.items() if Setting("forget_bias") in cell.initial.values()]
)
def test_the_forget_bias_is_that_of_the_forget_gate_alone(cell: str) -> None:
    layer = layer_of(cell, H, forget_bias=2.5)
    for gate, bias in by_name(layer.cell.gates, layer.bias_ih).items():
        assert bool((bias == (2.5 if CELLS[cell].words[gate] == "forget" else 0.0)).all())


def test_every_cell_is_compared_with_something_that_is_not_its_definition() -> None:
    """Variants of PyTorch's cells have ONNX's operators as a judge, in `test_cells.py`."""
    families = {cell.family for cell in CELLS.values() if cell.in_torch}
    assert {cell.name for cell in CELLS.values() if cell.family not in families} == set(REFERENCES)
