"""Tagged sequences as the network reads them: splits, tokens with a tag each, and padded batches.

No loss sees padding: the target there is `IGNORE`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources
from tuirnn.tasks.batches import IGNORE, OBJECT, Batch, Batches
from tuirnn.tasks.builtin import ENTITIES
from tuirnn.tasks.splits import divided
from tuirnn.tasks.tag.reading import Reading, Tagged, read
from tuirnn.tasks.tag.spans import OUTSIDE
from tuirnn.vocab import WORDS, Ids, Vocabulary

SIDE_BY_SIDE, TOKENS_AT_ONCE = 256, 1 << 14
"""Sequences, and at most so many tokens, that are judged together."""

FEW_TAGS, TIMES_SEEN = 20, 4
"""More tags than these few occur so often on average, or what stands there are no tags."""

EXAMPLES, SHOWN = 3, 12
"""Sequences that are shown, and words of each."""

POOL = 16
"""Batches whose sequences are sorted by length, so that those of a batch need little padding."""


@dataclass(frozen=True)
class Sequences:
    """One split.

    Attributes:
        texts: what is read.
        ids: tokens of each, int64 [n].
        tags: the tag of each token, int64 [n].
        ends: of each word the last token, after which its tag is judged, int64 [words].
    """

    texts: tuple[Tagged, ...]
    ids: tuple[Ids, ...]
    tags: tuple[Ids, ...]
    ends: tuple[Ids, ...]
    lengths: Ids = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", np.array([len(ids) for ids in self.ids], np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def padded(self, which: Iterable[int]) -> tuple[Ids, Ids]:
        """Some of the sequences side by side: tokens [T, B], 0 after the end, and tags [T, B], `IGNORE` there."""
        chosen = list(which)
        x = np.zeros((int(self.lengths[chosen].max()), len(chosen)), np.int64)
        y = np.full_like(x, IGNORE)
        for column, i in enumerate(chosen):
            x[: self.lengths[i], column] = self.ids[i]
            y[: self.lengths[i], column] = self.tags[i]
        return x, y


def side_by_side(lengths: Ids) -> Iterator[Ids]:
    """All sequences in groups that are worth judging together: alike lengths, little padding."""
    order = np.argsort(lengths, kind="stable")
    while len(order):
        longest = np.maximum.accumulate(lengths[order[:SIDE_BY_SIDE]])
        fit = longest * np.arange(1, len(longest) + 1) <= TOKENS_AT_ONCE
        many = max(1, int(fit.sum()))
        yield order[:many]
        order = order[many:]


@dataclass(frozen=True)
class TagData:
    """Tagged sequences in splits.

    Attributes:
        name, sha256, raw: as of `lm.TextData`.
        vocab: of the training split's symbols.
        classes: the tags, in the order of the logits.
        train, val, test: no text is in two of them.
        notes: what was left out and why, a line each.
    """

    name: str
    sha256: str
    raw: bytes
    vocab: Vocabulary
    classes: tuple[str, ...]
    train: Sequences
    val: Sequences
    test: Sequences
    notes: tuple[str, ...] = ()
    read: dict[str, Any] = field(default_factory=dict)
    """How the files were read."""

    @property
    def inputs(self) -> int:
        """How many symbols there are to read."""
        return len(self.vocab)

    @property
    def outputs(self) -> int:
        """Width of the network's output: a logit for each tag."""
        return len(self.classes)

    @property
    def memory(self) -> float:
        """Bytes of the sequences."""
        splits = (self.train, self.val, self.test)
        return float(sum(a.nbytes + OBJECT for one in splits for of in (one.ids, one.tags, one.ends) for a in of))

    def batches(self, config: TrainConfig) -> Batches:
        """The training split, shuffled anew each epoch."""
        return TagBatches(self.train, config)

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, tags and the splits' sizes in sequences."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        about = {"name": self.name, "sha256": self.sha256, "classes": list(self.classes)}
        return {**about, **splits, "read": {**self.read, "notes": list(self.notes)}}

    def unknown(self) -> list[str]:
        """Symbols of the training split that the vocabulary of an earlier run lacks."""
        return list(dict.fromkeys(symbol for one in self.train.texts for symbol in self.vocab.unknown(one.text)))


