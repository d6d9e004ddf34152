"""The cells' forward and backward passes against references that share no code with them."""

import importlib
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from tuirnn.cells import CELLS, find_cell
from tuirnn.codegen.trace import traced
from tuirnn.kernels import inputs, portable, recurrent_layer
from tuirnn.kernels import layer as layer_module
from tuirnn.kernels.cache import Recurrent
from tuirnn.models import RecurrentLayer, SequenceModel, dropout_mask
from tuirnn.settings.model import ModelConfig
from tuirnn.training import verification

ALL_CASES = list(verification.cases())


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.label)
def test_gradients_match_finite_differences(case: verification.Case, device: str) -> None:
    assert (
        verification.finite_difference_error(verification.trial(case, device=device))
        <= verification.FINITE_DIFFERENCE_BOUND
    )


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.label)
def test_outputs_states_and_gradients_match_torch(case: verification.Case, device: str) -> None:
    assert verification.torch_difference(case, verification.trial(case, device=device)) <= verification.TORCH_BOUND


@pytest.mark.parametrize("cell", CELLS)
def test_one_hot_tokens_equal_one_hot_vectors(cell: str, device: str) -> None:
    config = ModelConfig(hidden=5, embed=0).of_cell(CELLS[cell])
    layer = RecurrentLayer(config, 7).double().to(device)
    tokens = torch.randint(7, (4, 3), device=device)
    weights = (layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh, layer.vectors)
    parameters = list(layer.parameters())
    vectors = torch.nn.functional.one_hot(tokens, 7).double()
    gradients = []
    for source in (tokens, vectors):
        outputs, _ = recurrent_layer(layer.cell, source, None, weights, layer.zero_state(3))
        gradients.append((outputs.detach(), *torch.autograd.grad((outputs**2).sum(), parameters)))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
def test_step_by_step_equals_whole_sequence(cell: str, layers: int, device: str) -> None:
    case = verification.Case(cell, layers, carried=True, masked=False)
    subject = verification.trial(case, device=device)
    with torch.no_grad():
        whole, last = subject.ours()
        state, pieces = subject.state, []
        for token in subject.tokens:
            logits, state = subject.model(token[None], state)
            pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-12)
    for ours, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


# ── the classic mistake: a missing transpose ─────────────────────────────────────

BLOCKS = [(cell.name, gate) for cell in CELLS.values() for gate in range(traced(cell).R)]


