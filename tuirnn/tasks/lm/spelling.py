"""What the tokens of a text stand for in characters: losses of different vocabularies become bits per character.

A vocabulary that knows few symbols has an easy task: most of its tokens are 'unknown'. So that this does not look good,
each unknown symbol is charged with what it takes to spell it, 8 bits for each byte of its UTF-8 form.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tuirnn.vocab import Tokens, Vocabulary

BITS = 8
"""Of a byte of an unknown symbol."""


@dataclass(frozen=True)
class Spelling:
    """Of the tokens that are predicted in a text: all but the first.

    Attributes:
        tokens: how many.
        characters: that they stand for.
        unknown: how many of them are unknown.
        unknown_bytes: of the unknown ones in UTF-8.
    """

    tokens: int
    characters: int
    unknown: int = 0
    unknown_bytes: int = 0

    @classmethod
    def from_json(cls, value: object) -> "Spelling | None":
        """Read what `vars` of one gives; None for anything else."""
        if not isinstance(value, Mapping):
            return None
        numbers = [value.get(name) for name in ("tokens", "characters", "unknown", "unknown_bytes")]
        good = [number for number in numbers if type(number) is int and number >= 0]
        return cls(*good) if len(good) == 4 and good[0] and good[1] else None

    @property
    def share(self) -> float:
        """Share of the tokens that are unknown, 0..1."""
        return self.unknown / max(1, self.tokens)

    def bits(self, nats: float) -> float:
        """Bits per character, from the mean loss per token in nats."""
        return (nats * self.tokens / math.log(2) + BITS * self.unknown_bytes) / max(1, self.characters)

    @property
    def told(self) -> str:
        """For people, how many are unknown; empty where none is."""
        if not self.unknown:
            return ""
        share = f"{100 * self.share:.2g} % of the {self.tokens:,} tokens are unknown"
        return f"{share}; in bits per character each of their bytes counts {BITS} bits"


AT_ONCE = 2**22
"""Tokens that are counted at a time."""


def of_ids(vocab: Vocabulary, ids: Tokens) -> Spelling:
    """The spelling of tokens [n] without their text: of unknown symbols, no bytes and no characters are counted."""
    counts = np.zeros(len(vocab), np.int64)
    for first in range(1, len(ids), AT_ONCE):
        counts += np.bincount(ids[first : first + AT_ONCE], minlength=len(vocab))
    if vocab.unk is None:
        sizes = [sum(byte & 0xC0 != 0x80 for byte in vocab.token_bytes(token)) for token in range(len(vocab))]
    else:
        sizes = [*map(len, vocab.symbols), 0]
    unknown = 0 if vocab.unk is None else int(counts[vocab.unk])
    return Spelling(max(0, len(ids) - 1), int(counts @ np.array(sizes, np.int64)), unknown)


def of_tokens(vocab: Vocabulary, ids: Tokens, text: str) -> Spelling:
    """The spelling of a text that has been encoded.

    Args:
        vocab: that encoded it.
        ids: its tokens [n].
        text: it; a vocabulary that knows every symbol does without.
    """
    if vocab.unk is None:
        return of_ids(vocab, ids)
    unknown = np.flatnonzero(ids == vocab.unk)
    symbols = set(unknown[unknown > 0].tolist())
    spelled = [len(piece.encode("utf-8", "replace")) for at, piece in _pieces(vocab, text) if at in symbols]
    first = len(next(iter(_pieces(vocab, text)), (0, ""))[1])
    return Spelling(max(0, len(ids) - 1), max(0, len(text) - first), len(spelled), sum(spelled))


def of_tail(vocab: Vocabulary, ids: Tokens, text: str, cut: int | None = None) -> Spelling:
    """The spelling of tokens that stand at the end of a text.

    Args:
        vocab: that encoded the text.
        ids: the last of its tokens [n].
        text: all of it, or a part that holds its end.
        cut: tokens of the text after which it ends for this purpose; None: all.
    """
    if vocab.unk is None:
        return of_tokens(vocab, ids, "")
    if cut is not None:
        text = "".join(piece for _, piece in islice(_pieces(vocab, text), cut))
    if vocab.kind == "char":
        return of_tokens(vocab, ids, text[len(text) - len(ids) :])
    size = len(ids)
    while True:  # words: the last characters hold the last tokens, but for one that is cut in two
        tail = text[-size:]
        pieces = [piece for _, piece in _pieces(vocab, tail)]
        if len(pieces) > len(ids) or len(tail) == len(text):
            return of_tokens(vocab, ids, "".join(pieces[len(pieces) - len(ids) :]))
        size *= 2


def _pieces(vocab: Vocabulary, text: str) -> Iterator[tuple[int, str]]:
    """The symbols of a text with their numbers."""
    return enumerate(text) if vocab.kind == "char" else enumerate(vocab.words(text))
