"""The recurrent cells: gate equations, forward and backward side by side, one file each.

A new cell is one file here and one line in `CELLS`.
"""

from tuirnn.cells.base import Cell, State, Step
from tuirnn.cells.gru import GRUAfter, GRUBefore
from tuirnn.cells.lstm import LSTM
from tuirnn.cells.rnn import RNNRelu, RNNTanh

CELLS: dict[tuple[str, str], type[Cell]] = {
    ("rnn", "tanh"): RNNTanh,
    ("rnn", "relu"): RNNRelu,
    ("lstm", ""): LSTM,
    ("gru", "after"): GRUAfter,
    ("gru", "before"): GRUBefore,
}
"""(cell, its variant) -> the mathematics."""


def make_cell(cell: str, *, nonlinearity: str = "tanh", reset: str = "after") -> Cell:
    """The cell that a configuration names: 'rnn' has nonlinearities, 'gru' reset forms, 'lstm' one form."""
    variant = {"rnn": nonlinearity, "gru": reset}.get(cell, "")
    return CELLS[cell, variant]()


__all__ = ["CELLS", "Cell", "State", "Step", "make_cell"]