@pytest.mark.parametrize(("cell", "gate"), BLOCKS)
def test_a_dropped_transpose_of_any_gate_is_noticed(cell: str, gate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backward pass with the weight_hh block of one gate transposed must fail the comparison."""
    backward = portable.backward

    def wrong(cell_: Any, trace: Any, weights: Recurrent, *rest: Any, **options: Any) -> Any:
        H = weights.matrix.shape[1]
        rows = slice(gate * H, (gate + 1) * H)
        mutated = weights.matrix.clone()
        mutated[rows] = weights.matrix[rows].t()
        return backward(cell_, trace, weights._replace(matrix=mutated), *rest, **options)

    case = verification.Case(cell, 1, carried=True, masked=False)
    assert verification.torch_difference(case, verification.trial(case)) <= verification.TORCH_BOUND
    monkeypatch.setattr(layer_module.portable, "backward", wrong)
    assert verification.torch_difference(case, verification.trial(case)) > 1e-3
    assert verification.finite_difference_error(verification.trial(case)) > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_a_dropped_transpose_of_the_input_weights_is_noticed(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """dx = dgx weight_ih: with square blocks the wrong way round would have the right shape."""
    config = ModelConfig(hidden=4).of_cell(CELLS[cell])
    layer = RecurrentLayer(config, 4).double()
    x = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)

    def loss(source: Tensor) -> Tensor:
        return (layer(source, layer.zero_state(2))[0] ** 2).sum()

    assert torch.autograd.gradcheck(loss, (x,), eps=1e-6, atol=1e-7)
    (dx,) = torch.autograd.grad(loss(x), x)
    monkeypatch.setattr(inputs.InputGradients, "add", wrong_input_transpose(layer))
    (wrong,) = torch.autograd.grad(loss(x), x)
    assert (dx - wrong).abs().max() > 1e-3 * dx.abs().max()


def wrong_input_transpose(layer: RecurrentLayer) -> Any:
    original = inputs.InputGradients.add

    def wrong(self: inputs.InputGradients, *rest: Any) -> None:
        blocks = torch.cat([block.t() for block in layer.weight_ih.detach().chunk(layer.cell.G)])
        half = self.half
        self.half = inputs.InputProjection(half.source, None, blocks, half.bias, half.operand, half.stored)
        original(self, *rest)

    return wrong


# ── the ONNX operators' own reference cases ──────────────────────────────────────


def onnx_cases() -> list[Any]:
    """The reference cases of ONNX's RNN, LSTM and GRU operators that a plain cell can express."""
    found = {}
    for op in ("rnn", "lstm", "gru"):  # a module's cases are made when it is first imported
        importlib.import_module(f"onnx.backend.test.case.node.{op}")
    for case in collect_testcases("RNN"):
        if case.model is None or not case.data_sets:
            continue
        (node,) = case.model.graph.node
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        plain = attributes.get("direction", b"forward") == b"forward" and not attributes.get("layout")
        if plain and len(node.input) <= 6 and "activations" not in attributes:
            found[case.name] = pytest.param(node.op_type, attributes, node, case.data_sets[0], id=case.name)
    return list(found.values())


REFERENCE = onnx_cases()


@pytest.mark.parametrize(("op", "attributes", "node", "data"), REFERENCE)
def test_onnx_reference_cases(op: str, attributes: dict[str, Any], node: Any, data: Any) -> None:
    """Our layer reproduces what ONNX's own reference computes (gate orders: LSTM i,o,f,c; GRU z,r,h)."""
    inputs = dict(zip(node.input, data[0], strict=False))
    X, W, R = (torch.from_numpy(np.array(inputs[name], dtype=np.float64)) for name in node.input[:3])
    H = W.shape[1] // {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    order = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}[op]

    def ours(matrix: Tensor) -> Tensor:
        blocks = matrix.chunk(len(order))
        return torch.cat([blocks[i] for i in order])

    rows = W.shape[1]
    biases = torch.zeros(2 * rows, dtype=torch.float64)
    if len(node.input) > 3 and node.input[3]:
        biases = torch.from_numpy(np.array(inputs[node.input[3]][0], dtype=np.float64))
    cell = traced(find_cell(op.lower(), reset="after" if attributes.get("linear_before_reset") else "before"))
    weights = (ours(W[0]), ours(R[0]), ours(biases[:rows]), ours(biases[rows:]), R[0, :0])
    names = node.input[5:6]
    zero = torch.zeros(X.shape[1], H, dtype=torch.float64)
    first = [zero] * len(cell.state)
    for i, name in enumerate(names):
        if name:
            first[i] = torch.from_numpy(np.array(inputs[name][0], dtype=np.float64))
    outputs, last = recurrent_layer(cell, X, None, weights, tuple(first))
    expected = dict(zip([name for name in node.output if name], data[1], strict=True))
    for name, value in expected.items():
        got = {"Y": outputs[:, None], "Y_h": last[0][None], "Y_c": last[-1][None]}[name]
        np.testing.assert_allclose(got.numpy(), value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("after", [0, 1])
def test_both_reset_forms_agree_with_the_onnx_operator(after: int) -> None:
    """`linear_before_reset` 1 is the reset gate after the product, 0 before it; ONNX's own evaluator is the judge."""
    T, B, I, H = 6, 3, 4, 5
    rng = np.random.default_rng(after)
    shapes = {"X": (T, B, I), "W": (1, 3 * H, I), "R": (1, 3 * H, H), "B": (1, 6 * H), "": (), "h": (1, B, H)}
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items() if name}
    node = onnx.helper.make_node("GRU", list(shapes), ["Y", "Y_h"], hidden_size=H, linear_before_reset=after)
    expected = dict(zip(["Y", "Y_h"], ReferenceEvaluator(node).run(None, values), strict=True))
    X, W, R, bias = (torch.from_numpy(values[name]).double() for name in ("X", "W", "R", "B"))

    def ours(rows: Tensor) -> Tensor:
        z, r, n = rows.chunk(3)
        return torch.cat([r, z, n])

    weights = (ours(W[0]), ours(R[0]), ours(bias[0, : 3 * H]), ours(bias[0, 3 * H :]), R[0, :0])
    cell = traced(find_cell("gru", reset="after" if after else "before"))
    first = (torch.from_numpy(values["h"][0]).double(),)
    outputs, last = recurrent_layer(cell, X, None, weights, first)
    np.testing.assert_allclose(outputs.numpy(), expected["Y"][:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(last[0].numpy(), expected["Y_h"][0], rtol=0, atol=1e-6)


def test_onnx_reference_cases_cover_every_cell() -> None:
    found = [(param.values[0], bool(param.values[1].get("linear_before_reset"))) for param in REFERENCE]
    assert {op for op, _ in found} == {"RNN", "LSTM", "GRU"}
    assert len(found) >= 6


# ── models ───────────────────────────────────────────────────────────────────────


def test_unknown_symbols_start_as_nothing() -> None:
    for embed in (0, 6):
        model = SequenceModel(ModelConfig(hidden=5, embed=embed), 9, unk=8)
        traces: list[Any] = []
        model(torch.tensor([[8]]), model.zero_state(1), observe=traces)
        layer = model.recurrent(0)
        bias = layer.bias_ih + layer.bias_hh
        expected = torch.cat([bias[:10].sigmoid(), bias[10:15].tanh(), bias[15:].sigmoid()])
        torch.testing.assert_close(traces[0].gates[0, 0], expected.detach())


def test_residual_projection_and_tied_weights_shape_the_network() -> None:
    config = ModelConfig(hidden=8, layers=3, embed=6, residual=True, projection=6, tied=True, dropout=0.0)
    model = SequenceModel(config, 10)
    logits, state = model(torch.randint(10, (4, 2)), model.zero_state(2))
    assert logits.shape == (4, 2, 10)
    assert len(state) == 3
    assert model.head.weight is model.embedding.weight  # type: ignore[union-attr]
    logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("p", [0.0001, 0.2, 0.5, 0.95])
def test_dropout_masks_drop_as_often_as_asked_and_keep_the_mean(p: float, device: str) -> None:
    torch.manual_seed(0)
    kept = dropout_mask(torch.empty(64, 33, 129, device=device), p)
    n = kept.numel()
    dropped = int((~kept).sum())
    assert abs(dropped - p * n) < 5 * (p * (1 - p) * n) ** 0.5 + n / 65_536
    model = SequenceModel(ModelConfig(hidden=129, dropout=p), 7)
    x = torch.rand(64, 33, 129, device=device, requires_grad=True)
    y = model._drop(x, None, None)
    assert float((y.mean() / x.mean()).detach()) == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0] * x, y)
    assert not torch.equal(kept, dropout_mask(kept, p)) or p < 0.01


def test_weight_dropout_masks_the_recurrent_weights_of_a_batch_in_training_alone(device: str) -> None:
    layer, plain = (
        RecurrentLayer(ModelConfig(cell="gru", hidden=20, weight_dropout=p), 7).to(device) for p in (0.5, 0.0)
    )
    plain.load_state_dict(layer.state_dict())
    x, state = torch.randn(6, 3, 7, device=device), layer.zero_state(3)
    layer.eval()
    assert torch.equal(layer(x, state)[0], plain(x, state)[0])
    layer.train()
    torch.manual_seed(0)
    kept = dropout_mask(layer.weight_hh[None], 0.5)[0]
    with torch.no_grad():
        plain.weight_hh.mul_(2 * kept)
    torch.manual_seed(0)
    y = layer(x, state)[0]
    torch.testing.assert_close(y, plain(x, state)[0])
    y.square().sum().backward()
    assert torch.equal(layer.weight_hh.grad != 0, kept)


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_stays_close_to_float32(cell: str, device: str) -> None:
    config = ModelConfig(hidden=32, embed=16, dropout=0.0).of_cell(CELLS[cell])
    torch.manual_seed(0)
    model = SequenceModel(config, 20).to(device)
    tokens = torch.randint(20, (12, 4), device=device)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        model.compute_dtype = dtype
        logits, _ = model(tokens, model.zero_state(4))
        gradients = torch.autograd.grad(logits.square().mean(), list(model.parameters()))
        results.append((logits.detach(), gradients))
    (exact, exact_gradients), (rough, rough_gradients) = results
    assert (exact - rough).abs().max() < 0.03
    for a, b in zip(exact_gradients, rough_gradients, strict=True):
        assert (a - b).norm() <= 0.05 * a.norm() + 1e-6
