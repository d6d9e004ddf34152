"""Spans in a row of tags, and how many of them a network finds.

Tags name spans in one of three ways. With prefixes, B-PER begins a span and I-PER continues it (IOB2); where B- only
separates a span from one of the same kind before it, I- begins the others (IOB1). E- ends a span and S- is one by
itself (BIOES; or L- and U-, BILOU). Without prefixes, a span is a run of equal tags. O is outside of all spans.

IOB1 and IOB2 are read by one rule, that of the evaluation of the CoNLL-2000 shared task (Tjong Kim Sang and Buchholz,
Introduction to the CoNLL-2000 Shared Task: Chunking, 2000): a span begins at B- and S-, at any other tag outside of a
span, and where the kind changes; it ends before the next beginning, before O, and after E- and S-. A found span is
correct if a true span has the same first word, last word and kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OUTSIDE = "O"

SAME = {"L": "E", "U": "S"}
"""Prefixes of BILOU and those of BIOES that mean the same."""


class Span(NamedTuple):
    """Words `first` up to, not including, `last`, and the kind of span."""

    first: int
    last: int
    kind: str


def prefixes(tags: Iterable[str]) -> str:
    """The prefixes that a set of tags uses: 'BI' (IOB1, IOB2), 'BIES' (BIOES), or '' where not all have one."""
    found = {tag[:1] if tag[1:2] == "-" and len(tag) > 2 else "" for tag in tags if tag != OUTSIDE}
    used = {SAME.get(prefix, prefix) for prefix in found}
    if not used or not used <= set("BIES"):
        return ""
    return "BI" if used <= set("BI") else "BIES"


def find_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of a sequence, from the first to the last.

    Args:
        tags: one a word.
        scheme: of `prefixes`, of all the tags that the data have.
    """
    found: list[Span] = []
    first, kind, ended = 0, "", True
    for at, tag in enumerate([*tags, OUTSIDE]):
        prefix, here = _parts(tag, scheme)
        if kind and (ended or here != kind or prefix in "BS"):
            found.append(Span(first, at, kind))
            kind = ""
        if here and not kind:
            first, kind = at, here
        ended = prefix in "ES"
    return found


def _parts(tag: str, scheme: str) -> tuple[str, str]:
    """A tag's prefix, and the kind of the span that it is in; '' outside."""
    if tag == OUTSIDE:
        return "I", ""
    return (SAME.get(tag[0], tag[0]), tag[2:]) if scheme else ("I", tag)


@dataclass(frozen=True)
class Counts:
    """What there was to find, what was found, and what of it was correct."""

    true: int = 0
    found: int = 0
    correct: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.true + other.true, self.found + other.found, self.correct + other.correct)

    @property
    def precision(self) -> float:
        """Share of the found ones that are correct; 0 where none was found."""
        return self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the true ones that were found; 0 where there are none."""
        return self.correct / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where there is nothing to find and nothing found."""
        return 2 * self.correct / (self.true + self.found) if self.true + self.found else 0.0

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, **vars(self)}


def count_spans(true: Iterable[Sequence[str]], guessed: Iterable[Sequence[str]], scheme: str) -> dict[str, Counts]:
    """Counts of each kind of span, by kind, over pairs of sequences of tags of equal length."""
    counts: dict[str, Counts] = {}
    for one, other in zip(true, guessed, strict=True):
        there, found = set(find_spans(one, scheme)), set(find_spans(other, scheme))
        for span in there | found:
            hit = Counts(span in there, span in found, span in there and span in found)
            counts[span.kind] = counts.get(span.kind, Counts()) + hit
    return dict(sorted(counts.items()))


def total(counts: Mapping[str, Counts]) -> Counts:
    """All kinds together, each span counting the same."""
    return sum(counts.values(), Counts())


def marked(text: str, words: Sequence[tuple[int, int]], spans: Iterable[Span]) -> str:
    """A text with its spans in brackets, each with its kind: '[Anna PER] lives in [Berlin LOC]'.

    Args:
        text: as it was read.
        words: first character of each word, and the one after its last.
        spans: of words, in order.
    """
    pieces, done = [], 0
    for span in spans:
        first, last = words[span.first][0], words[span.last - 1][1]
        pieces += [text[done:first], f"[{text[first:last]} {span.kind}]"]
        done = last
    return "".join([*pieces, text[done:]])
