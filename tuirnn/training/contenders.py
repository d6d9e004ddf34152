"""What `benchmark` times: a step of ours, of PyTorch's, and the machine's own products, on the same weights and batch.

PyTorch's side is its own layer; of a cell that torch.nn lacks it is the definition in a Python loop under autograd.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.errors import VerificationError
from tuirnn.kernels.products import times_transposed
from tuirnn.models import COMPUTE_DTYPES, RecurrentLayer, SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.torch_layers import peer_kind, peer_layer

VOCAB = 65

SQUARE = 1024
"""Side of the large product that stands for the machine's rate."""

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
    """A step of PyTorch's side; weights and batch are the same at each call of this or `our_step`."""
    return _step(case, _theirs(case))


def our_step(case: Case) -> Step:
    """A step of the hand-written cells, with the weights of PyTorch's side."""
    return _step(case, _ours(case))


def check(case: Case, against: str) -> None:
    """Compare the outputs of both sides.

    Args:
        case: what to compute.
        against: the type that PyTorch's side computes in.
    Raises:
        VerificationError: they differ by more than `AGREEMENT`, so a comparison of their times has no meaning.
    """
    with torch.no_grad():
        ours, theirs = (side.outputs().float() for side in (_ours(case), _theirs(replace(case, dtype=against))))
    if (apart := float((ours - theirs).abs().max())) > AGREEMENT:
        raise VerificationError(
            f"{case} differs by {apart:.2g} from {peer_kind(CELLS[case.cell])} in {against}; please report it"
        )


@dataclass(frozen=True)
class _Side:
    """A module and its batch: input, function that computes the outputs, and targets or the gradient of the outputs."""

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


# ── the machine ──────────────────────────────────────────────────────────────────


def square(case: Case) -> Step:
    """A large square product: what the machine's library gives."""
    return _products(case, [(SQUARE, SQUARE, SQUARE)])


def packed_square(case: Case) -> Step:
    """The same with one factor packed once, where oneDNN can pack it."""
    A, times = _matrix(case, SQUARE, SQUARE), times_transposed(_matrix(case, SQUARE, SQUARE), SQUARE)

    def step() -> None:
        times(A, None)

    return step


def chain(case: Case) -> Step:
    """The recurrent products in sequence, with backward the transposed ones: the least that a time loop can take."""
    B, T, H, rows = case.batch, case.length, case.hidden, case.recurrent_rows
    back = [(B, rows, H)] * T if case.backward else []
    return _products(case, [(B, H, rows)] * T + back)


def packed_chain(case: Case) -> Step:
    """The same with the weights packed once."""
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
