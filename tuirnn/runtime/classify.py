"""A classifier's cell file at work: probabilities after every step of a stream, and figures over many sequences."""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.errors import ConfigError
from tuirnn.runtime.generate import Moment, Written
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.classify import Examples, calibration_error, macro_f1

Probabilities = npt.NDArray[np.float64]

LANES = 256


def need_classifier(metadata: CellMetadata, name: str) -> None:
    """Raise ConfigError for a network of another task."""
    if not metadata.classes:
        raise ConfigError(f"{name} is a language model, not a classifier; let it write with 'tuirnn generate {name}'")


class Classifier:
    """Feeds symbols one by one; after each it says how probable each class is.

    Args:
        session: of a classifier's cell.
    """

    def __init__(self, session: CellSession) -> None:
        self.session = session
        self.classes = session.metadata.classes
        self.vocab = session.metadata.vocab

    def stream(self, text: str) -> Iterator[tuple[str, Probabilities]]:
        """Begin anew; yields each symbol and the probabilities [classes] after it. Unknown symbols are read as such."""
        self.session.reset()
        for token in self.vocab.encode(text):
            yield self.vocab.symbol(int(token)), softmax(self.session.step(int(token))[0])


class TextJudge:
    """A classifier that reads a text token by token and can go back, as a `Timeline` asks; it writes nothing.

    Args:
        session: of a classifier's cell, batch 1; owned from here on.
    """

    def __init__(self, session: CellSession) -> None:
        need_classifier(session.metadata, "this network")
        self.session = session
        self.vocab = session.metadata.vocab
        self.classes = session.metadata.classes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.reset()

    def reset(self) -> None:
        """Forget all that was read."""
        self.session.reset()
        self._utf8.reset()
        self._logits = np.zeros(0)

    def distribution(self, sampling: Sampling) -> Probabilities:
        """The probability of each class, [classes]; empty before anything is read. There is nothing to sample."""
        return softmax(self._logits) if len(self._logits) else self._logits

    def feed_token(self, token: int) -> Written:
        """Read one token."""
        self._logits = self.session.step(token)[0].astype(np.float64)
        text = self._utf8.decode(bytes([token])) if self.vocab.kind == "byte" else self.vocab.symbol(token)
        return Written(token, text, 0.0)

    def write(self, sampling: Sampling) -> Written:
        """Raises ConfigError: a classifier chooses no tokens."""
        raise ConfigError("this network is a classifier: type something and it says what that is")

    def seek(self, seed: int, lot: int) -> None:
        """Nothing is drawn by lot."""

    def moment(self) -> Moment:
        """Where the reader is now."""
        return Moment(self.session.snapshot(), self._logits.copy(), None, self._utf8.getstate())

    def go_to(self, moment: Moment) -> None:
        """Go back to a moment."""
        self.session.restore(moment.state)
        self._logits = moment.logits.copy()
        self._utf8.setstate(moment.undecoded)


def softmax(logits: npt.NDArray[Any]) -> Probabilities:
    """Probabilities over the last axis, float64."""
    scores = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(scores / scores.sum(-1, keepdims=True))


def last_logits(cell: TrustedCell, ids: Sequence[npt.NDArray[np.int64]], *, device: str = "auto") -> npt.NDArray[Any]:
    """Logits [n, classes] at each sequence's last step, the sequences side by side."""
    examples = Examples(tuple(ids), np.zeros(len(ids), np.int64))
    order = np.argsort([len(one) for one in ids], kind="stable")
    found = np.empty((len(ids), len(cell.metadata.classes)), np.float32)
    for first in range(0, len(order), LANES):
        which = order[first : first + LANES]
        x, lengths = examples.padded(which)
        session = CellSession(cell, device=device, batch=len(which))
        for t, tokens in enumerate(x, 1):
            logits = session.step(tokens)
            found[which[lengths == t]] = logits[lengths == t]
    return found


@dataclass(frozen=True)
class Figures:
    """How a classifier does on labelled sequences.

    Attributes:
        nats: mean −ln p(true class).
        accuracy, macro_f1: shares of one.
        calibration: expected calibration error; see `tasks.classify.calibration_error`.
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


def measure(cell: TrustedCell, examples: Examples, *, device: str = "auto") -> Figures:
    """Judge a classifier on labelled sequences."""
    p = softmax(last_logits(cell, examples.ids, device=device))
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
