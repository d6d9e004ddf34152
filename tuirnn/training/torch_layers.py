"""The cells that `torch.nn` has as well: what ours are held to and timed against."""

from typing import Any

from torch import nn

from tuirnn.cells import CELLS, Cell

TORCH_LAYERS: dict[str, type[Any]] = {
    name: getattr(nn, cell.in_torch[0]) for name, cell in CELLS.items() if cell.in_torch and name == cell.family
}
"""family -> its class of torch.nn: nn.RNN, nn.LSTM, nn.GRU."""


def torch_layer(cell: Cell, width: int, hidden: int) -> Any:
    """A layer of torch.nn that computes the same as a cell.

    Raises:
        ValueError: there is none.
    """
    if cell.in_torch is None:
        raise ValueError(f"torch.nn has no {cell.name}")
    name, options = cell.in_torch
    return getattr(nn, name)(width, hidden, **options)
