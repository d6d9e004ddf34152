"""A network that names classes, read live: after each token of a text it says how probable each class is."""

import codecs

import numpy as np

from tuirnn.errors import ConfigError
from tuirnn.runtime.generate import Moment, Written
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.probabilities import Probabilities, softmax


class TextJudge:
    """Reads a text token by token and can go back, as a `Timeline` asks; it writes nothing.

    Args:
        session: of such a cell, batch 1; owned from here on.
    """

    def __init__(self, session: CellSession) -> None:
        if not session.metadata.classes:
            raise ConfigError(f"this network {session.metadata.learned.does}; it names no classes")
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
        text = self._utf8.decode(self.vocab.token_bytes(token)) if self.vocab.of_bytes else self.vocab.symbol(token)
        return Written(token, text, 0.0)

    def write(self, sampling: Sampling) -> Written:
        """Raises ConfigError: it chooses no tokens."""
        raise ConfigError("this network names classes and writes nothing: type a text to see its class")

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
