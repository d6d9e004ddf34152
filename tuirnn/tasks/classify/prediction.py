"""A classifier's answers: probabilities after every step of a stream, and figures over many sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.tasks.classify.data import Examples, calibration_error, macro_f1
from tuirnn.tasks.probabilities import Probabilities, softmax
from tuirnn.tasks.task import OpenCell
from tuirnn.vocab import Ids

LANES = 256
AT_ONCE = 64
"""Steps that are read together."""


def stream(cell: OpenCell, text: str) -> Iterator[tuple[str, Probabilities]]:
    """Each symbol of a text and the probabilities [classes] after it; unknown symbols are read as such."""
    stepper, vocab = cell.stepper(1), cell.metadata.vocab
    tokens = vocab.encode(text)
    for token, logits in zip(tokens.tolist(), stepper.read(tokens[:, None])[:, 0], strict=True):
        yield vocab.symbol(token), softmax(logits)


def after_words(steps: Sequence[tuple[str, Probabilities]]) -> list[tuple[str, Probabilities]]:
    """The steps of a stream at the ends of words, each with its word; of tokens that are words already, all."""
    found, word = list[tuple[str, Probabilities]](), ""
    for symbol, p in steps:
        if symbol.isspace() and word:
            found.append((word, p))
        word = "" if symbol.isspace() else word + symbol
    return [*found, (word, steps[-1][1])] if word else found


def last_logits(cell: OpenCell, ids: Sequence[Ids]) -> npt.NDArray[np.float32]:
    """Logits [n, classes] at each sequence's last step, the sequences side by side."""
    examples = Examples(tuple(ids), np.zeros(len(ids), np.int64))
    order = np.argsort([len(one) for one in ids], kind="stable")
    found = np.empty((len(ids), len(cell.metadata.classes)), np.float32)
    for first in range(0, len(order), LANES):
        which = order[first : first + LANES]
        x, lengths = examples.padded(which)
        stepper = cell.stepper(len(which))
        for start in range(0, len(x), AT_ONCE):
            logits = stepper.read(x[start : start + AT_ONCE])[:, : len(which)]  # [T, B, classes]
            for t, row in enumerate(logits, start + 1):
                found[which[lengths == t]] = row[lengths == t]
    return found


@dataclass(frozen=True)
class Figures:
    """How a classifier does on labelled sequences.

    Attributes:
        nats: mean −ln p(true class).
        accuracy, macro_f1: shares of one.
        calibration: expected calibration error; see `data.calibration_error`.
        confusion: counts [true, guessed].
    """

    nats: float
    accuracy: float
    macro_f1: float
    calibration: float
    confusion: npt.NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "confusion": self.confusion.tolist(), "sequences": int(self.confusion.sum())}


def measure(cell: OpenCell, examples: Examples) -> Figures:
    """Judge a classifier on labelled sequences."""
    p = softmax(last_logits(cell, examples.ids))
    guesses, classes = p.argmax(1), len(cell.metadata.classes)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (examples.labels, guesses), 1)
    right = guesses == examples.labels
    return Figures(
        nats=float(-np.log(np.maximum(p[np.arange(len(p)), examples.labels], 1e-300)).mean()),
        accuracy=float(right.mean()),
        macro_f1=macro_f1(confusion),
        calibration=calibration_error(p.max(1).tolist(), right.tolist()),
        confusion=confusion,
    )
