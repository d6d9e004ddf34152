"""Ours against PyTorch, and both against the machine: interleaved rounds on the same weights, batch and threads.

PyTorch's side is its own layer; of a cell that torch.nn lacks it is the definition in a Python loop under autograd.

In a round every contender has one turn, so that a slow moment of the machine falls on all of them; a round that
something else has disturbed is made again. Among the contenders is the machine itself: one large square product, and
the layer's own products with nothing between them.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.errors import VerificationError
from tuirnn.kernels.products import times_transposed
from tuirnn.models import COMPUTE_DTYPES, RecurrentLayer, SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.devices import keep_freed_memory
from tuirnn.training.peak import peak_of
from tuirnn.training.rounds import Clock, Probe, interleaved
from tuirnn.training.torch_layers import peer_kind, peer_layer

SHAPES = {
    "A": (32, 64, 256),
    "B": (32, 64, 512),
    "C": (64, 128, 256),
    "D": (128, 128, 512),
    "E": (64, 100, 128),
    "F": (1, 100, 512),
}
"""(batch, length, hidden)."""

VOCAB = 65
SQUARE = 1024
"""Side of the large product that stands for the machine's rate."""

WARM = 2
"""Steps of a turn before the one that is timed: whoever's turn it was has filled the caches with its own, and the
threads of a contender in another process have gone to sleep."""

AGREEMENT = 0.1
"""Largest difference of outputs, which are of the size of 1, before a timing would compare different things; bfloat16
has eight bits. How well they really agree, `tuirnn verify` and the tests say."""

Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """One thing to compute.

    Attributes:
        what: 'layer', on vectors as wide as it is, or 'model': embedding, one layer, head of 65, loss.
        embed: width of the layer's input.
        backward: forward and backward, else forward alone.
        dtype: of the products' operands.
    """

    what: str
    cell: str
    batch: int
    length: int
    hidden: int
    embed: int
    backward: bool
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def rows(self) -> int:
        """Of weight_ih."""
        return traced(CELLS[self.cell]).G * self.hidden

    @property
    def recurrent_rows(self) -> int:
        """Of weight_hh."""
        return traced(CELLS[self.cell]).R * self.hidden

    @property
    def flops(self) -> int:
        """Nominal floating-point operations: 2H(GI + RH) a token forward (the head's 2HV too), thrice with backward.

        G gates, R of them with a recurrent product. Nominal, as a model of ours looks its input half up and does not
        compute it, and as what is elementwise does not count.
        """
        a_token = 2 * (self.rows * self.embed + self.recurrent_rows * self.hidden)
        if self.what == "model":
            a_token += 2 * self.hidden * VOCAB
        return (3 if self.backward else 1) * a_token * self.batch * self.length


