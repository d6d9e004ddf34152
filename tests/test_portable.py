"""The portable loop: what it computes in each step, and cells with features that no cell of `cells/` has."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from tuirnn import spans
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import (
    FUNCTIONS,
    V,
    exp,
    expm1,
    is_positive,
    log_sigmoid,
    maximum,
    select,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)
from tuirnn.cells.gru import GRU, GRUBefore
from tuirnn.cells.lstm import LSTM
from tuirnn.cells.rnn import RNN, RNNRelu
from tuirnn.codegen.expression import depends, walk
from tuirnn.codegen.trace import Traced, traced
from tuirnn.kernels import portable, recurrent_layer
from tuirnn.kernels.cache import ForwardCache, Recurrent
from tuirnn.kernels.inplace import backward_program, forward_program
from tuirnn.kernels.inplace.calls import Product as ProductCall
from tuirnn.training.torch_layers import autograd_layer

T, B, I, H = 7, 2, 4, 5


class Wild(Cell):
    """Three states, one of which no step reads; operands of inputs, vectors and gates; values that change places."""

    name = family = "wild"
    year, paper, gates, words = 2026, "", ("q", "a", "b", "e"), dict.fromkeys("qabe", "")
    state, vectors = ("h", "c", "s"), ("u", "w")

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = tanh(x.a + W(x.q * (p.u + s.c), "a").a)
        y = W(a * s.h, "b e")
        b, e = sigmoid(x.b + y.b), x.e - y.e
        c = log_sigmoid(p.w) * s.c + select(e, b / (1 + e * e), maximum(a, 0.25))
        return Parts(h=a * s.h + c, c=c, s=s.s * 0.5 - sqrt(1 + x.q * x.q)), Parts(a=b, b=a, q=x.q, e=e)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        a, b, q, e = k.b, k.a, k.q, k.e
        dc, divisor = d.c + d.h, 1 + e * e
        db = select(e, dc / divisor, 0) * b * (1 - b)
        de = select(e, -dc * 2 * e * b / (divisor * divisor), 0)
        dah = Wt(b=db, e=-de)
        da = (d.h * s.h + dah * s.h + select(e, 0, dc * is_positive(a - 0.25))) * (1 - a * a)
        dm = Wt(a=da)
        dq = dm * (p.u + s.c) - d.s * q / sqrt(1 + q * q)
        before = Parts(h=d.h * a + dah * a, c=dc * log_sigmoid(p.w) + dm * q, s=d.s * 0.5)
        vectors = Parts(u=dm * q, w=dc * s.c * (1 - sigmoid(p.w)))
        return Gradients(before, Parts(q=dq, a=da, b=db, e=de), Parts(a=da, b=db, e=-de), vectors)


class Highway(Cell):
    """No product: the output beside the recurrence is all that reads one gate, and a vector's gradient a gate's."""

    name = family = "highway"
    year, paper, gates, words = 2026, "", ("f", "r", "u"), dict.fromkeys("fru", "")
    state, vectors = ("h", "c"), ("v",)

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        f, r = sigmoid(x.f + softplus(p.v) * s.c), sigmoid(x.r)
        c = f * s.c + (1 - f) * x.u
        t = tanh(c)
        return Parts(h=r * t + (1 - r) * x.u, c=c), Parts(f=f, r=r, u=x.u, t=t)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        dr = d.h * (k.t - k.u) * k.r * (1 - k.r)
        dc = d.c + d.h * k.r * (1 - k.t * k.t)
        df = dc * (s.c - k.u) * k.f * (1 - k.f)
        du = dc * (1 - k.f) + d.h * (1 - k.r)
        vectors = Parts(v=df * s.c * sigmoid(p.v))
        return Gradients(Parts(h=0, c=dc * k.f + df * softplus(p.v)), Parts(f=df, r=dr, u=du), vectors=vectors)  # type: ignore[type-var]


class Switch(Cell):
    """Keeps no gate; a gradient that is a number goes through a product, a gate that only copies has one of 1."""

    name = family = "switch"
    year, paper, gates, words = 2026, "", ("z", "n", "o"), dict.fromkeys("zno", "")
    state = ("h", "last", "total")

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        a = W(s.h, "z n")
        on, t = is_positive(x.z + a.z), tanh(x.n + a.n)
        return Parts(h=select(on, t, s.last * 0.5), last=x.o, total=s.total + s.last), Parts(on=on, t=t)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        dn = d.h * k.on * (1 - k.t * k.t)
        dlast = select(k.on, 0.0, d.h) * 0.5 + d.total
        dx = Parts(z=0.0, n=dn, o=d.last)
        return Gradients(Parts(h=Wt(z=0.0, n=dn), last=dlast, total=d.total), dx)  # type: ignore[type-var, arg-type]


class Tangle(Cell):
    """States that feed each other, kept values in each other's places and one that is the same at all steps."""

    name = family = "tangle"
    year, paper, gates, words = 2026, "", ("a", "b"), dict.fromkeys("ab", "")
    state, vectors = ("h", "c"), ("u",)

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        y = expm1(p.u)
        return Parts(h=s.h * 0.5 + s.c + x.a * y, c=s.c + s.h + x.b * x.a), Parts(a=x.b, b=x.a, y=y)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        dx = Parts(a=d.h * k.y + d.c * k.a, b=d.c * k.b)
        before = Parts(h=d.h * 0.5 + d.c, c=d.h + d.c)
        return Gradients(before, dx, vectors=Parts(u=d.h * k.b * exp(p.u)))