class TagBatches(Batches):
    """B sequences of similar length, each once an epoch but for those of a last incomplete batch."""

    def __init__(self, sequences: Sequences, config: TrainConfig) -> None:
        self.sequences = sequences
        self.B = min(config.batch_size, len(sequences))
        super().__init__(config.seed)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return int(self.sequences.lengths.max())

    @property
    def batches_per_epoch(self) -> int:
        """Full batches."""
        return len(self.sequences) // self.B

    def plan_epoch(self) -> Callable[[int], Batch]:
        """Shuffle the sequences, sort pools of them by length, shuffle the batches."""
        order = self._rng.permutation(len(self.sequences))[: self.batches_per_epoch * self.B]
        pools = [order[first : first + POOL * self.B] for first in range(0, len(order), POOL * self.B)]
        sorted_ = [pool[np.argsort(self.sequences.lengths[pool], kind="stable")] for pool in pools]
        batches = self._rng.permutation(np.concatenate(sorted_).reshape(-1, self.B))  # [batches, B]
        return lambda position: (*self.sequences.padded(batches[position]), np.zeros(self.B, np.float32))


def load(
    config: DataConfig,
    *,
    vocab: Vocabulary | None = None,
    known: Mapping[str, Any] | None = None,
    stdin: Path | None = None,
) -> TagData:
    """Read, clean and split tagged sequences.

    Args:
        config: files of one form, see `tuirnn.tasks.tag.reading`; data set names.
        vocab: of an existing run; None builds one from the training split.
        known: summary of an existing run's data, whose tags hold.
        stdin: a run's copy of standard input.
    Raises:
        DataError: a line that cannot be read, a tag that the run does not know, too few sequences or tags.
    """
    before = known.get("read") if known else None
    reading, name, source = read_sources(config, stdin, before if isinstance(before, dict) else None)
    texts, notes = _distinct(reading)
    splits = _split(texts, config, name)
    if vocab is None:
        vocab = _vocabulary(splits[0], config)
    classes = tuple(known["classes"]) if known else tags_of(reading)
    if len(classes) < 2:
        raise DataError(f"{name} has {len(classes)} tag; there is nothing to learn with fewer than two")
    words = sum(len(one.words) for one in texts)
    if len(classes) > FEW_TAGS and TIMES_SEEN * len(classes) > words:
        raise DataError(
            f"{name} has {len(classes):,} different tags for {words:,} words; each line is a word and its tag, such as "
            "'Anna B-PER', and a plain text has none"
        )
    train, val, test = (encoded(split, vocab, classes, name) for split in splits)
    if vocab.unk is not None and (unknown := sum(int((ids == vocab.unk).sum()) for ids in val.ids)):
        share = unknown / int(val.lengths.sum())
        notes.append(f"{share:.2%} of the validation tokens are unknown: they do not occur in the training split")
    told = (*reading.notes, *notes, *_examples(reading))
    once = sources.read_once(source, config)
    return TagData(name, source.sha256, once, vocab, classes, train, val, test, told, reading.read)


