"""The hidden states of a cell over a passage, through ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuirnn import variants
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import DataError
from tuirnn.runs.layout import find_run
from tuirnn.runs.reader import LogTail, as_number
from tuirnn.runtime.data import held_out
from tuirnn.runtime.session import CellSession
from tuirnn.vocab import UNKNOWN, Ids, Vocabulary

PASSAGE = 4_000
"""Tokens of held-out text that are looked at."""


@dataclass(frozen=True)
class Inside:
    """What went on in a cell as it read a passage.

    Attributes:
        described: cell, hidden units and layers.
        symbols: the passage, token by token, as text.
        states: the hidden state after each token, float32 [T, layers, hidden].
    """

    described: str
    symbols: tuple[str, ...]
    states: npt.NDArray[np.float32]


def look_inside(cell: TrustedCell, name: str, folder: Path) -> Inside:
    """Let a cell read a passage of its held-out text, or what its run last got wrong where that is gone.

    Args:
        cell: of the run or cell file.
        name: a run of `folder`, or a path ending in .onnx.
        folder: of runs.
    Raises:
        TuirnnError: no such run, no text, a network that reads none.
    """
    task = cell.metadata.learned
    if task.labelled:
        raise DataError(f"it has learned from {task.source}: there is no one text to follow a unit through")
    if task.points:
        raise DataError("it reads numbers: there are no symbols to look at")
    session = CellSession(cell)
    vocab = cell.metadata.vocab
    try:
        ids = held_out(name, folder, cell.metadata)[:PASSAGE].astype(np.int64)
    except DataError:
        ids = _last_mistakes(name, folder, vocab)
    if len(ids) < 2:
        raise DataError("there is no text to look at; the run's data is gone, and it has not been evaluated yet")
    meta = cell.metadata
    states = np.empty((len(ids), meta.layers, meta.hidden), np.float32)
    for t, token in enumerate(ids.tolist()):
        session.step(token)
        states[t] = session.snapshot()[0][:, 0]
    cell_name = variants.cell_of(meta.cell, meta.variant).name.upper()
    described = f"{cell_name} {meta.hidden}" + (f"×{meta.layers}" if meta.layers > 1 else "")
    symbols = tuple(vocab.symbol(int(i)).replace(UNKNOWN, "·") if vocab.of_bytes else vocab.symbol(int(i)) for i in ids)
    return Inside(described, symbols, states)


def _last_mistakes(name: str, folder: Path, vocab: Vocabulary) -> Ids:
    """The held-out text that the newest evaluation of a run has left in its samples."""
    if name.endswith(".onnx"):
        raise DataError("this cell file does not name the text it was trained on; look inside its run instead")
    index = {symbol: i for i, symbol in enumerate(vocab.symbols)}
    newest: list[int] = []
    for record in LogTail(find_run(folder, name).samples).records():
        symbols = record.get("symbols")
        if isinstance(symbols, list) and np.isfinite(as_number(record.get("step"))):
            newest = [index[symbol] for symbol in symbols if isinstance(symbol, str) and symbol in index]
    return np.array(newest, np.int64)