ODD = {cell.name: cell for cell in (Wild(), Highway(), Switch(), Tangle())}


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two steps, spans of three."""
    monkeypatch.setattr(portable, "BLOCK", {"cpu": 2 * B * H})
    monkeypatch.setattr(spans, "ROWS", {"cpu": (3 * B, 3 * B, 3 * B)})


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("memory", ["save", "recompute"])
@pytest.mark.parametrize("name", ODD)
def test_cells_of_other_kinds_have_the_gradients_of_their_definition(name: str, memory: str) -> None:
    """A layer against the forward step under autograd."""
    cell, generator = traced(ODD[name]), torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    G, R = cell.G * H, cell.R * H
    weights = (normal(G, I), normal(R, H), normal(G), normal(R), normal(len(cell.vectors), H))
    x, state = normal(T, B, I), tuple(normal(B, H) for _ in cell.state)
    leaves = [leaf for leaf in (x, *weights, *state) if leaf.numel()]
    found: list[list[Tensor]] = []
    for y, last in (
        recurrent_layer(cell, x, None, weights, state, memory=memory),
        autograd_layer(ODD[name], x, state, weights),
    ):
        torch.manual_seed(0)
        scalar = torch.stack([(each * torch.randn_like(each)).sum() for each in (y, *last)]).sum()
        gradients = torch.autograd.grad(scalar, leaves, allow_unused=True)
        zeros = map(torch.zeros_like, leaves)
        found.append([y, *last, *(zero if d is None else d for d, zero in zip(gradients, zeros, strict=True))])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("cell", [*CELLS.values(), *ODD.values()], ids=lambda cell: cell.name)
def test_what_is_kept_is_made_again_to_save_memory(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three spans the last keeps its values; where there are none to keep, no span is run again."""
    made, lengths, forward = traced(cell), list[int](), portable.forward

    def counted(cell: Any, gx: Tensor, *rest: Any, **options: Any) -> ForwardCache:
        lengths.append(len(gx))
        return forward(cell, gx, *rest, **options)

    monkeypatch.setattr(portable, "forward", counted)
    state = tuple(torch.zeros(B, H, dtype=torch.float64) for _ in made.state)
    shapes = ((made.G * H, I), (made.R * H, H), (made.G * H,), (made.R * H,), (len(made.vectors), H))
    weights: Any = tuple(torch.full(shape, 0.1, dtype=torch.float64, requires_grad=True) for shape in shapes)
    y, _ = recurrent_layer(made, torch.ones(T, B, I, dtype=torch.float64), None, weights, state, memory="recompute")
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert lengths == [3, 3, 1, *([3, 3] if made.kept else [])]


