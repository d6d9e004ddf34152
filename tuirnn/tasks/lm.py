"""Language modelling: a text, split before it is windowed, as batches of token ids.

Batches are time-major int64 arrays: x [T, B] and y [T, B], y one token ahead of x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.config import DataConfig, TrainConfig
from tuirnn.errors import DataError
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batch, Batches
from tuirnn.vocab import Ids, Vocabulary

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextData:
    """A tokenized text in contiguous splits: train | test | validation, the last at the end of the text.

    With `--split within`, train is the whole text.
    """

    name: str
    sha256: str
    raw: bytes
    vocab: Vocabulary
    train: Ids
    val: Ids
    test: Ids
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash and the splits' lengths in tokens."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        return {"name": self.name, "sha256": self.sha256, **splits}

    @property
    def inputs(self) -> int:
        """How many tokens there are to read."""
        return len(self.vocab)

    @property
    def outputs(self) -> int:
        """Width of the network's output: a logit for each token."""
        return len(self.vocab)

    def batches(self, config: TrainConfig) -> Batches:
        """The training split as `config` wants it; raises DataError where it is too short."""
        (newline,) = self.vocab.encode("\n").tolist()
        return BATCHES[config.batches](self.train, config, newline=newline)

    def unknown(self) -> list[str]:
        """The text's symbols that the vocabulary lacks."""
        return [] if self.vocab.kind == "byte" else self.vocab.unknown(self.raw.decode("utf-8-sig"))


def load(
    config: DataConfig, *, vocab: Vocabulary | None = None, stdin: Path | None = None, named: bool = False
) -> TextData:
    """Read, tokenize and split the sources of `config`.

    Args:
        config: what to read and how to cut it.
        vocab: vocabulary of an existing run; None builds one from the whole text.
        stdin, named: see `sources.load`.
    Raises:
        DataError: unreadable sources, or a split with fewer than two tokens.
    """
    source = sources.load(config.sources, stdin=stdin, named=named)
    listed = shuffled_lines(source.data, config.split_seed) if config.lines else source.data
    read = sources.Source(source.name, listed)
    if vocab is None:
        text = "" if config.tokens == "byte" else read.text()
        vocab = Vocabulary.build(text, config.tokens, config.vocab_size)
    ids = token_ids(read, vocab)
    ids = ids[: max(1, round(len(ids) * config.fraction))]
    train, test, val = split(ids, config, at=int(ids[0]) if config.lines else None)
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"{source.name} has {len(ids):,} tokens, too few to split into training and validation; give a longer text"
        )
    return TextData(source.name, source.sha256, source.data, vocab, train, val, test)


def token_ids(source: sources.Source, vocab: Vocabulary) -> Ids:
    """Token ids of a source, int64 [n]; a byte vocabulary reads any bytes, the others UTF-8 text."""
    if vocab.kind == "byte":
        return np.frombuffer(source.data, dtype=np.uint8).astype(np.int64)
    return vocab.encode(source.text())


def shuffled_lines(data: bytes, seed: int) -> bytes:
    """The different lines of a list in random order, a newline before each and after the last.

    Raises:
        DataError: fewer than two lines.
    """
    stripped = (line.strip() for line in data.removeprefix(BOM).splitlines())
    lines = list(dict.fromkeys(line for line in stripped if line))
    if len(lines) < 2:
        raise DataError(f"--lines shuffles a list with one thing a line; here are {len(lines)} different lines")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(lines))
    return b"\n" + b"\n".join(lines[i] for i in order) + b"\n"


def split(ids: Ids, config: DataConfig, *, at: int | None = None) -> tuple[Ids, Ids, Ids]:
    """Cut ids [n] into contiguous (train, test, val); nothing is in two of them, unless `--split within` says so.

    Args:
        ids: the text.
        config: the shares.
        at: token that a part may begin with, such as a list's newline; None: any.
    """
    val = max(2, round(len(ids) * config.val_fraction))
    test = round(len(ids) * config.test_fraction)
    first, second = max(0, len(ids) - val - test), max(0, len(ids) - val)
    if at is not None:
        places = np.flatnonzero(ids == at)
        first, second = (int(places[np.searchsorted(places, cut, "right") - 1]) for cut in (first, second))
    train = ids if config.split == "within" else ids[:first]
    return train, ids[first:second], ids[second:]


