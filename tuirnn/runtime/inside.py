"""The hidden states of a cell over held-out data, through ONNX Runtime: a text, labelled sequences, a series."""

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import DataError
from tuirnn.runs.layout import find_run
from tuirnn.runs.reader import LogTail, as_number
from tuirnn.runtime.data import held_out, measured_on
from tuirnn.runtime.opened import opened
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.probabilities import softmax
from tuirnn.vocab import UNKNOWN, Ids, Vocabulary

PASSAGE = 4_000
"""Tokens of held-out data that are looked at."""

SEQUENCES = 48
"""Held-out sequences that are looked at, at most."""

POINTS, WARM_UP, STEPS = 480, 200, 40_000
"""Points of a series that are looked at; those read before them; steps that all of this may take."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Inside:
    """What went on in a cell as it read a passage.

    Attributes:
        described: cell, hidden units and layers.
        symbols: the passage, token by token, as text; of a series the number of each point.
        states: the hidden state after each token or point, float32 [T, layers, hidden].
        starts: where each sequence of the passage begins.
        truths: the class of each sequence; '' where a class belongs to each word. Empty for other tasks.
        classes: names of the classes; empty for other tasks.
        answers: probabilities of the classes after each token [T, classes].
        columns: names of a series' columns; empty for other tasks.
        points: of the series [T, F].
    """

    described: str
    symbols: tuple[str, ...]
    states: npt.NDArray[np.float32]
    starts: tuple[int, ...] = (0,)
    truths: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    answers: Values = field(default_factory=lambda: np.zeros((0, 0)))
    columns: tuple[str, ...] = ()
    points: Values = field(default_factory=lambda: np.zeros((0, 0)))

    def sequence_at(self, t: int) -> tuple[int, int, int]:
        """Number, first token and end of the sequence that token `t` belongs to."""
        number = bisect_right(self.starts, t) - 1
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.symbols)
        return number, self.starts[number], end


def look_inside(cell: TrustedCell, name: str, folder: Path) -> Inside:
    """Let a cell read a passage of its held-out data.

    A language model whose text is gone reads what its run last got wrong.

    Args:
        cell: of the run or cell file.
        name: a run of `folder`, or a path ending in .onnx.
        folder: of runs.
    Raises:
        TuirnnError: no such run, or its data are gone.
    """
    meta = cell.metadata
    cell_name = meta.definition.name.upper()
    described = f"{cell_name} {meta.hidden}" + (f"×{meta.layers}" if meta.layers > 1 else "")
    session = CellSession(cell)
    if meta.learned.points:
        return _in_series(session, described, cell, name, folder)
    if meta.learned.labelled:
        return _in_sequences(session, described, name, folder)
    vocab = meta.vocab
    try:
        ids = held_out(name, folder, meta)[:PASSAGE].astype(np.int64)
    except DataError:
        ids = _last_mistakes(name, folder, vocab)
    if len(ids) < 2:
        raise DataError("there is no text to look at; the run's data is gone, and it has not been evaluated yet")
    states, _ = _read(session, ids)
    return Inside(described, _symbols(vocab, ids), states)


def _symbols(vocab: Vocabulary, ids: Ids) -> tuple[str, ...]:
    shown = (vocab.symbol(int(i)) for i in ids)
    return tuple(symbol.replace(UNKNOWN, "·") if vocab.of_bytes else symbol for symbol in shown)


def _read(session: CellSession, rows: "Ids | Values") -> tuple[npt.NDArray[np.float32], Values]:
    """Feed tokens [T] or points [T, ·]; states [T, layers, hidden] and outputs [T, ·] after each."""
    meta = session.metadata
    states = np.empty((len(rows), meta.layers, meta.hidden), np.float32)
    outputs: list[Values] = []
    for t, row in enumerate(rows):
        outputs.append(session.step(row)[0].astype(np.float64))
        states[t] = session.snapshot()[0][:, 0]
    return states, np.stack(outputs)


def _in_sequences(session: CellSession, described: str, name: str, folder: Path) -> Inside:
    """Sequences of a classifier or tagger, spread over the held-out ones, each from the zero state."""
    meta = session.metadata
    data = measured_on(name, folder, meta, None).data()
    every = [(ids, truth) for ids, truth in meta.learned.held_out(data) if len(ids)]
    which = np.unique(np.linspace(0, len(every) - 1, min(SEQUENCES, len(every))).astype(int)) if every else ()
    starts, truths, read, states, answers = [0], list[str](), list[Ids](), list[Any](), list[Values]()
    for ids, truth in (every[i] for i in which):
        ids = ids[: PASSAGE - starts[-1]]
        if not len(ids):
            break
        session.reset()
        seen, logits = _read(session, ids)
        states.append(seen)
        answers.append(softmax(logits))
        read.append(ids)
        truths.append(truth)
        starts.append(starts[-1] + len(ids))
    if not read:
        raise DataError("there is no held-out sequence to look at")
    return Inside(
        described, _symbols(meta.vocab, np.concatenate(read)), np.concatenate(states), tuple(starts[:-1]),
        tuple(truths), meta.classes, np.concatenate(answers),
    )  # fmt: skip


def _in_series(session: CellSession, described: str, cell: TrustedCell, name: str, folder: Path) -> Inside:
    """The first held-out points of a forecaster's series, as it reads them: carried along, or from windows."""
    meta = cell.metadata
    history = meta.learned.histories(opened(cell, name), measured_on(name, folder, meta, None))[0]
    rows, window = np.asarray(history.values, np.float64), meta.look_back
    if history.calendar is not None:
        rows = np.concatenate([rows, history.calendar], 1)
    first = min(max(history.first, window), len(rows) - 1)
    count = max(1, min(POINTS, len(rows) - first, STEPS // max(window, 1)))
    if window:
        parts = []
        for t in range(first, first + count):
            session.reset()
            parts.append(_read(session, rows[t - window + 1 : t + 1])[0][-1])
        states = np.stack(parts)
    else:
        begin = max(0, first - WARM_UP)
        states = _read(session, rows[begin : first + count])[0][first - begin :]
    points = history.values[first : first + count]
    columns = meta.scaling.columns if meta.scaling else ()
    numbers = tuple(str(first + t) for t in range(count))
    return Inside(described, numbers, states, columns=columns, points=np.asarray(points, np.float64))


def _last_mistakes(name: str, folder: Path, vocab: Vocabulary) -> Ids:
    """The held-out text that the newest evaluation of a run has left in its samples."""
    if name.endswith(".onnx"):
        raise DataError("this cell file does not name the text it was trained on; open its run instead")
    index = {symbol: i for i, symbol in enumerate(vocab.symbols)}
    newest: list[int] = []
    for record in LogTail(find_run(folder, name).samples).records():
        symbols = record.get("symbols")
        if isinstance(symbols, list) and np.isfinite(as_number(record.get("step"))):
            newest = [index[symbol] for symbol in symbols if isinstance(symbol, str) and symbol in index]
    return np.array(newest, np.int64)
