"""Pieces of UTF-8 to counted symbols, and to token ids: arrays all the way, so that two threads share the work."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.subwords import FastSplitter, Splitter, installed
from tuirnn.tasks.lm.corpus.parts import PIECE
from tuirnn.vocab import Tokens, Vocabulary, word_ranges

POINTS = 0x110000
"""Code points of Unicode."""

MOST_WORDS = 2**20
"""Different words that are counted side by side, or four times the vocabulary; of more the rarest are forgotten."""

MOST_STRANGE = 1_000
"""Unknown characters that are listed."""

WHITE = b"\t\n\v\f\r "
"""The white space that subwords are cut before."""

Points = npt.NDArray[np.unsignedinteger[Any]]


def smallest(symbols: int) -> "np.dtype[Any]":
    """The smallest type of ids for so many symbols, the unknown one among them."""
    return np.min_scalar_type(max(0, symbols - 1))


def code_points(piece: bytes) -> Points:
    """The characters of a piece of UTF-8, [n]; raises UnicodeDecodeError."""
    if piece.isascii():
        return np.frombuffer(piece, np.uint8)
    return np.frombuffer(piece.decode().encode("utf-32-le"), "<u4")


# ── where a piece may end ─────────────────────────────────────────────────────


def regrouped(pieces: Iterator[bytes], kind: str, size: int = PIECE) -> Iterator[bytes]:
    """The same bytes in pieces of about `size`, none of which ends inside a token.

    Args:
        pieces: cut anywhere.
        kind: of the tokens.
    """
    cut = {"byte": len, "char": _whole_characters, "word": _whole_words, "bpe": _whole_pieces}[kind]
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= size:
            data = b"".join(waiting)
            end = cut(data)
            if end:
                yield data[:end]
            waiting, length = [data[end:]], len(data) - end
    if length:
        yield b"".join(waiting)


def _whole_characters(data: bytes) -> int:
    """Before the last character where it is cut: the end of whole ones."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] & 0xC0 != 0x80:  # the first byte of the last character
            return len(data) - back
    return len(data)  # no UTF-8; decoding says so


def _whole_words(data: bytes) -> int:
    """After the last white space: nothing after it belongs to a word before."""
    return max(data.rfind(b" "), data.rfind(b"\n")) + 1


def _whole_pieces(data: bytes) -> int:
    """Before the last white space that follows something else; see `tuirnn.subwords`."""
    end = len(data.rstrip(WHITE))
    while end > 0:
        end = max(data.rfind(bytes([space]), 0, end) for space in WHITE)
        if end > 0 and data[end - 1] not in WHITE:
            return end
    return 0


# ── counting ──────────────────────────────────────────────────────────────────


def count_characters(piece: bytes) -> npt.NDArray[np.int64]:
    """How often each code point is in a piece, up to the highest in it."""
    return np.bincount(code_points(piece))


class CharacterCounts:
    """How often each character is in a text."""

    def __init__(self) -> None:
        self.counts = np.zeros(POINTS, np.int64)

    def add(self, found: npt.NDArray[np.int64]) -> None:
        """What `count_characters` found in the next piece."""
        self.counts[: len(found)] += found

    def commonest(self, limit: int) -> tuple[list[str], int]:
        """The commonest characters in code point order, and how many different ones there are."""
        there = np.flatnonzero(self.counts)
        kept = there[np.argsort(-self.counts[there], kind="stable")[:limit]]
        return [chr(point) for point in np.sort(kept)], len(there)

    def needed(self, share: float) -> int:
        """How many of the commonest characters make up this share of the text."""
        counts = np.sort(self.counts[self.counts > 0])[::-1]
        return int(np.searchsorted(np.cumsum(counts), share * counts.sum())) + 1


@cache
def _in_words(marked: bool) -> npt.NDArray[np.bool_]:
    """Which code points words are made of; `marked`: combining marks too, see `Vocabulary.marked`."""
    table = np.zeros(POINTS, bool)
    for first, last in word_ranges(marked):
        table[first : last + 1] = True
    return table


@cache
def _ascii_in_words() -> npt.NDArray[np.bool_]:
    """As `_in_words`, of the 128 characters of ASCII."""
    return np.array([chr(point).isalnum() or chr(point) == "_" for point in range(128)])


@cache
def _arrow() -> Any:
    """PyArrow with the C library's allocator: its own keeps what was freed, out of `give_back_freed_memory`'s reach."""
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    return pyarrow


def words(piece: bytes, marked: bool = False) -> Any:
    """The words of a piece and what stands between them, as `Vocabulary` cuts a text: an Arrow array over its bytes."""
    pa = _arrow()
    points = code_points(piece)
    inside = (_ascii_in_words() if points.dtype == np.uint8 else _in_words(marked))[points]
    begins = np.ones(len(points), bool)
    np.logical_and(inside[1:], inside[:-1], out=begins[1:])
    np.logical_not(begins[1:], out=begins[1:])
    places = np.flatnonzero(begins)
    if points.dtype != np.uint8:
        widths = 1 + (points >= 0x80).astype(np.int32) + (points >= 0x800) + (points >= 0x10000)
        places = (np.cumsum(widths, dtype=np.int32) - widths)[places]
    offsets = np.append(places.astype(np.int32), np.int32(len(piece)))
    return pa.StringArray.from_buffers(len(places), pa.py_buffer(offsets), pa.py_buffer(piece))