class TextBatches(Batches):
    """Batches of windows of T + 1 tokens; subclasses say where the windows of an epoch start.

    Args:
        ids: the training split [n].
        config: length, batch size and seed.
        newline: the token that lines begin after.

    Attributes:
        starts: where the windows of the last batch begin, [B].
    """

    starts: Ids

    def __init__(self, ids: Ids, config: TrainConfig, *, newline: int = -1) -> None:
        self.ids, self.newline = ids, newline
        self.T = config.seq_len
        if len(ids) < self.T + 1:
            raise DataError(
                f"the training text has {len(ids):,} tokens, fewer than one sequence of {self.T} and its next "
                f"token; lower --seq-len below {len(ids):,} or give a longer text"
            )
        self.B = min(config.batch_size, self.most_lanes())
        self._offsets = np.arange(self.T + 1)[:, None]
        super().__init__(config.seed)

    def most_lanes(self) -> int:
        """The largest batch that this text fills."""
        return len(self.ids) - self.T

    def plan_starts(self) -> Callable[[int], Ids]:
        """Draw an epoch; returns a function from a batch's number to the B window starts."""
        raise AssertionError("subclasses define it")

    def carry(self, position: int) -> npt.NDArray[np.float32]:
        """Which sequences of a batch continue those of the batch before: 1, else 0."""
        return np.zeros(self.B, np.float32)

    def plan_epoch(self) -> Callable[[int], Batch]:
        """Windows at the planned starts."""
        starts = self.plan_starts()

        def batch(position: int) -> Batch:
            self.starts = starts(position)
            windows = self.ids[self.starts + self._offsets]  # [T+1, B]
            return windows[:-1], windows[1:], self.carry(position)

        return batch


class StreamBatches(TextBatches):
    """B contiguous lanes through the text, read side by side; the hidden state is carried along."""

    carries_state = True

    def most_lanes(self) -> int:
        """Each lane needs one window."""
        return (len(self.ids) - 1) // self.T

    @property
    def batches_per_epoch(self) -> int:
        """Windows in each lane, one fewer than fits where the random phase needs room."""
        return max(1, ((len(self.ids) - 1) // self.B - 1) // self.T)

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shift every epoch by a random phase, so that window borders fall elsewhere each time."""
        lane = (len(self.ids) - 1) // self.B
        room = lane - self.batches_per_epoch * self.T
        phase = int(self._rng.integers(0, room + 1))
        lanes = np.arange(self.B, dtype=np.int64) * lane + phase
        return lambda position: lanes + position * self.T

    def carry(self, position: int) -> npt.NDArray[np.float32]:
        """All but one lane in turn, so that the network also knows the zero state that every use begins with."""
        carry = np.full(self.B, float(position > 0), np.float32)
        carry[position % self.B] = 0.0
        return carry


class RandomBatches(TextBatches):
    """B windows from anywhere in the text, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """As many as read each token once on average."""
        return max(1, (len(self.ids) - 1) // (self.B * self.T))

    def plan_starts(self) -> Callable[[int], Ids]:
        """Starts are drawn with replacement."""
        starts = self._rng.integers(0, len(self.ids) - self.T, size=(self.batches_per_epoch, self.B))
        return lambda position: starts[position]


class WindowBatches(TextBatches):
    """Every window of stride one, once an epoch, in random order, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """Full batches of windows."""
        return (len(self.ids) - self.T) // self.B

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shuffle all starts."""
        starts = self._rng.permutation(len(self.ids) - self.T)
        return lambda position: starts[position * self.B : (position + 1) * self.B]


class LineBatches(TextBatches):
    """Windows that begin with the newline before a line, each line's once an epoch, from a zero state.

    So the zero state and a newline together mean 'begin', and a newline 'end'.
    """

    def most_lanes(self) -> int:
        """The lines that a whole window fits after."""
        self._lines = np.flatnonzero(self.ids[: len(self.ids) - self.T] == self.newline)
        if not len(self._lines):
            raise DataError("--batches lines needs a text of several lines, longer than --seq-len after the first")
        return len(self._lines)

    @property
    def batches_per_epoch(self) -> int:
        """Full batches of lines."""
        return len(self._lines) // self.B

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shuffle the lines."""
        starts = self._rng.permutation(self._lines)
        return lambda position: starts[position * self.B : (position + 1) * self.B]


BATCHES: dict[str, type[TextBatches]] = {
    "stream": StreamBatches,
    "random": RandomBatches,
    "windows": WindowBatches,
    "lines": LineBatches,
}