def read_sources(
    config: DataConfig, stdin: Path | None = None, before: Mapping[str, Any] | None = None
) -> tuple[Reading, str, sources.Source]:
    """All sequences of the sources, the data's short name, and the bytes they came from; see `load`."""
    files = [file for name in config.sources or (ENTITIES,) for file in sources.parts(name, stdin)]
    label = one_line(files[0][0]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    texts = [sources.Source(name, data).read(config.encoding) for name, data in files]
    readings = [read(text.text, name, config, before) for text, (name, _) in zip(texts, files, strict=True)]
    if len({reading.symbols for reading in readings}) > 1:
        raise DataError(f"{label}: some files tag symbols and others words; train on one kind")
    whole = Reading(
        tuple(sequence for reading in readings for sequence in reading.sequences),
        readings[0].symbols,
        sum(reading.comments for reading in readings),
        sum(reading.documents for reading in readings),
        tuple(note for text, reading in zip(texts, readings, strict=True) for note in (*text.notes, *reading.notes)),
        {**readings[0].read, "files": [file for text in texts[: sources.MOST_FILES] for file in text.read["files"]]},
    )
    if whole.symbols and config.tokens == "word":
        raise DataError(f"{label} tags single symbols; give --tokens char or byte")
    if not whole.sequences:
        raise DataError(f"{label} has no tagged sequence; give lines of a word and its tag, or a table")
    return whole, label, sources.Source(label, b"\n".join(data for _, data in files))


def tags_of(reading: Reading) -> tuple[str, ...]:
    """All tags, sorted; also O, the tag of blanks between words."""
    blanks = () if reading.symbols else (OUTSIDE,)
    return tuple(sorted({*blanks, *(tag for one in reading.sequences for tag in one.tags)}))


def _examples(reading: Reading) -> list[str]:
    """The first sequences with the tags of their words."""
    shown = []
    for one in reading.sequences[:EXAMPLES]:
        words = (f"{one.text[a:b]}/{tag}" for (a, b), tag in zip(one.words[:SHOWN], one.tags, strict=False))
        shown.append(one_line(" ".join(words), 80))
    return shown


def _distinct(reading: Reading) -> tuple[list[Tagged], list[str]]:
    """Each text once, its first occurrence; and what was left out."""
    first: dict[str, Tagged] = {}
    for one in reading.sequences:
        first.setdefault(one.text, one)
    notes = []
    if reading.documents:
        notes.append(f"{reading.documents:,} lines with -DOCSTART- left out")
    if reading.comments:
        notes.append(f"{reading.comments:,} comment lines left out")
    if twice := len(reading.sequences) - len(first):
        notes.append(f"{twice:,} duplicates left out, so that no text is in two splits")
    return list(first.values()), notes


def _split(texts: Sequence[Tagged], config: DataConfig, name: str) -> tuple[list[Tagged], list[Tagged], list[Tagged]]:
    """Train, validation and test; the shuffle depends on `split_seed` alone."""
    parts = divided(texts, config, np.random.Generator(np.random.PCG64(config.split_seed)))
    if not parts[0]:
        raise DataError(
            f"{name} has {sum(map(len, parts))} sequences to split, too few for this --val-fraction and "
            "--test-fraction; bring more, or raise --fraction"
        )
    return parts


def _vocabulary(texts: Iterable[Tagged], config: DataConfig) -> Vocabulary:
    """Of the training split alone: what is new in the held-out part is unknown, as it will be in use."""
    glue = " " if config.tokens == "word" else ""
    return Vocabulary.build(glue.join(one.text for one in texts), config.tokens, config.vocab_size or WORDS)


def encoded(texts: Sequence[Tagged], vocab: Vocabulary, classes: Sequence[str], name: str) -> Sequences:
    """Texts as tokens, each with the tag of its word; a blank has O.

    Raises:
        DataError: a tag that is none of `classes`.
    """
    number = {tag: i for i, tag in enumerate(classes)}
    ids, tags, ends = [], [], []
    for one in texts:
        strange = next((tag for tag in one.tags if tag not in number), None)
        if strange is not None:
            raise DataError(
                f"{name} has the tag '{one_line(strange, 60)}', which the network does not know; "
                f"{nearest(strange, classes)}"
            )
        of_character = np.full(len(one.text), number.get(OUTSIDE, IGNORE), np.int64)
        for (first, last), tag in zip(one.words, one.tags, strict=True):
            of_character[first:last] = number[tag]
        starts = vocab.starts(one.text)
        ids.append(vocab.encode(one.text))
        tags.append(of_character[starts])
        ends.append(last_tokens(starts, one.words))
    return Sequences(tuple(texts), tuple(ids), tuple(tags), tuple(ends))


def last_tokens(starts: Ids, words: Sequence[tuple[int, int]]) -> Ids:
    """The last token of each word, int64 [words].

    Args:
        starts: character that each token begins in, int64 [n].
        words: first character of each, and the one after its last.
    """
    return np.searchsorted(starts, [last for _, last in words]) - 1


def given(
    name: str, vocab: Vocabulary, classes: Sequence[str], encoding: str = "", before: Mapping[str, Any] | None = None
) -> tuple[Sequences, tuple[str, ...]]:
    """All sequences of a file or data set, as a trained network reads them, and how they were read; see `load`."""
    config = DataConfig(task="tag", sources=(name,), tokens=vocab.kind, encoding=encoding)
    reading, label, _ = read_sources(config, before=before)
    return encoded(reading.sequences, vocab, classes, label), reading.notes
