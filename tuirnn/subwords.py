"""Subword tokens: pairs of tokens that were merged because they are common, beginning with bytes.

A text in UTF-8 is first cut into pieces: runs of letters (a to z, A to Z and all bytes from 128 on), of digits, of
other signs, each with a space before it if there is one, and of the white space that is left. Inside a piece bytes are
tokens at first, and then the pair that stands first in the list of merges is replaced by its merge, everywhere from the
left, until no pair is in the list. Token 256 + k is merge k. (Sennrich, Haddow, Birch: Neural Machine Translation of
Rare Words with Subword Units, ACL 2016, on bytes.)
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tuirnn.errors import DataError

Merges = tuple[tuple[int, int], ...]
"""Pairs of tokens, each of them a byte or an earlier merge."""

WHITE, DIGITS, LETTERS = rb"\t-\r ", rb"0-9", rb"a-zA-Z\x80-\xff"

PIECE = re.compile(
    rb" ?(?:[%b]+|[%b]+|[^%b]+)|[%b]+(?= [^%b])|[%b]+" % (LETTERS, DIGITS, LETTERS + DIGITS + WHITE, *[WHITE] * 3)
)
"""The piece that begins here."""

MOST_PIECES = 2**16
"""Pieces whose tokens are remembered."""


def tokens_of(merges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    """The bytes of each token, those of single bytes first; raises DataError for a list that is none of merges."""
    tokens = [bytes([value]) for value in range(256)]
    for pair in merges:
        if not all(type(token) is int and 0 <= token < len(tokens) for token in pair) or len(pair) != 2:
            raise DataError("each merge is a pair of bytes or earlier merges")
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        if len(tokens[-1]) > 256:
            raise DataError("no merge is longer than 256 bytes")
    if len(set(tokens)) != len(tokens):
        raise DataError("two merges give the same bytes")
    return tuple(tokens)


class Splitter:
    """Cuts bytes into tokens.

    Args:
        merges: in the order in which they were found.
    """

    def __init__(self, merges: Merges) -> None:
        self._merged = {pair: 256 + rank for rank, pair in enumerate(merges)}
        self._known: dict[bytes, list[int]] = {}

    def split(self, data: bytes) -> list[int]:
        """The tokens of a text in UTF-8."""
        return [token for piece in PIECE.findall(data) for token in self.piece(piece)]

    def piece(self, piece: bytes) -> list[int]:
        """The tokens of a single piece."""
        if (known := self._known.get(piece)) is not None:
            return known
        ids, merged, none = list(piece), self._merged, len(self._merged) + 256
        while len(ids) > 1:
            best = min(merged.get(pair, none) for pair in itertools.pairwise(ids))
            if best == none:
                break
            ids = [*_replaced(ids, best, merged)]
        if len(self._known) < MOST_PIECES:
            self._known[piece] = ids
        return ids


def _replaced(ids: list[int], wanted: int, merged: dict[tuple[int, int], int]) -> Iterator[int]:
    at = 0
    while at < len(ids):
        if at + 1 < len(ids) and merged.get((ids[at], ids[at + 1])) == wanted:
            yield wanted
            at += 2
        else:
            yield ids[at]
            at += 1


def learn(texts: Iterable[str], size: int) -> Merges:
    """The merges of a vocabulary of `size` tokens, bytes included, by Hugging Face's `tokenizers`.

    Args:
        texts: a text, cut between its pieces.
        size: fewer where the text has no more pairs that come twice.
    Raises:
        DataError: `tokenizers` is not installed.
    """
    tokenizers = _library()
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    pattern = PIECE.pattern.replace(rb"\x80-\xff", rb"\x{80}-\x{10ffff}").decode()
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    to_bytes = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([cut, to_bytes])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(size, 256),
        initial_alphabet=sorted(_ALPHABET),
        min_frequency=2,
        show_progress=False,
        max_token_length=64,
    )
    library.train_from_iterator(texts, trainer)
    number = {char: value for value, char in enumerate(_ALPHABET)}
    merges: list[tuple[int, int]] = []
    for one, two in json.loads(library.to_str())["model"]["merges"]:
        if one + two not in number:
            merges.append((number[one], number[two]))
            number[one + two] = len(number)
    return tuple(merges)


class FastSplitter:
    """As `Splitter`, by Hugging Face's `tokenizers`, for many pieces at once; the same tokens, many times as fast."""

    def __init__(self, merges: Merges) -> None:
        tokenizers = _library()
        names = ["".join(_ALPHABET[value] for value in token) for token in tokens_of(merges)]
        model = tokenizers.models.BPE(
            vocab={name: i for i, name in enumerate(names)}, merges=[(names[one], names[two]) for one, two in merges]
        )
        self._library = tokenizers.Tokenizer(model)
        self._library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def pieces(self, pieces: list[bytes]) -> list[list[int]]:
        """The tokens of each piece."""
        found = self._library.encode_batch_fast([piece.decode() for piece in pieces], add_special_tokens=False)
        return [one.ids for one in found]


def installed() -> bool:
    """Whether Hugging Face's `tokenizers` is there."""
    try:
        _library()
    except DataError:
        return False
    return True


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise DataError("--tokens bpe needs the package tokenizers: pip install 'tuirnn[bpe]'") from None
    return tokenizers


def _alphabet() -> tuple[str, ...]:
    """The character that stands for each byte in `tokenizers`: itself where it is printable, else one from 256 on."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(value) if value in plain else chr(next(others)) for value in range(256))


_ALPHABET = _alphabet()