CALLS = ((RNN(), (5, 2)), (RNNRelu(), (3, 2)), (LSTM(), (10, 5)), (GRU(), (11, 3)), (GRUBefore(), (10, 6)))
"""Calls of a forward and a backward step, products among them: no more than before there were other cells."""


@pytest.mark.parametrize(("cell", "most"), CALLS, ids=lambda given: getattr(given, "name", ""))
def test_a_step_has_no_more_calls_than_it_needs(cell: Cell, most: tuple[int, int]) -> None:
    made = traced(cell)
    passes = forward_program(made).step, backward_program(made).step
    assert all(len(part) <= count for part, count in zip(passes, most, strict=True))
    products = [Counter(type(call) for call in part)[ProductCall] for part in passes]
    assert products == [len(made.stages), len(made.products)]
    assert not forward_program(made).before
    assert not forward_program(made).after


def is_linear(made: Traced) -> bool:
    """Whether no function but relu is applied to what depends on the state before."""
    nodes = walk(*made.after.values())
    return not any(node.op in FUNCTIONS and node.op != "relu" and depends(node, "state") for node in nodes)


@pytest.mark.parametrize(
    "name", [n for n, cell in CELLS.items() if not traced(cell).stages and is_linear(traced(cell))]
)
def test_without_product_a_step_is_left_with_the_recurrence(name: str) -> None:
    """Each step computes a state, and back its gradient: no function of the inputs, no gradient of a gate."""
    made = traced(CELLS[name])
    states, functions = len(made.state), {call.function for call in forward_program(made).step}  # type: ignore[union-attr]
    assert functions <= {torch.lerp, torch.addcmul, torch.clamp_min}
    assert len(forward_program(made).step) <= 2 * states
    assert len(backward_program(made).step) <= states


class Crooked(Highway):
    """Its derivative is none."""

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        return Gradients(Parts(h=d.h, c=d.c), Parts(f=tanh(d.h), r=d.h, u=d.h), vectors=Parts(v=d.c))


class Shifted(Crooked):
    """A gradient and a number."""

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        return Gradients(Parts(h=d.h + 1, c=d.c), Parts(f=d.h, r=d.h, u=d.h), vectors=Parts(v=d.c))


@pytest.mark.parametrize(
    ("cell", "words"), [(Crooked(), "gives gradients to tanh"), (Shifted(), "a value that is none")]
)
def test_what_is_not_linear_in_the_gradients_is_refused(cell: Cell, words: str) -> None:
    with pytest.raises(ValueError, match=f"cell 'highway': step_backward .*{words}"):
        backward_program(traced(cell))


def test_far_values_stay_numbers() -> None:
    """Every function in the full range of float32: no gate of ±1000 makes what is not a number, on either way."""
    for name, cell in CELLS.items():
        made = traced(cell)
        gx = torch.tensor([1000.0, -1000.0, 0.0]).view(3, 1, 1).expand(3, B, made.G * H).clone()
        weights = Recurrent(torch.full((made.R * H, H), 0.1), torch.zeros(made.R * H), torch.ones(len(made.vectors), H))
        trace: ForwardCache = portable.forward(made, gx, weights, (torch.zeros(B, H),) * len(made.state))
        states = [s.clone() for s in trace.states]
        d: Any = portable.backward(made, trace, weights, torch.ones(3, B, H), (torch.ones(B, H),) * len(made.state))
        for tensor in (*states, d.x, *d.state, d.vectors):
            assert tensor.isfinite().all(), name
