"""`tuirnn.nn`: modules that drop in for those of torch.nn, held to them."""

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import tuirnn.nn as ours
from tuirnn.errors import ConfigError

KINDS = {"LSTM": {}, "GRU": {}, "RNN": {}, "RNN relu": {"nonlinearity": "relu"}}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

warnings.filterwarnings("ignore", "tuirnn compiles the kernels")


def pair(kind: str, *sizes: int, **options: Any) -> tuple[Any, Any]:
    """Ours and torch.nn's module with the same weights, drawn by the same seed."""
    name, given = kind.split()[0], {**KINDS[kind], **options}
    made = []
    for package in (ours, nn):
        torch.manual_seed(3)
        made.append(getattr(package, name)(*sizes, **given))
    return made[0], made[1]


def flat(answer: Any) -> list[Tensor]:
    y, state = answer
    return [y, *([state] if isinstance(state, Tensor) else state)]


def gradients(module: Any, x: Tensor, state: Any, seed: int = 5) -> list[Tensor]:
    """Answers, and the gradients of a random function of all of them for input, state and parameters."""
    x = x.clone().requires_grad_()
    parts = [part.clone().requires_grad_() for part in state or ()]
    torch.manual_seed(seed)
    answers = flat(module(x, (tuple(parts) if len(parts) > 1 else parts[0]) if parts else None))
    generator = torch.Generator().manual_seed(7)
    judge = [torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in answers]
    wanted = [x, *parts, *module.parameters()]
    total = sum((each * weight).sum() for each, weight in zip(answers, judge, strict=True))
    return [*answers, *torch.autograd.grad(total, wanted)]


