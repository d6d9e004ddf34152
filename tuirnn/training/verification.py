"""Evidence that the hand-written passes are right: finite differences, torch.nn, and ONNX.

`tuirnn verify` prints it, the tests hold it to its bounds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from tuirnn.cells import CELLS, Cell
from tuirnn.kernels.cache import State
from tuirnn.models import SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.torch_layers import autograd_layer, torch_layer

T, B, VOCAB, EMBED, HIDDEN = 6, 3, 11, 5, 7
EPSILON = 1e-6
DIRECTIONS = 2

FINITE_DIFFERENCE_BOUND = 1e-6
TORCH_BOUND = 1e-10


@dataclass(frozen=True)
class Case:
    """One combination to prove."""

    cell: str
    layers: int
    carried: bool
    masked: bool

    @property
    def label(self) -> str:
        """Such as 'gru-before, 3 layers, carried, dropout'."""
        words = [self.cell, f"{self.layers} layer{'s' if self.layers > 1 else ''}"]
        return ", ".join(words + ["carried"] * self.carried + ["dropout"] * self.masked)

    @property
    def config(self) -> ModelConfig:
        """The network of this case, small."""
        sizes = ModelConfig(hidden=HIDDEN, layers=self.layers, embed=EMBED, dropout=0.0)
        return sizes.of_cell(CELLS[self.cell])


def cases(cells: Iterable[str] = CELLS) -> Iterator[Case]:
    """Every combination of cell, depth, starting state and dropout."""
    for cell, layers, carried, masked in product(cells, (1, 3), (False, True), (False, True)):
        yield Case(cell, layers, carried, masked)


@dataclass
class Trial:
    """A model in float64 with inputs, a starting state, dropout masks and a scalar function of all outputs."""

    model: SequenceModel
    tokens: Tensor
    state: list[State]
    masks: list[Tensor] | None
    weights: list[Tensor]

    def scalar(self, logits: Tensor, state: Sequence[State]) -> Tensor:
        """A weighted sum of logits and final states, so that every output has a gradient of its own."""
        outputs = [logits, *(tensor for layer in state for tensor in layer)]
        return torch.stack([(w * y).sum() for w, y in zip(self.weights, outputs, strict=True)]).sum()

    def ours(self) -> tuple[Tensor, list[State]]:
        """The hand-written model's outputs."""
        return self.model(self.tokens, self.state, masks=self.masks)  # type: ignore[no-any-return]

    def leaves(self) -> list[Tensor]:
        """Everything that gets a gradient."""
        return [*self.model.parameters(), *(tensor for layer in self.state for tensor in layer)]


def trial(case: Case, *, device: str = "cpu", seed: int = 0) -> Trial:
    """Random weights, tokens, state and masks for a case."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    model = SequenceModel(case.config, VOCAB, compute_dtype=torch.float64).to(device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * normal(*parameter.shape))
    state = model.zero_state(B)
    if case.carried:  # near a state that the cell reaches, where no unit is exactly 0
        with torch.no_grad():
            _, state = model(torch.randint(VOCAB, (2, B), generator=generator).to(device), state)
        state = [tuple(tensor + 0.3 * normal(B, HIDDEN).abs() for tensor in layer) for layer in state]
    state = [tuple(tensor.requires_grad_() for tensor in layer) for layer in state]
    masks = [(normal(T, B, HIDDEN) > 0).double() * 2 for _ in range(case.layers)] if case.masked else None
    tokens = torch.randint(VOCAB, (T, B), generator=generator).to(device)
    outputs = [(T, B, VOCAB), *((B, HIDDEN) for layer in state for _ in layer)]
    return Trial(model, tokens, state, masks, [normal(*shape) for shape in outputs])


def finite_difference_error(subject: Trial) -> float:
    """Largest relative error of the gradient along random directions, one set for every leaf tensor."""
    leaves = subject.leaves()
    gradients = torch.autograd.grad(subject.scalar(*subject.ours()), leaves)
    generator = torch.Generator().manual_seed(1)
    worst = 0.0
    with torch.no_grad():
        for leaf, gradient in zip(leaves, gradients, strict=True):
            for _ in range(DIRECTIONS):
                direction = torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf.device)
                values = []
                for sign in (EPSILON, -2 * EPSILON):
                    leaf.add_(direction, alpha=sign)
                    values.append(float(subject.scalar(*subject.ours())))
                leaf.add_(direction, alpha=EPSILON)
                numeric = (values[0] - values[1]) / (2 * EPSILON)
                exact = float((gradient * direction).sum())
                worst = max(worst, abs(numeric - exact) / max(abs(numeric), abs(exact), 1e-2))
    return worst


def torch_difference(case: Case, subject: Trial) -> float:
    """Largest |difference| from torch.nn, or from the definition under autograd for a cell that torch.nn lacks.

    Compared are the logits, the final states, and the gradient of every parameter and starting state.
    """
    leaves = subject.leaves()
    ours = subject.ours()
    theirs = _reference(case, subject)
    pairs = list(zip(_flat(*ours), _flat(*theirs), strict=True))
    sides: list[list[Tensor]] = []
    for found in (ours, theirs):
        gradients = torch.autograd.grad(
            subject.scalar(*found), leaves, allow_unused=True
        )  # of a state that no step reads
        sides.append([torch.zeros_like(leaf) if g is None else g for g, leaf in zip(gradients, leaves, strict=True)])
    pairs += zip(*sides, strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def _flat(logits: Tensor, state: Sequence[State]) -> list[Tensor]:
    return [logits, *(tensor for layer in state for tensor in layer)]


def _reference(case: Case, subject: Trial) -> tuple[Tensor, list[State]]:
    """The same network differentiated by autograd, on the same leaf tensors: on PyTorch's layers where it has them."""
    model, cell = subject.model, CELLS[case.cell]
    assert model.embedding is not None
    x = nn.functional.embedding(subject.tokens, model.embedding.weight)
    after: list[State] = []
    run = _torch_layer if cell.in_torch else autograd_layer
    for i in range(case.layers):
        layer = model.recurrent(i)
        weights = [layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh, layer.vectors]
        x, last = run(cell, x, subject.state[i], weights)
        after.append(last)
        if subject.masks is not None:
            x = x * subject.masks[i]
    return nn.functional.linear(x, model.head.weight, model.head.bias), after


def _torch_layer(cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    module = torch_layer(cell, x.shape[-1], HIDDEN)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    first = tuple(tensor[None] for tensor in state)
    y, last = torch.func.functional_call(
        module.to(x), dict(zip(names, weights, strict=False)), (x, first if len(first) > 1 else first[0])
    )
    return y, tuple(tensor[0] for tensor in (last if isinstance(last, tuple) else (last,)))
