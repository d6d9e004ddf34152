"""What ours are held to and timed against: PyTorch's own layers, or the definition left to PyTorch's autograd."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tuirnn.cells import CELLS, Cell, Parts
from tuirnn.codegen.trace import traced
from tuirnn.kernels.cache import State
from tuirnn.models import RecurrentLayer
from tuirnn.settings.model import ModelConfig

TORCH_LAYERS: dict[str, type[Any]] = {
    name: getattr(nn, cell.in_torch[0]) for name, cell in CELLS.items() if cell.in_torch and name == cell.family
}
"""family -> its class of torch.nn: nn.RNN, nn.LSTM, nn.GRU."""

TORCH, AUTOGRAD = "torch.nn", "autograd"
"""Kinds of peers."""


def peer_kind(cell: Cell) -> str:
    """What computes the same as a cell: `TORCH`, or `AUTOGRAD` where torch.nn has no such layer."""
    return TORCH if cell.in_torch else AUTOGRAD


def peer_layer(cell: Cell, width: int, hidden: int, layers: int = 1) -> nn.Module:
    """A stack of layers that computes the same as a cell: one of torch.nn, else an `AutogradStack`."""
    if cell.in_torch is None:
        return AutogradStack(cell, width, hidden, layers)
    return torch_layer(cell, width, hidden, layers)


def torch_layer(cell: Cell, width: int, hidden: int, layers: int = 1) -> nn.Module:
    """Layers of torch.nn that compute the same as a cell.

    Raises:
        ValueError: there are none.
    """
    if cell.in_torch is None:
        raise ValueError(f"torch.nn has no {cell.name}")
    name, options = cell.in_torch
    module: nn.Module = getattr(nn, name)(width, hidden, layers, **options)
    return module


class AutogradStack(nn.Module):
    """Layers of a cell as a plain script writes them: the definition's step in a Python loop, and autograd.

    It is called like torch.nn's layers and names its parameters as they do; vectors are `vectors_l0` and so on.

    Args:
        cell: the definition.
        width: of x.
        hidden: of every layer.
        layers: how many.
    """

    def __init__(self, cell: Cell, width: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.cell, self.hidden, self.layers = cell, hidden, layers
        for i in range(layers):
            layer = RecurrentLayer(ModelConfig(hidden=hidden).of_cell(cell), hidden if i else width)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors"):
                value = getattr(layer, name)
                if isinstance(value, nn.Parameter):
                    self.register_parameter(f"{name}_l{i}", value)
                else:
                    self.register_buffer(f"{name}_l{i}", value, persistent=False)

    def forward(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """h of every step [T, B, H] of x [T, B, I], and the last state, each part [layers, B, H]; None: from zeros."""
        if state is None:
            state = tuple(x.new_zeros(self.layers, x.shape[1], self.hidden) for _ in self.cell.state)
        after = []
        for i in range(self.layers):
            weights = [
                getattr(self, f"{name}_l{i}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors")
            ]
            x, last = autograd_layer(self.cell, x, tuple(part[i] for part in state), weights)
            after.append(last)
        return x, tuple(torch.stack(parts) for parts in zip(*after, strict=True))


def autograd_layer(cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    """The definition's forward step over a sequence [T, B, I]; whoever asks for gradients gets autograd's.

    Args:
        cell: the definition.
        x: [T, B, I].
        state: each [B, H].
        weights: weight_ih [G·H, I], weight_hh [R·H, H], bias_ih [G·H], bias_hh [R·H], vectors [P, H].
    """
    weight_ih, weight_hh, bias_ih, bias_hh, vectors = weights

    def named(names: Sequence[str], columns: Tensor, dim: int = -1) -> Parts[Tensor]:
        return Parts(zip(names, columns.chunk(max(1, len(names)), dim), strict=False))

    rows, p = traced(cell).recurrent, Parts(zip(cell.vectors, vectors, strict=True))

    def W(operand: Tensor, gates: str) -> Parts[Tensor]:
        """One product for neighbouring gates."""
        chosen = gates.split()
        first, H = rows.index(chosen[0]), operand.shape[-1]
        part = slice(first * H, (first + len(chosen)) * H)
        return named(chosen, nn.functional.linear(operand, weight_hh[part], bias_hh[part]))

    gx = nn.functional.linear(x, weight_ih, bias_ih)
    s, outputs = Parts(zip(cell.state, state, strict=True)), []
    for gx_t in gx:
        s, _ = cell.step(named(cell.gates, gx_t), s, W, p)
        outputs.append(s[cell.state[0]])
    return torch.stack(outputs), tuple(s[name] for name in cell.state)
