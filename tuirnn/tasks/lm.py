"""Language modelling: a text, split before it is windowed, as batches of token ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.config import DataConfig, TrainConfig
from tuirnn.errors import DataError
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.windows import BATCHES, split
from tuirnn.vocab import Ids, Vocabulary


@dataclass(frozen=True)
class TextData:
    """A tokenized text in contiguous splits: train | test | validation, the last at the end of the text."""

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
        return BATCHES[config.batches](self.train, config, "text")

    def unknown(self) -> list[str]:
        """The text's symbols that the vocabulary lacks."""
        return [] if self.vocab.kind == "byte" else self.vocab.unknown(self.raw.decode("utf-8-sig"))


def load(config: DataConfig, *, vocab: Vocabulary | None = None, stdin: Path | None = None, **_: Any) -> TextData:
    """Read, tokenize and split the sources of `config`.

    Args:
        config: what to read and how to cut it.
        vocab: vocabulary of an existing run; None builds one from the whole text.
        stdin: see `sources.load`.
    Raises:
        DataError: unreadable sources, or a split with fewer than two tokens.
    """
    source = sources.load(config.sources, stdin=stdin)
    if vocab is None:
        text = "" if config.tokens == "byte" else source.text()
        vocab = Vocabulary.build(text, config.tokens, config.vocab_size)
    ids = token_ids(source, vocab)
    ids = ids[: max(1, round(len(ids) * config.fraction))]
    train, test, val = split(ids, config)
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
