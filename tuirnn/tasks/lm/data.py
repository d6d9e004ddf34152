"""The text of a language model, split before it is windowed."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError, one_line
from tuirnn.piecework import Progress
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import datasets, sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.lm.corpus import Corpus, kept, less_copies, open_corpus
from tuirnn.tasks.lm.corpus.lines import shuffled_lines
from tuirnn.tasks.lm.corpus.parts import Part, joined_raw, locate
from tuirnn.tasks.lm.corpus.reading import Wanted
from tuirnn.tasks.lm.spelling import Spelling, of_ids, of_tail
from tuirnn.tasks.lm.stretches import copied
from tuirnn.tasks.windows import WINDOWS, Windows, places, split
from tuirnn.vocab import Ids, Tokens, Vocabulary

__all__ = ["BATCHES", "LineBatches", "TextData", "load", "shuffled_lines", "split", "text_corpus"]

EVALUATED_WHOLE = 2**17
"""Tokens up to which a held-out part is always read whole."""

LEAST_EVALUATED = 2**13

SPELLED = 16 * 2**20
"""Bytes of a text up to which its unknown symbols are spelled."""

PASSAGES = 64
"""Places of a longer held-out part that evaluations read from."""


@dataclass(frozen=True)
class TextData:
    """A tokenized text in contiguous splits: train | test | validation, the last at the end of the text.

    With `--split within`, train is the whole text.
    """

    name: str
    sha256: str
    raw: bytes | memoryview
    vocab: Vocabulary
    train: Tokens
    val: Tokens
    test: Tokens
    notes: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    """The text's symbols that the vocabulary of an existing run lacks."""
    read: dict[str, Any] = field(default_factory=dict)
    """How its files were read."""
    evaluated: int | None = None
    """Held-out tokens that the evaluations of an existing run read; None: a new run."""
    lacking: int = 0
    """Tokens of the text that the vocabulary lacks."""
    key: str = ""
    """What its tokens and splits are kept under; empty where they lie in memory."""
    spelling: Spelling | None = None
    """What the validation part's tokens stand for in characters."""

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, the splits' lengths in tokens, and how the files were read."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        lacking = {"unknown": self.lacking} if self.lacking else {}
        spelled_ = {"val_spelling": vars(self.spelling)} if self.spelling else {}
        return {"name": self.name, "sha256": self.sha256, **splits, **lacking, "read": self.read, **spelled_}

    @property
    def inputs(self) -> int:
        """How many tokens there are to read."""
        return len(self.vocab)

    @property
    def outputs(self) -> int:
        """Width of the network's output: a logit for each token."""
        return len(self.vocab)

    @property
    def memory(self) -> float:
        """None: a text is mapped from a file."""
        return 0.0

    def batches(self, config: TrainConfig) -> Batches:
        """The training split as `config` wants it; raises DataError where it is too short."""
        if config.batches == "lines" and self.vocab.kind == "bpe":
            raise DataError(
                "--batches lines begins at line starts, which subwords (--tokens bpe) may cross; use --tokens char"
            )
        (newline,) = self.vocab.encode("\n").tolist()
        return BATCHES[config.batches](self.train, config, newline=newline)

    def read_by_evaluations(self, train: TrainConfig) -> int:
        """How many held-out tokens each evaluation reads: all, or as many as `train` has time for.

        Evaluations read them twice, once for each protocol, and reading costs about half of what training on them
        does. The number depends on the settings alone, not on the speed of a machine, so that equal runs are equal.
        """
        n = len(self.val)
        if self.evaluated is not None:
            return min(n, self.evaluated)
        if n <= EVALUATED_WHOLE or not train.eval_share:
            return n
        batches = self.batches(train)
        every, last = train.eval_every or batches.batches_per_epoch, train.last_step(batches.batches_per_epoch)
        if train.minutes or not last:  # it may end just after an evaluation, with another one
            steps, evaluations = min(every, last or every), 2
        else:
            steps, evaluations = last, -(-last // every)
        affordable = int(train.eval_share * steps * batches.B * train.seq_len / evaluations)
        return min(n, max(LEAST_EVALUATED, affordable - affordable % LEAST_EVALUATED))

    def passages(self, count: int) -> Tokens:
        """So many held-out tokens, in passages that are spread evenly; the whole part where it has no more."""
        if count >= len(self.val):
            return self.val
        length = count // PASSAGES
        starts = np.linspace(0, len(self.val) - length, PASSAGES).astype(np.int64)
        read: Tokens = self.val[(starts[:, None] + np.arange(length)).ravel()]
        return read

    def overlap(self, trained: "TextData") -> float:
        """Share of the held-out part that stands word for word in a training part; remembered for kept texts.

        Args:
            trained: whose training part is meant, as a rule its own.
        """
        keys = (self.key, trained.key) if trained is not self else (self.key,)
        name = kept.key("overlap", *keys)
        known = (kept.recall(name) or {}).get("share") if all(keys) else None
        if isinstance(known, float) and 0.0 <= known <= 1.0:
            return known
        with Progress(f"seeking copies of what {self.name} holds out", len(trained.train) if self.key else 0) as shown:
            share = copied(trained.train, self.val, shown)
        if all(keys):
            kept.note(name, 0.0, {"share": share})
        return share

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
    parts = locate(config.sources, stdin, named=named)
    name = parts[0].label if len(parts) == 1 else f"{parts[0].label} and {len(parts) - 1} more"
    if known is not None and not isinstance(known.get("read"), dict):
        parts = _as_one(parts, name, known)
    shuffled = config.split_seed if config.lines else None
    kind, limit = (vocab.kind, 0) if vocab else (config.tokens, config.vocab_size)
    held = (config.val_fraction + config.test_fraction) * (config.split == "end")
    share = config.fraction * (1 - held) if kind == "bpe" and not vocab else 1.0
    corpus = open_corpus(parts, Wanted(kind, limit, vocab, config.encoding, shuffled, share))
    ids = corpus.ids[: max(1, round(len(corpus.ids) * config.fraction))]
    published = datasets.published(config.sources, corpus.vocab.kind) if config.split == "published" else None
    train, test, val = split(ids, config, at=int(ids[0]) if config.lines else None, published=published)
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"{name} has {len(ids):,} tokens, too few to split into training and validation; give a longer text"
        )
    notes = corpus.notes
    if config.dedupe:
        whole, train = len(train), less_copies(corpus, train, val)
        share = 100 * (whole - len(train)) / whole
        notes = (
            *notes,
            f"--dedupe leaves out {share:.3g} % of the training part, which also occurs in the held-out part",
        )
        if len(train) < 2:
            raise DataError(f"all that {name} trains on also occurs in its held-out part; leave --dedupe out")
    same = known is not None and known.get("sha256") == corpus.sha256
    spelling = Spelling.from_json(known.get("val_spelling")) if same and known else None
    cut = len(ids) if config.fraction < 1 else None
    spelling = spelling or spelled(corpus.vocab, val, parts, config.encoding, shuffled, cut)
    if spelling is not None and spelling.unknown and known is None:
        notes = (*notes, f"of the validation part, {spelling.told}")
    raw = next((part.body for part in parts if not isinstance(part.body, Path)), b"")
    strange = corpus.strange if known is not None else ()
    before = None if known is None else known.get("evaluated")
    evaluated = None if known is None else before if type(before) is int and before > 1 else len(val)
    return TextData(
        name, corpus.sha256, raw, corpus.vocab, train, val, test, notes, strange, corpus.read, evaluated,
        corpus.unknown, corpus.key and kept.key(corpus.key, len(ids), len(train), len(val), config.dedupe), spelling,
    )  # fmt: skip