def count_words(piece: bytes) -> tuple[list[str], list[int]]:
    """The different words of a piece in order of appearance, and how often each is there."""
    import pyarrow.compute as pc

    found = pc.value_counts(words(piece, marked=True))  # where a text has no marks it is the same
    return found.field("values").to_pylist(), found.field("counts").to_pylist()


class WordCounts:
    """How often each word is in a text, of which the `limit` commonest are wanted."""

    def __init__(self, limit: int) -> None:
        self.counts: Counter[str] = Counter()
        self.limit, self.most = limit, max(MOST_WORDS, 4 * limit)
        self.forgotten = 0

    def add(self, found: tuple[list[str], list[int]]) -> None:
        """What `count_words` found in the next piece."""
        counts = self.counts
        for word, count in zip(*found, strict=True):
            counts[word] += count
        if len(counts) > self.most:
            least = sorted(counts.values(), reverse=True)[self.most // 2]
            self.counts = Counter({word: count for word, count in counts.items() if count > least})
            self.forgotten += len(counts) - len(self.counts)

    def commonest(self) -> list[str]:
        """The commonest words, sorted; of equally common ones those that came first."""
        return sorted(word for word, _ in self.counts.most_common(self.limit))


# ── encoding ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Encoded:
    """The tokens of a piece.

    Attributes:
        ids: tokens [n].
        unknown: how many of them the vocabulary lacks.
        strange: the different characters that it lacks, in order of appearance; none are listed for words.
    """

    ids: Tokens
    unknown: int = 0
    strange: tuple[str, ...] = ()


def encoder(vocab: Vocabulary) -> Callable[[bytes], Encoded]:
    """A function from pieces of UTF-8 to their tokens; from several threads."""
    kind = smallest(len(vocab))
    if vocab.kind == "byte":
        return lambda piece: Encoded(np.frombuffer(piece, np.uint8))
    if vocab.kind in ("word", "bpe"):
        return (_word_encoder if vocab.kind == "word" else _subword_encoder)(vocab, kind)
    table = np.full(POINTS, len(vocab.symbols), kind)
    table[[ord(symbol) for symbol in vocab.symbols]] = np.arange(len(vocab.symbols))

    def encode(piece: bytes) -> Encoded:
        """Characters, those that the vocabulary lacks as the unknown one."""
        points = code_points(piece)
        ids = table[points]
        lacking = ids == vocab.unk
        unknown = int(np.count_nonzero(lacking))
        if not unknown:
            return Encoded(ids)
        different, first = np.unique(points[lacking], return_index=True)
        order = np.argsort(first)[:MOST_STRANGE]
        return Encoded(ids, unknown, tuple(chr(point) for point in different[order]))

    return encode


def _word_encoder(vocab: Vocabulary, kind: "np.dtype[Any]") -> Callable[[bytes], Encoded]:
    """As `encoder`, for words; `kind`: type of the tokens."""
    import pyarrow.compute as pc

    pa = _arrow()
    known = pa.array([symbol.encode("utf-8", "surrogatepass") for symbol in vocab.symbols], pa.binary())
    unk = len(vocab.symbols)

    def encode(piece: bytes) -> Encoded:
        """Words, looked up by their bytes all at once."""
        found = pc.index_in(words(piece, vocab.marked).cast(pa.binary()), value_set=known)
        ids = found.fill_null(unk).to_numpy(zero_copy_only=False).astype(kind)
        return Encoded(ids, int(found.null_count))

    return encode


def _pieces(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Where the pieces of `tuirnn.subwords` begin, and the end."""
    kinds = _KINDS_OF_BYTES[data]
    begins = np.ones(len(data) + 1, bool)
    np.not_equal(kinds[1:], kinds[:-1], out=begins[1:-1])
    led = np.flatnonzero((data[:-1] == ord(" ")) & (kinds[1:] > 0)) + 1  # a space goes with what follows
    begins[led] = False
    begins[led - 1] = True
    return np.flatnonzero(begins).astype(np.int32)


_KINDS_OF_BYTES = np.full(256, 3, np.uint8)
"""White space 0, letters 1, digits 2, others 3."""
_KINDS_OF_BYTES[list(WHITE)] = 0
_KINDS_OF_BYTES[[byte for byte in range(256) if byte > 127 or chr(byte).isalpha()]] = 1
_KINDS_OF_BYTES[list(b"0123456789")] = 2


def _subword_encoder(vocab: Vocabulary, kind: "np.dtype[Any]") -> Callable[[bytes], Encoded]:
    """As `encoder`, for subwords; `kind`: type of the tokens."""
    pa = _arrow()
    slow = Splitter(vocab.merges)
    split = FastSplitter(vocab.merges).pieces if installed() else lambda pieces: [*map(slow.piece, pieces)]

    def encode(piece: bytes) -> Encoded:
        """Subwords: each different piece is split once, and its tokens are copied to where it stands."""
        if not piece:
            return Encoded(np.zeros(0, kind))
        offsets = _pieces(np.frombuffer(piece, np.uint8))
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(piece)]
        found = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers).dictionary_encode()
        tokens = split(found.dictionary.to_pylist())  # of each different piece
        lengths = np.array([*map(len, tokens)])
        flat = np.fromiter(chain.from_iterable(tokens), kind)
        which = found.indices.to_numpy()
        many = lengths[which]
        shift = (np.cumsum(lengths) - lengths)[which] - (np.cumsum(many) - many)
        return Encoded(flat[np.repeat(shift, many) + np.arange(many.sum())])

    return encode