def agree(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        scale = max(1.0, float(other.detach().abs().max()))
        assert float((one - other).detach().abs().max()) <= tolerance * scale


@settings(max_examples=40)
@given(
    kind=st.sampled_from(list(KINDS)), dtype=st.sampled_from(list(TOLERANCE)), T=st.integers(1, 9), B=st.integers(1, 5),
    width=st.integers(1, 12), hidden=st.integers(2, 20), layers=st.integers(1, 3), bias=st.booleans(),
    batch_first=st.booleans(), given_state=st.booleans(), lone=st.booleans(),
)  # fmt: skip
def test_answers_and_gradients_are_those_of_torch(
    kind: str, dtype: torch.dtype, T: int, B: int, width: int, hidden: int, layers: int, bias: bool, batch_first: bool,
    given_state: bool, lone: bool,
) -> None:  # fmt: skip
    mine, theirs = pair(kind, width, hidden, num_layers=layers, bias=bias, batch_first=batch_first, dtype=dtype)
    lanes = [] if lone else [B]
    shape = [T, width] if lone else [B, T, width] if batch_first else [T, B, width]
    x = torch.randn(shape, dtype=dtype)
    parts = 2 if kind == "LSTM" else 1
    state = [torch.randn(layers, *lanes, hidden, dtype=dtype) for _ in range(parts)] if given_state else None
    agree(gradients(mine, x, state), gradients(theirs, x, state), TOLERANCE[dtype])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_dropout_is_drawn_as_in_torch(kind: str) -> None:
    mine, theirs = pair(kind, 5, 8, num_layers=3, dropout=0.4, dtype=torch.float64)
    x = torch.randn(7, 3, 5, dtype=torch.float64)
    agree(gradients(mine, x, None), gradients(theirs, x, None), 1e-10)
    assert not torch.equal(mine(x)[0], mine(x)[0])
    agree(flat(mine.eval()(x)), flat(theirs.eval()(x)), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_state_dicts_load_both_ways(kind: str, bias: bool) -> None:
    mine, theirs = pair(kind, 5, 8, num_layers=2, bias=bias)
    assert {name: t.shape for name, t in mine.state_dict().items()} == {
        name: t.shape for name, t in theirs.state_dict().items()
    }
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True)), "the same seed"
    other, _ = pair(kind, 5, 8, num_layers=2, bias=bias)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    theirs.load_state_dict(other.state_dict())
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 2, 5)
    agree(flat(mine(x)), flat(theirs(x)), 1e-5)
    assert repr(mine) == repr(theirs)
    assert isinstance(mine, type(theirs))


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_in_bfloat16_and_under_autocast(kind: str) -> None:
    mine, theirs = pair(kind, 12, 24, num_layers=2)
    x = torch.randn(9, 4, 12)
    exact = flat(theirs(x))
    with torch.autocast("cpu", torch.bfloat16):
        cast = flat(mine(x))
        assert torch.mm(x[0], x[0].t()).dtype == torch.bfloat16, "autocast goes on afterwards"
        cast[0].float().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in mine.parameters())
    halved = flat(copy.deepcopy(mine).to(torch.bfloat16)(x.bfloat16()))
    for found in (cast, halved):
        assert all(one.dtype == torch.bfloat16 for one in found)
        assert max(float((a - b).detach().abs().max()) for a, b in zip(found, exact, strict=True)) < 0.03
    fresh = copy.deepcopy(mine).to(torch.bfloat16)
    fresh(x.bfloat16())[0].sum().backward()
    assert all(parameter.grad.dtype == torch.bfloat16 for parameter in fresh.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_with_frozen_weights_and_after_a_copy(kind: str, device: str) -> None:
    mine, theirs = (module.to(device) for module in pair(kind, 6, 10))
    x = torch.randn(5, 3, 6, device=device)
    with torch.no_grad():
        y, state = mine(x)
        agree(flat((y, state)), flat(theirs(x)), 1e-5)
        assert not y.requires_grad
        steps, after = [], None
        for x_t in x:
            out, after = mine(x_t[None], after)
            steps.append(out)
        agree([torch.cat(steps)], [y], 1e-5)
    again = pickle.loads(pickle.dumps(mine))
    agree(flat(again(x)), flat(mine(x)), 0.0)
    for parameter in mine.parameters():
        parameter.requires_grad_(False)
    source = x.clone().requires_grad_()
    mine(source)[0].sum().backward()
    reference = x.clone().requires_grad_()
    theirs(reference)[0].sum().backward()
    assert source.grad is not None
    agree([source.grad], [reference.grad], 1e-4)  # type: ignore[list-item]


def test_a_compiled_model_goes_around_it() -> None:
    mine, theirs = pair("GRU", 4, 6)
    x = torch.randn(3, 2, 4)
    compiled = torch.compile(nn.Sequential(mine), backend="eager")
    agree(flat(compiled(x)), flat(theirs(x)), 1e-5)
    compiled(x)[0].sum().backward()
    theirs(x)[0].sum().backward()
    agree([p.grad for p in mine.parameters()], [p.grad for p in theirs.parameters()], 1e-4)


def test_weights_are_read_by_name() -> None:
    """So functional calls and parametrizations are heeded."""
    mine, theirs = pair("LSTM", 4, 6)
    x = torch.randn(3, 2, 4)
    doubled = {name: 2 * value for name, value in mine.state_dict().items()}
    found = torch.func.functional_call(mine, doubled, (x,))
    expected = torch.func.functional_call(theirs, doubled, (x,))
    agree(flat(found), flat(expected), 1e-5)


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    mine, _ = pair("GRU", 4, 6, dtype=torch.float64)
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(mine(x)[0].pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize(("kind", "options", "said"), [
    ("LSTM", {"bidirectional": True}, "tuirnn.nn.LSTM .* bidirectional=True is not supported; .* torch.nn.LSTM"),
    ("GRU", {"bidirectional": True}, "tuirnn.nn.GRU .* bidirectional=True is not supported; .* torch.nn.GRU"),
    ("LSTM", {"proj_size": 3}, "proj_size is not supported; .* torch.nn.Linear"),
])  # fmt: skip
def test_what_no_kernel_does_is_refused_with_the_reason(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        getattr(ours, kind)(4, 6, **options)


def test_packed_sequences_and_half_precision_are_refused_with_the_reason() -> None:
    mine, _ = pair("LSTM", 4, 6)
    with pytest.raises(ConfigError, match="packed sequences are not supported; pad them"):
        mine(pack_sequence([torch.randn(3, 4), torch.randn(2, 4)]))
    with pytest.raises(ConfigError, match=r"float32, float64 or bfloat16, not in torch\.float16"):
        mine.half()(torch.randn(3, 2, 4).half())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "state"), [
    ((3, 2, 5), None), ((3, 2, 4, 1), None), ((0, 2, 4), None), ((3, 2, 4), (1, 3, 6)), ((3, 2, 4), (2, 2, 6)),
])  # fmt: skip
def test_wrong_shapes_are_refused_in_the_words_of_torch(
    kind: str, shape: tuple[int, ...], state: tuple[int, ...] | None
) -> None:
    mine, theirs = pair(kind, 4, 6)
    hx = None if state is None else torch.zeros(state) if kind != "LSTM" else (torch.zeros(state), torch.zeros(state))
    said = []
    for module in (mine, theirs):
        with pytest.raises((RuntimeError, ValueError)) as refused:
            module(torch.zeros(shape), hx)
        said.append(str(refused.value))
    assert said[0] == said[1].replace(" tensor instead", " instead")  # its RNN has a word more


def test_the_arguments_are_those_of_torch_in_their_order() -> None:
    assert repr(ours.LSTM(3, 4, 2, False, True, 0.5)) == repr(nn.LSTM(3, 4, 2, False, True, 0.5))
    assert repr(ours.GRU(3, 4, 2, False, True, 0.5)) == repr(nn.GRU(3, 4, 2, False, True, 0.5))
    assert repr(ours.RNN(3, 4, 2, "relu", False, True, 0.5)) == repr(nn.RNN(3, 4, 2, "relu", False, True, 0.5))
    assert ours.RNN(3, 4, 2, "relu").mode == "RNN_RELU"
