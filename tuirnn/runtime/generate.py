"""Text from a cell, token by token."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuirnn.runtime.samplers import Probabilities, Sampling, choose, probabilities
from tuirnn.runtime.session import CellSession, Snapshot
from tuirnn.vocab import Vocabulary


@dataclass(frozen=True)
class Written:
    """One token that was fed to the cell: its text ('' inside a UTF-8 sequence) and what it cost, in nats."""

    token: int
    text: str
    nats: float


@dataclass(frozen=True)
class Moment:
    """Everything needed to go on from here in exactly the same way."""

    state: Snapshot
    logits: Probabilities
    rng: object
    undecoded: tuple[bytes, int]


class TextWriter:
    """A cell that writes: feed it text, let it choose, and go back to any moment.

    Args:
        session: of batch 1; owned from here on.
        seed: of the uniform numbers; the same seed and the same calls give the same text.
    """

    def __init__(self, session: CellSession, seed: int = 0) -> None:
        self.session = session
        self.vocab: Vocabulary = session.metadata.vocab
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.reset()

    def reset(self) -> None:
        """Forget all that was read; the next token is judged from the zero state and a line's beginning."""
        self.session.reset()
        self._utf8.reset()
        self._take(self.session.step(self._opening())[0])

    def _opening(self) -> int:
        """A newline where the vocabulary has one, else its first symbol: what a text begins after."""
        ids = self.vocab.encode("\n")
        return int(ids[0]) if len(ids) == 1 and ids[0] != self.vocab.unk else 0

    def _take(self, logits: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> None:
        self._logits = logits.astype(np.float64)
        if self.vocab.unk is not None:
            self._logits[self.vocab.unk] = -np.inf  # never written, only read

    def feed(self, text: str) -> list[Written]:
        """Read text; unknown symbols are read as `unk`. Returns what each token cost."""
        return [self.feed_token(int(token)) for token in self.vocab.encode(text)]

    def feed_token(self, token: int) -> Written:
        """Read one token."""
        p = probabilities(self._logits.astype(np.float32), Sampling(temperature=1.0))
        nats = float(-np.log(max(p[token], 1e-30)))
        self._take(self.session.step(token)[0])
        return Written(token, self._decode(token), nats)

    def distribution(self, sampling: Sampling) -> Probabilities:
        """The probabilities of the next token, [V]."""
        return probabilities(self._logits.astype(np.float32), sampling)

    def write(self, sampling: Sampling) -> Written:
        """Choose the next token and read it."""
        return self.feed_token(choose(self.distribution(sampling), self._rng.random()))

    def seek(self, seed: int, lot: int) -> None:
        """Take the next uniform number from `lot` on in the sequence of a seed."""
        lots = np.random.PCG64(seed)
        lots.advance(lot)
        self._rng = np.random.Generator(lots)

    def stream(self, sampling: Sampling, length: int) -> Iterator[str]:
        """Write `length` tokens, yielding the text of each as it is known."""
        logits, step, unk = self._logits.astype(np.float32), self.session.step, self.vocab.unk
        for uniform in self._rng.random(length):
            token = choose(probabilities(logits, sampling), uniform)
            logits = step(token)[0]
            if unk is not None:
                logits[unk] = -np.inf
            yield self._decode(token)
        self._logits = logits.astype(np.float64)

    def moment(self) -> Moment:
        """Where the writer is now."""
        return Moment(
            self.session.snapshot(), self._logits.copy(), self._rng.bit_generator.state, self._utf8.getstate()
        )

    def go_to(self, moment: Moment) -> None:
        """Go back to a moment; the same calls then write the same text."""
        self.session.restore(moment.state)
        self._logits = moment.logits.copy()
        self._rng.bit_generator.state = moment.rng  # type: ignore[assignment]
        self._utf8.setstate(moment.undecoded)

    def _decode(self, token: int) -> str:
        if self.vocab.kind == "byte":
            return self._utf8.decode(bytes([token]))
        return self.vocab.symbol(token)
