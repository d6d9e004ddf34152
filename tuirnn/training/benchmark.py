"""Ours against torch.nn, in interleaved rounds on the same weights, threads and machine."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn.config import ModelConfig
from tuirnn.models import RecurrentLayer, SequenceModel

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
TORCH_LAYERS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

Step = Callable[[], None]


@dataclass(frozen=True)
class Comparison:
    """One line of the table; times are medians over the rounds, in seconds.

    Attributes:
        what: 'layer', or 'model' (embedding, one layer, head, loss).
        ratio: theirs / ours; above 1 ours is faster.
        low: the smallest ratio of a single round.
        high: the largest.
        share: of the matrix-product rate measured in the same run, by the layer's nominal FLOPs.
    """

    what: str
    cell: str
    shape: str
    batch: int
    length: int
    hidden: int
    embed: int
    backward: bool
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def matrix_rate(rounds: int = 9) -> float:
    """FLOP/s of a large float32 `torch.mm` with the present threads: what the machine's library gives."""
    A, B = torch.randn(1024, 1024), torch.randn(1024, 1024)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        torch.mm(A, B)
        times.append(time.perf_counter() - began)
    return float(2 * 1024**3 / statistics.median(times))


def compare(
    cells: list[str], shapes: list[str], *, rounds: int = 9, what: str = "layer", embed: int = 0,
    device: str = "cpu",
) -> Iterator[Comparison]:  # fmt: skip
    """Time each cell at each shape, forward alone and forward with backward.

    Args:
        cells: of 'rnn', 'lstm', 'gru'.
        shapes: keys of `SHAPES`.
        rounds: each times ours and theirs once, in turn; the first is a warm-up beside them.
        what: 'layer' on vectors of width H, or 'model' on tokens with a loss.
        embed: the model's embedding width; 0: as the hidden width.
        device: 'cpu' or 'cuda'.
    """
    rate = matrix_rate()
    for shape in shapes:
        B, T, H = SHAPES[shape]
        for cell in cells:
            width = H if what == "layer" else embed or H
            steps = _layers(cell, B, T, H, device) if what == "layer" else _models(cell, B, T, H, width, device)
            for backward in (False, True):
                ours, theirs = _interleave(steps[backward], rounds, device)
                ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
                flops = (6 if backward else 2) * {"rnn": 1, "gru": 3, "lstm": 4}[cell] * H * (width + H) * B * T
                mine, other = statistics.median(ours), statistics.median(theirs)
                yield Comparison(
                    what, cell, shape, B, T, H, width, backward, mine, other, other / mine, min(ratios), max(ratios),
                    flops / mine / rate,
                )  # fmt: skip


def _interleave(pair: tuple[Step, Step], rounds: int, device: str) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 1):
        for step, kept in zip(pair, times, strict=True):
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if round_:
                kept.append(time.perf_counter() - began)
    return times


def _layers(cell: str, B: int, T: int, H: int, device: str) -> tuple[tuple[Step, Step], tuple[Step, Step]]:
    """(forward of ours and theirs, forward and backward of ours and theirs)."""
    theirs = TORCH_LAYERS[cell](H, H).to(device)
    ours = RecurrentLayer(ModelConfig(cell=cell, hidden=H), H).to(device)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(getattr(theirs, f"{name}_l0"))
    x = torch.randn(T, B, H, device=device, requires_grad=True)
    gradient = torch.randn(T, B, H, device=device)
    state = ours.zero_state(B)

    def run(layer: Callable[[], Tensor], backward: bool) -> Step:
        def step() -> None:
            with torch.set_grad_enabled(backward):
                y = layer()
            if backward:
                y.backward(gradient)  # type: ignore[no-untyped-call]

        return step

    def mine() -> Tensor:
        return ours(x, state)[0]  # type: ignore[no-any-return]

    def other() -> Tensor:
        return theirs(x)[0]  # type: ignore[no-any-return]

    return (run(mine, False), run(other, False)), (run(mine, True), run(other, True))


class TorchModel(nn.Module):
    """The same character model on PyTorch's own layers: what a plain script would have."""

    def __init__(self, cell: str, embed: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, embed)
        self.recurrent = TORCH_LAYERS[cell](embed, hidden)
        self.head = nn.Linear(hidden, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [T, B, V] of tokens [T, B] from a zero state."""
        return self.head(self.recurrent(self.embedding(tokens))[0])  # type: ignore[no-any-return]


def _models(cell: str, B: int, T: int, H: int, E: int, device: str) -> tuple[tuple[Step, Step], tuple[Step, Step]]:
    theirs = TorchModel(cell, E, H).to(device)
    ours = SequenceModel(ModelConfig(cell=cell, hidden=H, embed=E, dropout=0.0), VOCAB).to(device)
    tokens, targets = torch.randint(VOCAB, (2, T, B), device=device)

    def run(model: nn.Module, logits: Callable[[], Tensor], backward: bool) -> Step:
        def step() -> None:
            with torch.set_grad_enabled(backward):
                loss = cross_entropy(logits().flatten(0, 1), targets.flatten())
            if backward:
                model.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]

        return step

    def mine() -> Tensor:
        return ours(tokens, ours.zero_state(B))[0]  # type: ignore[no-any-return]

    def other() -> Tensor:
        return theirs(tokens)  # type: ignore[no-any-return]

    pairs = [(run(ours, mine, backward), run(theirs, other, backward)) for backward in (False, True)]
    return pairs[0], pairs[1]
