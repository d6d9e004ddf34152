"""Labelled sequences: which class does a text belong to? Names of files or a column of a table say so.

Batches are padded to their longest sequence, and no loss ever sees the padding: targets are `IGNORE` everywhere but at
the last real step, or with `every_step` at every real step, so that the network's answer means something at any time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.escaping import split_names
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources
from tuirnn.tasks.batches import IGNORE, OBJECT, Batch, Batches
from tuirnn.tasks.classify import reading
from tuirnn.tasks.splits import divided
from tuirnn.vocab import Ids, Vocabulary

MAX_LENGTH = 100_000
"""Tokens in one sequence."""

LONG = 400
"""Characters of a sequence on average from which words are worth a thought."""

SHOWN_CLASSES = 12
"""Classes whose sizes a note lists."""


@dataclass(frozen=True)
class Examples:
    """Sequences of token ids and the class of each."""

    ids: tuple[Ids, ...]
    labels: Ids

    def __len__(self) -> int:
        return len(self.ids)

    def spread(self, most: int) -> "Examples":
        """At most so many of the sequences, evenly from all classes: they stand class by class."""
        which = np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(int)
        return Examples(tuple(self.ids[i] for i in which), self.labels[which])

    def padded(self, which: "Iterable[int]") -> tuple[Ids, Ids]:
        """Some of the sequences side by side: tokens [T, B] with zeros after the end, and lengths [B]."""
        chosen = [self.ids[i] for i in which]
        lengths = np.array([len(ids) for ids in chosen], np.int64)
        x = np.zeros((int(lengths.max()), len(chosen)), np.int64)
        for column, ids in enumerate(chosen):
            x[: len(ids), column] = ids
        return x, lengths


@dataclass(frozen=True)
class LabelledData:
    """Labelled sequences in stratified splits.

    Attributes:
        name, sha256, raw: as of `lm.TextData`.
        vocab: of the sequences' symbols.
        classes: names, in the order of the logits.
        train, val, test: no sequence is in two of them.
        notes: what was understood, and what was left out and why, a line each.
        read: how the data were read.
    """

    name: str
    sha256: str
    raw: bytes
    vocab: Vocabulary
    classes: tuple[str, ...]
    train: Examples
    val: Examples
    test: Examples
    notes: tuple[str, ...] = ()
    read: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """How many symbols there are to read."""
        return len(self.vocab)

    @property
    def outputs(self) -> int:
        """Width of the network's output: a logit for each class."""
        return len(self.classes)

    @property
    def memory(self) -> float:
        """Bytes of the sequences."""
        return float(sum(ids.nbytes + OBJECT for split in (self.train, self.val, self.test) for ids in split.ids))

    def batches(self, config: TrainConfig) -> Batches:
        """The training split, shuffled anew each epoch."""
        return ExampleBatches(self.train, config)

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, classes and the splits' sizes in sequences."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        return {
            "name": self.name, "sha256": self.sha256, "classes": list(self.classes), **splits, "read": self.read
        }  # fmt: skip

    def unknown(self) -> list[str]:
        """Symbols that the vocabulary lacks: none, as other data must bring the same classes anyway."""
        unk = self.vocab.unk
        strange = unk is not None and any((ids == unk).any() for split in (self.train, self.val) for ids in split.ids)
        return ["one that was never seen"] if strange else []

    @property
    def class_weights(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """What each class's loss is multiplied by so that all classes count the same, float32 [classes], mean 1."""
        counts = np.bincount(self.train.labels, minlength=len(self.classes))
        return (len(self.train) / (len(self.classes) * counts)).astype(np.float32)


class ExampleBatches(Batches):
    """B sequences from anywhere in the split, each once an epoch but for a last incomplete batch."""

    def __init__(self, examples: Examples, config: TrainConfig) -> None:
        self.examples, self.every_step, self.auxiliary = examples, config.every_step, config.auxiliary
        self.B = min(config.batch_size, len(examples))
        super().__init__(config.seed)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence: some batch has it, and pads the others."""
        return max(map(len, self.examples.ids))

    @property
    def batches_per_epoch(self) -> int:
        """Full batches."""
        return len(self.examples) // self.B

    def plan_epoch(self) -> Callable[[int], Batch]:
        """Shuffle."""
        order = self._rng.permutation(len(self.examples))
        return lambda position: self._make(order[position * self.B : (position + 1) * self.B])

    def _make(self, which: Ids) -> Batch:
        x, lengths = self.examples.padded(which)
        t = np.arange(len(x))[:, None]
        counted = t < lengths if self.every_step else t == lengths - 1
        y = np.where(counted, self.examples.labels[which], IGNORE)
        if self.auxiliary:
            following = np.where(t < lengths - 1, np.roll(x, -1, 0), IGNORE)
            y = np.stack((y, following), -1)  # [T, B, 2]
        return x, y, np.zeros(self.B, np.float32)


def load(
    config: DataConfig,
    *,
    vocab: Vocabulary | None = None,
    known: Mapping[str, Any] | None = None,
    stdin: Path | None = None,
) -> LabelledData:
    """Read, clean and split labelled sequences.

    Args:
        config: a folder with a file a class (a sequence a line) or a folder a class, or a table with labels.
        vocab: of an existing run; None builds one from all sequences.
        known: an existing run's summary of its data; None: a new run.
        stdin: a run's copy of standard input, which must then be a table.
    Raises:
        DataError: no classes, a class too small to be split, a table that is none.
    """
    read = reading.read(config, known, stdin)
    found, name = read.groups, read.name
    wanted = split_names(config.classes)
    for label in wanted:
        if label not in found:
            raise DataError(f"{name} has no class '{one_line(label, 60)}'; {nearest(label, found)}")
    found = {label: found[label] for label in sorted(wanted or found)}
    sequences, notes = clean(found, count_empty=not read.lines)
    least = 2 + (config.test_fraction > 0)
    for label in [label for label, lines in sequences.items() if len(lines) < least]:
        notes.append(f"class '{one_line(label, 60)}' left out: {len(sequences.pop(label))} sequences of its own")
    if len(sequences) < 2:
        said = one_line("; ".join((*read.notes, *notes)), 300)
        raise DataError(
            f"{name} has {len(sequences)} class after cleaning; a classifier needs at least two; read as: {said}"
        )
    classes = tuple(sequences)
    if vocab is None:
        vocab = Vocabulary.build("\n".join(s for group in sequences.values() for s in group), config.tokens)
        if config.tokens == "char" and not any("\n" in s for group in sequences.values() for s in group):
            vocab = Vocabulary("char", tuple(symbol for symbol in vocab.symbols if symbol != "\n"))
    train, val, test = (
        Examples(
            tuple(vocab.encode(sequence) for sequence, _ in split), np.array([label for _, label in split], np.int64)
        )
        for split in _split(sequences, config, name)
    )
    mean = sum(map(len, train.ids)) / len(train)
    if vocab.kind == "char" and mean > LONG:
        notes.append(f"sequences of {mean:,.0f} characters on average; --tokens word reads a fifth as many tokens")
    told = (*read.notes, describe_counts(sequences), *notes)
    source, once = read.source, sources.read_once(read.source, config)
    return LabelledData(name, source.sha256, once, vocab, classes, train, val, test, told, read.read)


def describe_counts(groups: dict[str, list[str]]) -> str:
    """How many sequences there are of each class."""
    shown = ", ".join(f"{one_line(label, 30)} {len(lines):,}" for label, lines in list(groups.items())[:SHOWN_CLASSES])
    more = f", and {len(groups) - SHOWN_CLASSES} more" if len(groups) > SHOWN_CLASSES else ""
    return f"{len(groups)} classes: {shown}{more}"


def clean(groups: dict[str, list[str]], *, count_empty: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Leave out what is empty, what a class has twice, and what stands in two classes; say how much that was."""
    stripped = {label: [line.strip() for line in lines] for label, lines in groups.items()}
    filled = {label: [line for line in lines if line] for label, lines in stripped.items()}
    unique = {label: list(dict.fromkeys(lines)) for label, lines in filled.items()}
    owners = Counter(line for lines in unique.values() for line in lines)
    clean = {label: [line for line in lines if owners[line] == 1] for label, lines in unique.items()}
    twice = sum(map(len, filled.values())) - sum(map(len, unique.values()))
    shared = sum(1 for count in owners.values() if count > 1)
    notes = []
    empty = sum(map(len, groups.values())) - sum(map(len, filled.values()))
    if empty and count_empty:
        notes.append(f"{empty:,} sequences without text left out")
    if twice:
        notes.append(f"{twice:,} duplicates within a class left out, so that none is in two splits")
    if shared:
        notes.append(f"{shared:,} sequences that occur in two or more classes left out")
    longest = max((line for lines in clean.values() for line in lines), key=len, default="")
    if len(longest) > MAX_LENGTH:
        raise DataError(f"a sequence of {len(longest):,} characters is longer than the limit of {MAX_LENGTH:,}")
    return clean, notes


def _split(
    groups: dict[str, list[str]], config: DataConfig, name: str
) -> tuple[list[tuple[str, int]], list[tuple[str, int]], list[tuple[str, int]]]:
    """Train, validation and test, each with every class's share; the shuffle depends on `split_seed` alone."""
    rng = np.random.Generator(np.random.PCG64(config.split_seed))
    train: list[tuple[str, int]] = []
    val: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for index, (label, lines) in enumerate(groups.items()):
        parts = divided(lines, config, rng)
        if not parts[0]:
            raise DataError(
                f"class '{one_line(label, 60)}' of {name} has {sum(map(len, parts))} sequences to split, too few for "
                "this --val-fraction and --test-fraction; lower them, or leave the class out with --classes"
            )
        for split, part in zip((train, val, test), parts, strict=True):
            split += [(line, index) for line in part]
    return train, val, test


def macro_f1(confusion: "np.ndarray[Any, np.dtype[np.int64]]") -> float:
    """Mean over the classes of F1, the harmonic mean of precision and recall; `confusion` [true, guessed]."""
    right = np.diag(confusion).astype(float)
    total = confusion.sum(0) + confusion.sum(1)
    return float(np.mean(np.divide(2 * right, total, out=np.zeros_like(right), where=total > 0)))


def calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: mean |accuracy − confidence| over equal bins of confidence, weighted by their size.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    p, ok = np.asarray(confidence, float), np.asarray(right, float)
    which = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [
        abs(ok[which == b].mean() - p[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
