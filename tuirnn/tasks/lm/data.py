"""The text of a language model, split before it is windowed."""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError, one_line
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.lm.spelling import Spelling, of_tail, of_tokens
from tuirnn.tasks.windows import WINDOWS, Windows, split
from tuirnn.vocab import Ids, Vocabulary


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
    strange: tuple[str, ...] = ()
    """The text's symbols that the vocabulary of an existing run lacks."""
    read: dict[str, Any] = field(default_factory=dict)
    """How its files were read."""
    spelling: Spelling | None = None
    """What the validation part's tokens stand for in characters."""

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, the splits' lengths in tokens, and how the files were read."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        spelled = {"val_spelling": vars(self.spelling)} if self.spelling else {}
        return {"name": self.name, "sha256": self.sha256, **splits, "read": self.read, **spelled}

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
        return list(self.strange)


def load(
    config: DataConfig,
    *,
    vocab: Vocabulary | None = None,
    known: Mapping[str, Any] | None = None,
    stdin: Path | None = None,
    named: bool = False,
) -> TextData:
    """Read, tokenize and split the sources of `config`.

    Args:
        config: what to read and how to cut it.
        vocab: vocabulary of an existing run; None builds one from the whole text.
        known: an existing run's summary of its data.
        stdin, named: see `sources.load`.
    Raises:
        DataError: unreadable sources, or a split with fewer than two tokens.
    """
    source = sources.load(config.sources, stdin=stdin, named=named)
    if sources.remembered(known, source) == {}:  # a run from before files were decoded one by one
        source = sources.Source(source.name, source.data)
    found, text = sources.Text("", {}, ()), ""
    strange: tuple[str, ...] = ()
    if (vocab.kind if vocab else config.tokens) == "byte":
        data = shuffled_lines(source.data, config.split_seed) if config.lines else source.data
        ids, vocab = np.frombuffer(data, dtype=np.uint8).astype(np.int64), Vocabulary("byte")
    else:
        found = source.read(config.encoding)
        text = found.text
        if config.lines:
            text = shuffled_lines(text.encode("utf-8", "replace"), config.split_seed).decode()
        vocab = vocab or Vocabulary.build(text, config.tokens, config.vocab_size)
        ids = vocab.encode(text)
        if known is not None and (ids == vocab.unk).any():
            strange = tuple(vocab.unknown(text))
    kept = max(1, round(len(ids) * config.fraction))
    cut, ids = kept if kept < len(ids) else None, ids[:kept]
    train, test, val = split(ids, config, at=int(ids[0]) if config.lines else None)
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"{source.name} has {len(ids):,} tokens, too few to split into training and validation; give a longer text"
        )
    spelling = of_tail(vocab, val, text, cut)
    notes = found.notes + ((f"of the validation part, {spelling.told}",) if spelling.unknown and known is None else ())
    return TextData(
        source.name, source.sha256, source.data, vocab, train, val, test, notes, strange, found.read, spelling
    )


def text_ids(path: str, vocab: Vocabulary, encoding: str = "") -> tuple[Ids, tuple[str, ...], Spelling]:
    """Token ids [n] of a text to evaluate on, notes on how it was read, and what the tokens stand for.

    Raises:
        DataError: it is unreadable, or shorter than two tokens.
    """
    ids, found = token_ids(sources.load((path,)), vocab, encoding)
    if len(ids) < 2:
        raise DataError(f"{one_line(path)} has fewer than two tokens; there is nothing to predict")
    return ids, found.notes, of_tokens(vocab, ids, found.text)


def token_ids(source: sources.Source, vocab: Vocabulary, encoding: str = "") -> tuple[Ids, sources.Text]:
    """Token ids of a source, int64 [n], and how it was read; a byte vocabulary reads any bytes, the others text."""
    if vocab.kind == "byte":
        return np.frombuffer(source.data, dtype=np.uint8).astype(np.int64), sources.Text("", {}, ())
    found = source.read(encoding)
    return vocab.encode(found.text), found


def shuffled_lines(data: bytes, seed: int) -> bytes:
    """The different lines of a list in random order, a newline before each and after the last.

    Raises:
        DataError: fewer than two lines.
    """
    stripped = (line.strip() for line in data.removeprefix(codecs.BOM_UTF8).splitlines())
    lines = list(dict.fromkeys(line for line in stripped if line))
    if len(lines) < 2:
        raise DataError(f"--lines shuffles a list with one thing a line; here are {len(lines)} different lines")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(lines))
    return b"\n" + b"\n".join(lines[i] for i in order) + b"\n"


class LineBatches(Windows):
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


BATCHES: dict[str, type[Windows]] = {**WINDOWS, "lines": LineBatches}
