"""Vocabularies: text to token ids and back, for characters, bytes, words and subwords.

Ids 0..len-1 are the symbols in order. Character and word vocabularies end with one more slot, `unk`,
for what they do not know: encoding never fails, and what was unknown can be listed. The network
starts with a zero input row for `unk`, so an unknown symbol adds nothing but the bias.
"""

import codecs
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError
from tuirnn.subwords import Merges, Splitter, tokens_of

Ids = npt.NDArray[np.int64]

Tokens = npt.NDArray[np.integer[Any]]
"""Ids in any type that holds them: a long text lies on the disk in the smallest one."""

KINDS = ("char", "byte", "word", "bpe", "point")
"""What a token is. A series has points, numbers that no symbol stands for: its vocabulary is empty."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
MAX_SYMBOLS = 2_000_000

WORDS = 10_000
"""Largest word vocabulary where no size is given."""

JOINERS = "\u200c\u200d"
"""What stands inside words of some scripts beside combining marks."""


@cache
def _marks() -> str:
    """The combining marks and joiners, as a class of a regular expression has them."""
    every = "".join("M" if _is_mark(chr(at)) else " " for at in range(sys.maxunicode + 1))
    return "".join(f"{chr(run.start())}-{chr(run.end() - 1)}" for run in re.finditer("M+", every))


@cache
def _run(marked: bool) -> str:
    """The expression of a run of characters that words are made of.

    In many scripts, such as that of Hindi, words hold combining marks. A vocabulary takes them for parts of words if it
    has such a word; those of earlier versions have none, and read texts as they always did.
    """
    return rf"[\w{_marks()}]+" if marked else r"\w+"


@cache
def _word(marked: bool) -> re.Pattern[str]:
    """The expression of one piece of a text: a word, white space, or any other character."""
    run = _run(marked)
    return re.compile(rf"{run}|\s|[^\s]")


def _is_mark(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character)[0] == "M"


def _has_marks(pieces: Iterable[str]) -> bool:
    """Whether one of some pieces holds a mark beside other characters."""
    return any(len(piece) > 1 and not piece.isascii() and any(map(_is_mark, piece)) for piece in pieces)


@dataclass(frozen=True)
class Vocabulary:
    """Symbols of one kind; `symbols[i]` is what token `i` stands for.

    Attributes:
        kind: one of `KINDS`.
        symbols: distinct symbols in id order; empty for 'byte', whose ids are the byte values, 'bpe' and 'point'.
        merges: of 'bpe', whose ids are the byte values and then the merges; see `tuirnn.subwords`.
    """

    kind: str
    symbols: tuple[str, ...] = ()
    merges: Merges = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"vocabulary kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if len(set(self.symbols)) != len(self.symbols) or len(self.symbols) > MAX_SYMBOLS:
            raise DataError(f"vocabulary symbols must be distinct and at most {MAX_SYMBOLS:,}")
        if self.kind in ("byte", "bpe", "point") and self.symbols:
            raise DataError(f"a {self.kind} vocabulary lists no symbols of its own")
        if self.merges and self.kind != "bpe":
            raise DataError(f"a {self.kind} vocabulary has no merges")
        if self.kind in ("byte", "bpe"):
            object.__setattr__(self, "_tokens", tokens_of(self.merges))
            object.__setattr__(self, "_splitter", Splitter(self.merges))
        if self.kind == "char" and any(len(symbol) != 1 for symbol in self.symbols):
            raise DataError("each symbol of a character vocabulary is one character")
        object.__setattr__(self, "_index", {symbol: i for i, symbol in enumerate(self.symbols)})
        if self.kind == "char":
            points = _code_points("".join(self.symbols))
            order = np.argsort(points)
            object.__setattr__(self, "_sorted", (points[order], order.astype(np.int64)))

    @classmethod
    def build(cls, text: str, kind: str, limit: int = MAX_SYMBOLS) -> "Vocabulary":
        """The vocabulary of `text`: all its characters in code point order, or its `limit` commonest words."""
        if kind == "byte":
            return cls("byte")
        if kind == "bpe":
            raise DataError("--tokens bpe is for language models; use char, byte or word")
        if kind == "char":
            return cls("char", tuple(sorted(set(text))))
        marked = not text.isascii() and any(map(_is_mark, set(text)))
        counts = Counter(_word(marked).findall(text))
        return cls("word", tuple(sorted(word for word, _ in counts.most_common(limit))))

    @classmethod
    def from_json(cls, value: object) -> "Vocabulary":
        """Read what `to_json` wrote; raises DataError for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise DataError("a vocabulary is an object with 'kind' and 'symbols'")
        symbols = value.get("symbols", [])
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise DataError("vocabulary 'symbols' must be a list of strings")
        merges = value.get("merges", [])
        if not isinstance(merges, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in merges):
            raise DataError("vocabulary 'merges' must be a list of pairs")
        if merges:
            return cls(value["kind"], tuple(symbols), tuple((one, two) for one, two in merges))
        return _listed(value["kind"], tuple(symbols))

    def grown(self, other: "Vocabulary") -> "Vocabulary":
        """This vocabulary with the further symbols of another one of its kind after its own; of bytes it has all."""
        if self.of_bytes:
            return self
        return Vocabulary(self.kind, tuple(dict.fromkeys((*self.symbols, *other.symbols))))

    def ids_in(self, other: "Vocabulary") -> Ids:
        """The id of each token in another vocabulary of this kind, int64 [len]; `unk` where that lacks it."""
        if other.unk is None:
            return np.arange(len(self))
        index: dict[str, int] = other._index  # type: ignore[attr-defined]
        return np.array([*(index.get(symbol, other.unk) for symbol in self.symbols), other.unk], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `run.json` and the cell file."""
        merges = {"merges": [list(pair) for pair in self.merges]} if self.kind == "bpe" else {}
        return {"kind": self.kind, "symbols": list(self.symbols), **merges}

    @cached_property
    def marked(self) -> bool:
        """Whether its words hold combining marks."""
        return self.kind == "word" and _has_marks(self.symbols)

    @property
    def unk(self) -> int | None:
        """Id of the slot for unknown symbols; None for bytes, which are all known, and where there are none."""
        return None if self.kind in ("byte", "bpe", "point") else len(self.symbols)

    @property
    def of_bytes(self) -> bool:
        """Whether tokens are pieces of UTF-8, which need not be whole characters; see `token_bytes`."""
        return self.kind in ("byte", "bpe")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of a token, where `of_bytes`."""
        tokens: tuple[bytes, ...] = self._tokens  # type: ignore[attr-defined]
        return tokens[token]

    def __len__(self) -> int:
        return {"byte": 256, "bpe": 256 + len(self.merges), "point": 0}.get(self.kind, len(self.symbols) + 1)

    def encode(self, text: str) -> Ids:
        """Token ids of `text`, int64 [n]; unknown symbols become `unk`, lone surrogates `?` bytes."""
        if self.kind == "byte":
            return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)
        if self.kind == "bpe":
            splitter: Splitter = self._splitter  # type: ignore[attr-defined]
            return np.array(splitter.split(text.encode("utf-8", "replace")), np.int64)
        unk = len(self.symbols)
        if self.kind == "char":
            if not unk:
                return np.zeros(len(text), dtype=np.int64)
            known, ids = self._sorted  # type: ignore[attr-defined]
            points = _code_points(text)
            slot = np.minimum(np.searchsorted(known, points), unk - 1)
            return np.where(known[slot] == points, ids[slot], unk).astype(np.int64)
        index: dict[str, int] = self._index  # type: ignore[attr-defined]
        pieces = self.words(text)
        return np.fromiter((index.get(piece, unk) for piece in pieces), dtype=np.int64, count=len(pieces))

    def words(self, text: str) -> list[str]:
        """The pieces of `text` that a word vocabulary takes for its symbols; together they are all of it."""
        return _word(self.marked).findall(text)

    def starts(self, text: str) -> Ids:
        """The character of `text` in which each of its tokens begins, int64 [n]."""
        if self.kind == "word":
            return np.fromiter((piece.start() for piece in _word(self.marked).finditer(text)), dtype=np.int64)
        characters = np.arange(len(text))
        if self.kind == "char":
            return characters
        widths = np.array([len(character.encode("utf-8", "replace")) for character in text], dtype=np.int64)
        bytes_of = np.repeat(characters, widths)
        if self.kind == "byte":
            return bytes_of
        lengths = [len(self.token_bytes(token)) for token in self.encode(text).tolist()]
        return bytes_of[np.cumsum([0, *lengths])[:-1]] if lengths else bytes_of

    def unknown(self, text: str) -> list[str]:
        """The distinct symbols of `text` that this vocabulary does not know, in order of appearance."""
        if self.of_bytes:
            return []
        index: dict[str, int] = self._index  # type: ignore[attr-defined]
        pieces: Sequence[str] = text if self.kind == "char" else self.words(text)
        return list(dict.fromkeys(piece for piece in pieces if piece not in index))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; incomplete UTF-8 and `unk` become the replacement character."""
        if self.of_bytes:
            return b"".join(self.token_bytes(int(i)) for i in ids).decode("utf-8", "replace")
        return "".join(self.symbol(int(i)) for i in ids)

    def symbol(self, token: int) -> str:
        """What one token stands for; a lone byte above 127 has no character of its own."""
        if self.of_bytes:
            return self.token_bytes(token).decode("utf-8", "replace")
        return self.symbols[token] if token < len(self.symbols) else UNKNOWN


@lru_cache(maxsize=64)  # 1,000 runs are listed within a second, and most of them have read the same text
def _listed(kind: str, symbols: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(kind, symbols)


def word_ranges(marked: bool = False) -> list[tuple[int, int]]:
    """The characters that words are made of, as ranges of code points, first and last; every other one stands alone.

    Args:
        marked: of a vocabulary whose words hold combining marks; see `Vocabulary.marked`.
    """
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    return [(run.start(), run.end() - 1) for run in re.finditer(_run(marked), every)]


def opening(vocab: Vocabulary) -> int:
    """A newline where the vocabulary has one, else its first symbol: what a text begins after."""
    ids = vocab.encode("\n")
    return int(ids[0]) if len(ids) == 1 and ids[0] != vocab.unk else 0


def code_points(vocab: Vocabulary, ids: Tokens, size: int = 2**20) -> Iterator[npt.NDArray[np.uint32]]:
    """The text of ids [n] as the code points of its characters, so many tokens at a time; see `Vocabulary.decode`."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    symbols = np.array([*vocab.symbols, UNKNOWN], object)
    table = None if vocab.kind != "char" else _code_points("".join([*vocab.symbols, UNKNOWN]))
    for first in range(0, len(ids), size):
        piece = ids[first : first + size]
        if table is not None:
            yield table[piece]
        elif vocab.of_bytes:
            data = (
                b"".join(map(vocab.token_bytes, piece.tolist())) if vocab.merges else piece.astype(np.uint8).tobytes()
            )
            yield _code_points(utf8.decode(data, first + size >= len(ids)))
        else:
            yield _code_points("".join(symbols[piece].tolist()))


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