def spelled(
    vocab: Vocabulary,
    ids: Tokens,
    parts: list[Part],
    encoding: str = "",
    shuffled: int | None = None,
    cut: int | None = None,
) -> Spelling | None:
    """What the last tokens of a text stand for in characters.

    Args:
        vocab: of the text.
        ids: its last tokens [n].
        parts: its files, which are read again where a token is unknown.
        encoding: of them; empty: found out.
        shuffled: seed of its lines' order; None: as it stands.
        cut: tokens after which it ends; None: all.
    Returns:
        None where tokens of a text above `SPELLED` bytes are unknown.
    """
    found = of_ids(vocab, ids)
    if not found.unknown:
        return found
    if sum(part.size for part in parts) > SPELLED:
        return None
    files = tuple((part.label, b"".join(part.raw())) for part in parts)
    text = sources.Source("", b"", files).text(encoding)
    if shuffled is not None:
        text = shuffled_lines(text.encode("utf-8", "replace"), shuffled).decode()
    return of_tail(vocab, ids, text, cut)


def _as_one(parts: list[Part], name: str, known: Mapping[str, Any]) -> list[Part]:
    """The files as a run has read them that was made before they were decoded one by one: as a single one."""
    sha = hashlib.sha256()
    if len(parts) == 1:
        return parts
    data = b"".join(joined_raw(parts, sha))
    return [Part(name, data)] if sha.hexdigest() == known.get("sha256") else parts


def text_corpus(path: str, vocab: Vocabulary, encoding: str = "", parts: list[Part] | None = None) -> Corpus:
    """A text to evaluate on.

    Args:
        path: what the user has named.
        vocab: of the network.
        encoding: as the user says; empty: found out.
        parts: the files at `path`, where they have been found already.
    Raises:
        DataError: it is unreadable, or shorter than two tokens.
    """
    corpus = open_corpus(parts or locate((path,)), Wanted(vocab.kind, 0, vocab, encoding))
    if len(corpus.ids) < 2:
        raise DataError(f"{one_line(path)} has fewer than two tokens; there is nothing to predict")
    return corpus


class LineBatches(Windows):
    """Windows that begin with the newline before a line, each line's once an epoch, from a zero state.

    So the zero state and a newline together mean 'begin', and a newline 'end'.
    """

    def most_lanes(self) -> int:
        """The lines that a whole window fits after."""
        self._lines = places(self.ids[: len(self.ids) - self.T], self.newline)
        if not len(self._lines):
            raise DataError("--batches lines needs several lines, and more than --seq-len tokens after the first")
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
