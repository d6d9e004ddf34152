"""A text as token ids: encoded once, piece by piece, and from then on mapped into memory.

A text of a few megabytes is encoded anew each time and lies in memory. A longer one is kept in the user's cache folder
(see `kept`), in the smallest type that holds its ids. No more than a few pieces of it are in memory at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuirnn.errors import DataError, one_line
from tuirnn.piecework import Progress
from tuirnn.tasks.lm import stretches
from tuirnn.tasks.lm.corpus import coding, kept
from tuirnn.tasks.lm.corpus.parts import Part
from tuirnn.tasks.lm.corpus.reading import Reading, Wanted, described, encodings
from tuirnn.vocab import Tokens, Vocabulary

IN_MEMORY = 4 * 2**20
"""Bytes up to which a text is encoded anew each time."""


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    Attributes:
        sha256: of the files' bytes, a newline between two.
        vocab: its vocabulary.
        ids: tokens [n].
        unknown: how many of them the vocabulary lacks.
        strange: characters that it lacks, the first thousand.
        notes: on reading it, a line each.
        read: how its files were read, for a run's record.
        key: under which it is kept; empty for one in memory.
    """

    sha256: str
    vocab: Vocabulary
    ids: Tokens
    unknown: int = 0
    strange: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    read: dict[str, Any] = field(default_factory=dict)
    key: str = ""


def less_copies(corpus: Corpus, train: Tokens, val: Tokens) -> Tokens:
    """The training part without what stands word for word in the held-out part; kept on the disk as the corpus is.

    Raises:
        DataError: nothing is left, or the disk is full.
    """
    if not corpus.key:
        left = [*stretches.without(train, val)]
        return np.concatenate(left) if left else train[:0]
    name = kept.key("without copies", corpus.key, len(train), len(val), len(corpus.ids))
    if found := kept.find(name):
        return found.ids
    with kept.building() as file, Progress("leaving out copies of what is held out", len(train)) as progress:
        for piece in stretches.without(train, val, progress):
            file.write(piece.data)
        if not file.tell():
            return train[:0]
        return kept.publish(name, file, {"tokens": file.tell() // train.itemsize, "dtype": train.dtype.name})


def open_corpus(parts: Sequence[Part], wanted: Wanted) -> Corpus:
    """The tokens of some files: mapped where they were encoded before, else encoded now.

    Raises:
        DataError: unreadable files, an encoding that cannot be told, a disk that is full.
    """
    try:
        small = sum(part.size for part in parts) <= IN_MEMORY
        return _encoded(parts, wanted) if small else _mapped(parts, wanted)
    except OSError as error:
        raise DataError(f"cannot read {one_line(error.filename or parts[0].label)}: {error.strerror}") from None


def _encoded(parts: Sequence[Part], wanted: Wanted) -> Corpus:
    reading = Reading(parts, wanted, Progress("", 0))
    reading.find_vocabulary()
    pieces: list[Tokens] = []
    reading.encode(pieces.append)
    notes, read = ((), {}) if wanted.kind == "byte" else described(parts, encodings(parts))
    return Corpus(
        reading.sha256, reading.vocab, np.concatenate(pieces), reading.unknown, reading.strange,
        (*notes, *reading.notes), read,
    )  # fmt: skip


def _mapped(parts: Sequence[Part], wanted: Wanted) -> Corpus:
    before = [part.identity() for part in parts]
    listing = wanted.key(before)
    if (known := kept.recall(listing)) and (found := kept.find(str(known.get("name")))):
        return _opened(parts, wanted, found, known.get("notes", ()))
    passes = 1 if wanted.kind == "byte" else 2
    with Progress(f"reading {parts[0].label}", passes * sum(part.size for part in parts)) as progress:
        reading = Reading(parts, wanted, progress)
        if reading.at_once:
            found, having = _build(reading), wanted.having(reading.vocab)
        else:
            having = wanted.having(reading.find_vocabulary())
            found = kept.find(having.key(reading.sha256)) or _build(reading)
        name = having.key(reading.sha256)
    if [part.identity() for part in parts] != before:
        raise DataError(f"{parts[0].label} has changed while it was being read; try again when nothing writes to it")
    changed = max(part.changed() for part in parts)
    kept.note(listing, changed, {"name": name, "notes": reading.notes})
    kept.note(having.key(before), changed, {"name": name})
    return _opened(parts, having, found, reading.notes)


def _build(reading: Reading) -> kept.Kept:
    with kept.building() as file:
        reading.encode(lambda ids: file.write(ids.data))
        size, dtype = file.tell(), coding.smallest(len(reading.vocab))
        about = {
            "tokens": size // dtype.itemsize, "dtype": dtype.name, "vocab": reading.vocab.to_json(),
            "sha256": reading.sha256, "unknown": reading.unknown, "strange": reading.strange,
            "encodings": encodings(reading.parts),
        }  # fmt: skip
        ids = kept.publish(reading.wanted.having(reading.vocab).key(reading.sha256), file, about)
    return kept.Kept(ids, about)


def _opened(parts: Sequence[Part], wanted: Wanted, found: kept.Kept, notes: Sequence[str]) -> Corpus:
    about = found.about
    vocab = wanted.vocab or Vocabulary.from_json(about["vocab"])
    how, read = ((), {}) if vocab.kind == "byte" else described(parts, about["encodings"])
    return Corpus(
        str(about["sha256"]), vocab, found.ids, int(about["unknown"]), tuple(about["strange"]), (*how, *notes), read,
        wanted.having(vocab).key(about["sha256"]),
    )  # fmt: skip
