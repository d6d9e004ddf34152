"""Text from a cell, token by token."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tuirnn.cellfile.contract import CellMetadata
from tuirnn.errors import ConfigError
from tuirnn.runtime.native_sampler import chooser
from tuirnn.runtime.samplers import Probabilities, Sampling, choose, probabilities, sample_rows, weights
from tuirnn.runtime.session import CellSession, Snapshot
from tuirnn.vocab import UNKNOWN, Vocabulary

DRAWS = 1024
"""Uniform numbers drawn at once."""


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
    Raises:
        ConfigError: the network is no language model.
    """

    def __init__(self, session: CellSession, seed: int = 0) -> None:
        need_writer(session.metadata)
        self.session = session
        self.vocab: Vocabulary = session.metadata.vocab
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.reset()

    def reset(self) -> None:
        """Forget all that was read; the next token is judged from where texts begin, see `CellSession.begin`."""
        self._utf8.reset()
        self._take(self.session.begin()[0])

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
        token = choose(weights(self._logits.astype(np.float32), sampling), self._rng.random())
        return self.feed_token(token)

    def seek(self, seed: int, lot: int) -> None:
        """Take the next uniform number from `lot` on in the sequence of a seed."""
        lots = np.random.PCG64(seed)
        lots.advance(lot)
        self._rng = np.random.Generator(lots)

    def stream(self, sampling: Sampling, length: int) -> Iterator[str]:
        """Write `length` tokens, yielding the text of each as it is known."""
        session, decode = self.session, self._decoder()
        session.logits[0] = self._logits  # the buffer has gone on if the writer went back
        choice = chooser(session.logits[0], session.token, self.vocab.unk, sampling)
        steps, step = session.steps(), None
        try:
            for start in range(0, length, DRAWS):
                for uniform, step in zip(self._rng.random(min(DRAWS, length - start)).tolist(), steps, strict=False):
                    token = choice(uniform)
                    step()
                    yield decode(token)
        finally:  # whoever stops reading goes on from there
            session.stepped(step)
            self._take(session.logits[0])

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
        if self.vocab.of_bytes:
            return self._utf8.decode(self.vocab.token_bytes(token))
        return self.vocab.symbol(token)

    def _decoder(self) -> Callable[[int], str]:
        """The same as a function for a loop, where it takes a third of the time."""
        return self._decode if self.vocab.of_bytes else (*self.vocab.symbols, UNKNOWN).__getitem__


def write_side_by_side(
    session: CellSession, prime: str, sampling: Sampling, length: int, seeds: Sequence[int]
) -> list[str]:
    """Several texts in one batch, each with its own seed.

    Args:
        session: its batch is the number of texts.
        prime: read by all first.
        sampling: how to choose.
        length: tokens of each text.
        seeds: one a text; a text is that of `TextWriter` with the same seed, up to the last bits of the logits.
    """
    need_writer(session.metadata)
    vocab = session.metadata.vocab
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    session.begin()
    for token in vocab.encode(prime):
        session.step(int(token))
    tokens = np.empty((length, len(seeds)), np.int64)
    for start in range(0, length, DRAWS):
        uniforms = np.stack([generator.random(min(DRAWS, length - start)) for generator in generators], 1)
        for t, row in enumerate(uniforms, start):
            if vocab.unk is not None:
                session.logits[:, vocab.unk] = -np.inf
            tokens[t] = sample_rows(session.logits, sampling, row)
            session.step(tokens[t])
    return [vocab.decode(column) for column in tokens.T.tolist()]


def need_writer(metadata: CellMetadata) -> None:
    """Raise ConfigError for a network that was not made to write."""
    if not metadata.learned.writes:
        raise ConfigError(f"this network {metadata.learned.does} and writes nothing; use 'tuirnn predict'")