@dataclass(frozen=True)
class Comparison:
    """One line of the table; times are medians over the rounds, in seconds.

    Attributes:
        kernels: which of ours: 'native', 'portable', 'cuda'.
        against: the type that PyTorch's side computed in.
        peer: what that was: 'torch.nn', or 'autograd' for a cell that torch.nn lacks.
        ratio: theirs / ours; above 1 ours is faster.
        low: the smallest ratio of a single round.
        high: the largest.
        disturbed: how many of the rounds were made while something else slowed the machine down.
        flops: nominal, see `Case`.
        matrix_flops: a second, of a large square `torch.mm` of our type in the same rounds.
        best_flops: the same with one factor packed by oneDNN, where that is faster: what the machine can do.
        share: of `matrix_flops`, which ours reaches by its nominal operations.
        floor: seconds of the recurrent products alone, one after the other, by the faster of the two.
        products: seconds of all of the layer's own products by `torch.mm`, and nothing else.
        peak: bytes that ours takes beyond weights and batch, forward and backward; None: not measured.
        peak_theirs: the same of PyTorch's side.
    """

    what: str
    cell: str
    shape: str
    batch: int
    length: int
    hidden: int
    embed: int
    backward: bool
    dtype: str
    against: str
    peer: str
    kernels: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    disturbed: int
    flops: int
    matrix_flops: float
    best_flops: float
    share: float
    floor: float
    products: float
    peak: int | None
    peak_theirs: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(
    cells: Sequence[str], shapes: dict[str, tuple[int, int, int]], *, rounds: int = 9, what: str = "layer",
    embed: int = 0, device: str = "cpu", dtype: str = "float32", against: str = "float32",
    kernels: Sequence[str] = ("native",), memory: bool = False,
) -> Iterator[list[Comparison]]:  # fmt: skip
    """Time each cell at each shape, forward alone and forward with backward.

    Args:
        cells: names.
        shapes: (batch, length, hidden) by name.
        rounds: that count; each gives every contender one turn.
        what: 'layer' on vectors of width H, or 'model' on tokens with a loss.
        embed: the model's embedding width; 0: as the hidden width.
        device: 'cpu' or 'cuda'.
        dtype: of our products' operands.
        against: what PyTorch's side computes in.
        kernels: 'native', what this machine has; 'portable', as if it had no compiler; or both.
        memory: measure peaks too, each in a process of its own.
    Yields:
        For each cell at each shape its lines: forward of every kind of kernels, then forward and backward.
    Raises:
        VerificationError: the two sides do not give the same.
    """
    keep_freed_memory()
    probe = Probe()
    with ExitStack() as open_until_done:
        places = {kind: open_until_done.enter_context(place_of(kind)) for kind in kernels}
        for shape, (B, T, H) in shapes.items():
            for cell in cells:
                width = embed or H if what == "model" else H
                case = Case(what, cell, B, T, H, width, False, dtype, device)
                for place in places.values():
                    call(place, check, case, against)
                both = (case, replace(case, backward=True))
                yield [line for each in both for line in _lines(each, against, shape, places, rounds, probe, memory)]


def _lines(
    case: Case, against: str, shape: str, places: dict[str, Executor | None], rounds: int, probe: Probe,
    memory: bool,
) -> Iterator[Comparison]:  # fmt: skip
    peer = replace(case, dtype=against)
    clocks: dict[str, Clock] = {"torch": partial(seconds, torch_step, peer)}
    clocks |= {kind: partial(call, place, seconds, our_step, case) for kind, place in places.items()}
    clocks |= {name: partial(seconds, build, case) for name, build in MACHINE.items()}
    times, disturbed = interleaved(clocks, rounds, probe)
    medians = {name: statistics.median(found) for name, found in times.items()}
    floor, products = min(medians["chain"], medians["packed chain"]), medians["chain"] + medians["hoisted"]
    rate, packed_rate = (2 * SQUARE**3 / medians[name] for name in ("square", "packed square"))
    peaked = memory and case.backward
    peak_theirs = peak_of(torch_step, peer, device=case.device) if peaked else None
    for kind in places:
        ratios = [b / a for a, b in zip(times[kind], times["torch"], strict=True)]
        with _kernels(kind):
            peak = peak_of(our_step, case, device=case.device) if peaked else None
        yield Comparison(
            case.what, case.cell, shape, case.batch, case.length, case.hidden, case.embed, case.backward, case.dtype,
            against, peer_kind(CELLS[case.cell]), kind, medians[kind], medians["torch"],
            medians["torch"] / medians[kind], min(ratios), max(ratios), disturbed, case.flops, rate,
            max(rate, packed_rate), case.flops / medians[kind] / rate, floor, products, peak, peak_theirs,
        )  # fmt: skip


def seconds(build: Callable[[Case], Step], case: Case) -> float:
    """How long a step takes that follows others, as in training; it is built when it is first asked for."""
    step = _built(build, case)
    for _ in range(WARM):
        step()
    _wait(case.device)
    began = time.perf_counter()
    step()
    _wait(case.device)
    return time.perf_counter() - began


@lru_cache(maxsize=7)  # the contenders of one comparison
def _built(build: Callable[[Case], Step], case: Case) -> Step:
    return build(case)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# ── where the contenders run ──────────────────────────────────────────────────


