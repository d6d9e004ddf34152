"""Files to a vocabulary and tokens: what is done where nothing has been kept."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tuirnn.errors import DataError
from tuirnn.piecework import WORKERS, Progress, in_order
from tuirnn.subwords import Merges, learn
from tuirnn.tables.encodings import Encoding
from tuirnn.tasks.lm.corpus import coding, kept
from tuirnn.tasks.lm.corpus.lines import shuffled_lines
from tuirnn.tasks.lm.corpus.parts import NotPlainError, Part, joined, joined_raw, with_encodings_settled
from tuirnn.tasks.sources import MOST_FILES
from tuirnn.vocab import WORDS, Tokens, Vocabulary

CHARACTERS, COVERED = 1_024, 0.9999
"""Of more different characters than these, so many are kept as make up this share of the text."""

SUBWORDS = 4_096
"""Size of a vocabulary of subwords where none is given."""

LEARNED = 16 * 2**20
"""Bytes that subwords are learned from, about; of a longer text some pieces are left out."""

SMALL = 2 * 2**20
"""Bytes up to which one thread is enough."""

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """What is to be made of a text.

    Attributes:
        kind: of the tokens.
        limit: largest vocabulary; 0: see `WORDS` and `CHARACTERS`.
        vocab: that of an existing run; None: one is built.
        encoding: of the files, as given.
        shuffled: seed of the order of its lines; None: they stay as they are.
        share: of the text, from its beginning, that subwords are learned from.
    """

    kind: str
    limit: int = 0
    vocab: Vocabulary | None = None
    encoding: str = ""
    shuffled: int | None = None
    share: float = 1.0

    def having(self, vocab: Vocabulary) -> "Wanted":
        """The same with this vocabulary."""
        return replace(self, kind=vocab.kind, limit=0, vocab=vocab, share=1.0)

    def key(self, *more: Any) -> str:
        """A `kept.key` of this and further plain values."""
        vocab = self.vocab and kept.key(self.vocab.to_json())
        return kept.key(self.kind, self.limit, vocab, self.encoding, self.shuffled, self.share, *more)


class Reading:
    """Reads some files twice: for their hash and vocabulary, then for their tokens.

    Args:
        parts: the files.
        wanted: what is made of them.
        progress: is told what was read.

    Attributes:
        sha256: of the files' bytes, a newline between two; known after `find_vocabulary`.
        vocab: the same.
        notes: on the vocabulary, a line each.
        unknown, strange: of the tokens, see `Corpus`; known after `encode`.
    """

    def __init__(self, parts: Sequence[Part], wanted: Wanted, progress: Progress) -> None:
        self.parts, self.wanted, self.progress = parts, wanted, progress
        self.sha256 = ""
        self.vocab = wanted.vocab or Vocabulary("byte")
        self.notes: tuple[str, ...] = ()
        self.unknown = 0
        self.strange: tuple[str, ...] = ()
        self._threads = WORKERS if sum(part.size for part in parts) > SMALL else 1
        self._shuffled: bytes | None = None
        if wanted.encoding and wanted.kind != "byte":
            for part in parts:
                part.settle(wanted.encoding)

    @property
    def at_once(self) -> bool:
        """Whether `encode` needs no `find_vocabulary` before: bytes, which lie in the order of the files."""
        return self.vocab.kind == self.wanted.kind == "byte" and self.wanted.shuffled is None

    def find_vocabulary(self) -> Vocabulary:
        """Hash the files, and build the vocabulary unless one is given."""
        wanted, given = self.wanted, bool(self.wanted.vocab) or self.wanted.kind == "byte"
        if wanted.shuffled is not None:
            self._shuffled = shuffled_lines(self._read(b"".join), wanted.shuffled)
        elif given:
            self._read(lambda pieces: [None for _ in pieces], raw=True)
        if not given:
            make = {"char": self._characters, "word": self._words, "bpe": self._subwords}
            self.vocab = make[wanted.kind]()
        return self.vocab

    def encode(self, take: Callable[[Tokens], Any]) -> None:
        """Hand the tokens over, piece by piece; after `find_vocabulary` unless `at_once`.

        Raises:
            DataError: the files are no longer what they were then.
        """
        work, before = coding.encoder(self.vocab), self.sha256

        def use(pieces: Iterator[bytes]) -> None:
            """Encode the pieces in their order, and hand over each one's tokens."""
            strange: dict[str, None] = {}
            self.unknown = 0
            for found in in_order(work, coding.regrouped(pieces, self.vocab.kind), threads=self._threads):
                take(found.ids)
                self.unknown += found.unknown
                strange |= dict.fromkeys(found.strange)
            self.strange = tuple(strange)[: coding.MOST_STRANGE]

        self._read(use, raw=self.vocab.kind == "byte")
        if before and self.sha256 != before:
            raise DataError(
                f"{self.parts[0].label} has changed while it was being read; try again when nothing writes to it"
            )

    def _read(self, use: Callable[[Iterator[bytes]], T], *, raw: bool = False) -> T:
        """What `use` makes of the text in pieces, read anew for each file in another encoding than was thought."""
        if self._shuffled is not None:
            return use(iter([self._shuffled]))

        def work() -> T:
            """Read all files once, with the encodings that are thought to be theirs."""
            sha, done = hashlib.sha256(), self.progress.done
            try:
                made = use(self._told((joined_raw if raw else joined)(self.parts, sha)))
            except (NotPlainError, UnicodeDecodeError):
                self.progress.done = done
                raise
            self.sha256 = sha.hexdigest()
            return made

        return with_encodings_settled(self.parts, work)

    def _told(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, each reported as progress."""
        for piece in pieces:
            self.progress.add(len(piece))
            yield piece

    def _characters(self) -> Vocabulary:
        """The commonest characters: all, or as many as are wanted or make up nearly all of the text."""

        def use(pieces: Iterator[bytes]) -> coding.CharacterCounts:
            """Count the characters of all pieces."""
            counts = coding.CharacterCounts()
            for found in in_order(coding.count_characters, coding.regrouped(pieces, "char"), threads=self._threads):
                counts.add(found)
            return counts

        counts = self._read(use)
        symbols, there = counts.commonest(self.wanted.limit or max(CHARACTERS, counts.needed(COVERED)))
        if len(symbols) < there:
            share = counts.counts[[ord(symbol) for symbol in symbols]].sum() / counts.counts.sum()
            rest = f"the others, {100 * (1 - share):.2g} % of it, are read as unknown"
            keep = "" if self.wanted.limit else f"; --vocab-size {there} keeps all"
            self.notes = (
                f"of the text's {there:,} different characters the {len(symbols):,} commonest are kept; {rest}{keep}",
            )
        return Vocabulary("char", tuple(symbols))

    def _words(self) -> Vocabulary:
        """The commonest words, as many as are wanted."""

        def use(pieces: Iterator[bytes]) -> coding.WordCounts:
            """Count the words of all pieces."""
            counts = coding.WordCounts(self.wanted.limit or WORDS)
            for found in in_order(coding.count_words, coding.regrouped(pieces, "word"), threads=self._threads):
                counts.add(found)
            return counts

        counts = self._read(use)
        if counts.forgotten:
            self.notes = (
                f"more than {counts.most:,} different words: the rarest were dropped while counting, so the "
                "rarest words of the vocabulary are chosen by their counts in a part of the text",
            )
        return Vocabulary("word", tuple(counts.commonest()))

    def _subwords(self) -> Vocabulary:
        """Merges of bytes, learned from pieces spread over the part of the text that is trained on."""
        size = len(self._shuffled) if self._shuffled is not None else sum(part.size for part in self.parts)
        size = int(self.wanted.share * size)
        every = max(1, -(-size // LEARNED))

        def use(pieces: Iterator[bytes]) -> Merges:
            """Learn the merges from some of the pieces."""

            def learned_from() -> Iterator[str]:
                """Every so many pieces up to the end of the training part."""
                read = 0
                for number, piece in enumerate(coding.regrouped(pieces, "bpe")):
                    if read < size and number % every == 0:
                        yield piece[: size - read].decode("utf-8", "ignore" if read + len(piece) > size else "strict")
                    read += len(piece)

            return learn(learned_from(), self.wanted.limit or SUBWORDS)

        merges = self._read(use)
        if every > 1:
            self.notes = (f"subwords were learned from one in {every} pieces of the training part, spread evenly",)
        return Vocabulary("bpe", merges=merges)


def encodings(parts: Sequence[Part]) -> list[Any]:
    """How each file was read, plain values; None for plain UTF-8."""
    return [part.encoding and [part.encoding.name, part.encoding.mark, part.encoding.how, part.lost] for part in parts]


def described(parts: Sequence[Part], found: Sequence[Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """How files were read: what is worth telling, a line each; and the same for a run's record.

    Args:
        parts: the files.
        found: their `encodings`.
    """
    notes: list[str] = []
    read = []
    for part, values in zip(parts, found, strict=True):
        encoding, lost = (Encoding(*values[:3]), values[3]) if values else (Encoding("utf-8"), 0)
        read.append({"name": part.label, "encoding": encoding.name})
        if encoding.told:
            notes.append(f"{part.label}: {encoding.told}")
        if lost:
            notes.append(f"{part.label}: {lost:,} bytes have no character in {encoding.name}, read as �")
    return tuple(notes), {"files": read[:MOST_FILES], "count": len(read)}