@contextmanager
def _kernels(kind: str) -> Iterator[None]:
    """A process that is started inside has these kernels."""
    before = os.environ.get("TUIRNN_KERNELS")
    if kind == "portable":
        os.environ["TUIRNN_KERNELS"] = "portable"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TUIRNN_KERNELS", None)
        else:
            os.environ["TUIRNN_KERNELS"] = before


@contextmanager
def place_of(kind: str) -> Iterator[Executor | None]:
    """A process with these kernels; None where that is this one."""
    if kind != "portable":
        yield None
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with _kernels(kind):
            pool.submit(_prepare, torch.get_num_threads()).result()
        yield pool


def _prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def call(place: Executor | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work there."""
    return work(*arguments) if place is None else place.submit(work, *arguments).result()


# ── the contenders ────────────────────────────────────────────────────────────


class TorchModel(nn.Module):
    """The same character model on PyTorch's side, see `peer_layer`: what a plain script would have."""

    def __init__(self, cell: str, embed: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, embed)
        self.recurrent = peer_layer(CELLS[cell], embed, hidden)
        self.head = nn.Linear(hidden, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [T, B, V] of tokens [T, B] from a zero state."""
        return self.head(self.recurrent(self.embedding(tokens))[0])  # type: ignore[no-any-return]


def torch_step(case: Case) -> Step:
    """What PyTorch's side does; weights and batch are the same whenever this or `our_step` is called."""
    return _step(case, _theirs(case))


def our_step(case: Case) -> Step:
    """What the hand-written cells do, with the other side's weights."""
    return _step(case, _ours(case))


def check(case: Case, against: str) -> None:
    """Compare the outputs of both.

    Raises:
        VerificationError: they are not the same, so their times mean nothing.
    """
    with torch.no_grad():
        ours, theirs = (side.outputs().float() for side in (_ours(case), _theirs(replace(case, dtype=against))))
    if (apart := float((ours - theirs).abs().max())) > AGREEMENT:
        raise VerificationError(
            f"{case} differs by {apart:.2g} from {peer_kind(CELLS[case.cell])} in {against}; please report it"
        )


@dataclass(frozen=True)
class _Side:
    """A module on its batch: x, what it makes of it, and the targets, or the gradient of a layer's outputs."""

    module: nn.Module
    x: Tensor
    outputs: Callable[[], Tensor]
    judge: Tensor


def _theirs(case: Case) -> _Side:
    dtype, source, judge = COMPUTE_DTYPES[case.dtype], *_batch(case)
    torch.manual_seed(0)
    if case.what == "model":
        model = TorchModel(case.cell, case.embed, case.hidden).to(case.device, dtype)
        return _Side(model, source, lambda: model(source), judge)
    layer = peer_layer(CELLS[case.cell], case.embed, case.hidden).to(case.device, dtype)
    x = source.detach().to(dtype).requires_grad_()
    return _Side(layer, x, lambda: layer(x)[0], judge.to(dtype))


def _ours(case: Case) -> _Side:
    dtype, source, judge = COMPUTE_DTYPES[case.dtype], *_batch(case)
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    theirs = _theirs(replace(case, dtype=str(kept).removeprefix("torch."))).module
    config = ModelConfig(cell=case.cell, hidden=case.hidden, embed=case.embed, dropout=0.0)
    if case.what == "model":
        model = SequenceModel(config, VOCAB, compute_dtype=dtype).to(case.device)
        _copy(theirs, model, "recurrent.{}_l0", "layers.0.{}")
        return _Side(model, source, lambda: model(source, model.zero_state(case.batch))[0], judge)
    layer = RecurrentLayer(config, case.embed).to(case.device, kept)
    _copy(theirs, layer, "{}_l0", "{}")
    x, state = source.to(kept).requires_grad_(), layer.zero_state(case.batch)
    return _Side(layer, x, lambda: layer(x, state, dtype=dtype)[0], judge.to(kept))


def _copy(source: nn.Module, to: nn.Module, theirs: str, ours: str) -> None:
    """Copy parameters; those of the layer have other names in the two."""
    found = source.state_dict()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors"):
        if (known := theirs.format(name)) in found:
            found[ours.format(name)] = found.pop(known)
    to.load_state_dict(found)


def _batch(case: Case) -> tuple[Tensor, Tensor]:
    """(x [T, B, I], gradient of the outputs [T, B, H]) of a layer; (tokens, targets), both [T, B], of a model."""
    generator = torch.Generator().manual_seed(1)
    T, B = case.length, case.batch
    if case.what == "model":
        tokens, targets = torch.randint(VOCAB, (2, T, B), generator=generator).to(case.device)
        return tokens, targets
    widths = (case.embed, case.hidden)
    x, gradient = (torch.randn(T, B, width, generator=generator).to(case.device) for width in widths)
    return x, gradient


def _step(case: Case, side: _Side) -> Step:
    def step() -> None:
        with torch.set_grad_enabled(case.backward):
            found = side.outputs()
            if case.what == "model":
                found = cross_entropy(found.flatten(0, 1).float(), side.judge.flatten())
        if case.backward:
            found.backward(None if case.what == "model" else side.judge)  # type: ignore[no-untyped-call]
            side.module.zero_grad(set_to_none=True)
            side.x.grad = None

    return step


# ── the machine ───────────────────────────────────────────────────────────────


def square(case: Case) -> Step:
    """A large square product: what the machine's library gives."""
    return _products(case, [(SQUARE, SQUARE, SQUARE)])


def packed_square(case: Case) -> Step:
    """The same with a factor prepared once, where that is to be had."""
    A, times = _matrix(case, SQUARE, SQUARE), times_transposed(_matrix(case, SQUARE, SQUARE), SQUARE)

    def step() -> None:
        times(A, None)

    return step


def chain(case: Case) -> Step:
    """The recurrent products one after the other, and with backward those that lead back: the least a loop can take."""
    B, T, H, rows = case.batch, case.length, case.hidden, case.recurrent_rows
    back = [(B, rows, H)] * T if case.backward else []
    return _products(case, [(B, H, rows)] * T + back)


def packed_chain(case: Case) -> Step:
    """The same with the weights prepared once."""
    B, T, H, rows = case.batch, case.length, case.hidden, case.recurrent_rows
    if not rows:
        return lambda: None
    h, W, d = _matrix(case, B, H), _matrix(case, rows, H), _matrix(case, B, rows)
    there, back = times_transposed(W, B), times_transposed(W.t(), B)

    def step() -> None:
        for _ in range(T):
            there(h, None)
        for _ in range(T if case.backward else 0):
            back(d, None)

    return step


def hoisted(case: Case) -> Step:
    """The products over all steps at once: the input half, with backward the gradients, of a model the head's too."""
    n, I, H, rows = case.batch * case.length, case.embed, case.hidden, case.rows
    inputs = VOCAB if case.what == "model" else n  # rows of a table, or of x
    forward, backward = [(inputs, I, rows)], [(case.recurrent_rows, n, H), (rows, inputs, I), (inputs, rows, I)]
    if case.what == "model":
        forward, backward = [*forward, (n, H, VOCAB)], [*backward, (n, VOCAB, H), (VOCAB, n, H)]
    return _products(case, forward + (backward if case.backward else []))


MACHINE: dict[str, Callable[[Case], Step]] = {
    "square": square, "packed square": packed_square, "chain": chain, "packed chain": packed_chain, "hoisted": hoisted,
}  # fmt: skip


def _products(case: Case, sizes: Sequence[tuple[int, int, int]]) -> Step:
    """`torch.mm` of [M, K] and [K, N] for each size that is not empty; equal sizes share their matrices."""
    sizes = [size for size in sizes if all(size)]
    matrices = {(M, K, N): [_matrix(case, *size) for size in ((M, K), (K, N), (M, N))] for M, K, N in set(sizes)}

    def step() -> None:
        for size in sizes:
            A, B, C = matrices[size]
            torch.mm(A, B, out=C)

    return step


def _matrix(case: Case, rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, device=case.device).to(COMPUTE_DTYPES[case.dtype])
