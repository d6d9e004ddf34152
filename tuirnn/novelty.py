"""How much of a text is copied from another: the longest verbatim match, the share of 8-grams that are new.

Plain counting over characters; no torch, no model. The other text is read through once, piece by piece, whatever its
length: its 8-grams are sought among those of the sample, and so are its passages that are one longer than the longest
match so far. See
`tuirnn.rolling` for how a passage is known.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.piecework import WORKERS, Progress, in_order
from tuirnn.rolling import Hashes, Lookup, numbers, numbers_at, sums

GRAM = 8
"""Characters in the pieces that are looked up; no shorter match is looked for."""

CHUNK = 2**18
"""Characters of the other text at a time, at least."""

SMALL = 2**22
"""Characters of a text that one thread searches."""

Points = npt.NDArray[np.uint32]
Text = Callable[[], Iterator[Points]]
"""Reads a text from its beginning: the code points of its characters, in pieces."""


def new_lines(sample: str, text: Text) -> dict[str, float]:
    """Of the whole lines of a sample, how many there are, and the shares that the text lacks and that differ."""
    lines = [line for line in sample.split("\n")[:-1] if line]  # the last one may be cut short
    different = set(lines)
    known: set[str] = set()
    rest = ""
    for piece in text():
        *whole, rest = (rest + _string(piece)).split("\n")
        known |= different.intersection(whole)
    known |= different.intersection([rest])
    count = max(1, len(lines))
    return {
        "lines": len(lines),
        "new_lines": sum(line not in known for line in lines) / count,
        "different_lines": len(different) / count,
    }


@dataclass(frozen=True)
class Novelty:
    """What was found of a sample in a corpus.

    Attributes:
        characters: length of the sample.
        novel: share of the sample's 8-grams that the corpus lacks; NaN for a sample without any.
        longest: length of the longest piece of the sample that stands in the corpus; 0 where it is below 8.
        start: where that piece begins in the sample.
        source: where it stands in the corpus.
        searched: characters of the corpus.
    """

    characters: int
    novel: float
    longest: int
    start: int
    source: int
    searched: int


class Corpus:
    """A text that samples are held against.

    Args:
        text: it, or what reads it.
        length: of the text in tokens, for the progress of a long search; 0: none is said.
    """

    def __init__(self, text: str | Text, length: int = 0) -> None:
        self.text: Text = (lambda: iter([_points(text)])) if isinstance(text, str) else text
        self.length = length

    def measure(self, sample: str) -> Novelty:
        """Hold a sample against the corpus."""
        search = _Search(_points(sample))
        searched = 0

        def numbered() -> Iterator[tuple[int, Points, int]]:
            nonlocal searched
            with Progress("searching the training text", self.length) as progress:
                for chunk, own in _overlapping(self.text(), max(CHUNK, 4 * len(sample)), len(sample)):
                    yield searched, chunk, own
                    searched += own
                    progress.add(own)

        threads = WORKERS if self.length > SMALL else 1
        for seen, match in in_order(search.look, numbered(), threads=threads):
            search.note(seen, match)
        length, start, source = search.best
        return Novelty(len(sample), search.novel, length, start, source, searched)


class _Search:
    """What is sought of a sample, and what was found. Several threads `look`; one `note`s.

    Attributes:
        best: length, start in the sample and place in the corpus of the longest match.
    """

    def __init__(self, sample: Points) -> None:
        self.sample = sample
        self.best = (0, 0, 0)
        self._sums = sums(sample)
        self._grams = numbers(self._sums, GRAM)
        self._sought = np.unique(self._grams)
        self._found = np.zeros(len(self._sought), bool)
        self._filter = Lookup(self._sought)

    @property
    def novel(self) -> float:
        """Share of the sample's 8-grams that were not found."""
        if not len(self._grams):
            return float("nan")
        return float((~self._found[np.searchsorted(self._sought, self._grams)]).mean())

    def look(self, chunk: tuple[int, Points, int]) -> tuple[Hashes, tuple[int, int, int]]:
        """Search a part of the corpus: which 8-grams are there that were not found before, and the longest match.

        Args:
            chunk: its place, its characters with those after it that a match may reach into, and its own length.
        """
        place, points, own = chunk
        if len(points) < GRAM or len(self.sample) < GRAM:
            return np.zeros(0, np.uint64), (0, 0, 0)
        upto = sums(points)
        grams = numbers(upto, GRAM)[:own]
        seen = self._filter.which(grams)
        return seen, self._longest(points, upto, own, place)

    def note(self, seen: Hashes, match: tuple[int, int, int]) -> None:
        """Take over what `look` has found."""
        if match[0] > self.best[0]:
            self.best = match
        if len(seen):
            self._found[np.searchsorted(self._sought, seen)] = True
            self._filter = Lookup(self._sought[~self._found])

    def _longest(self, points: Points, upto: Hashes, own: int, place: int) -> tuple[int, int, int]:
        """The longest match that begins in a chunk and is longer than the best so far; length 0: none."""
        best = (self.best[0], 0, 0)
        length = max(GRAM, best[0] + 1)
        if length > min(len(points), len(self.sample)):
            return 0, 0, 0
        hits = Lookup(np.unique(numbers(self._sums, length))).where(numbers(upto, length)[:own])
        while len(hits):
            at = int(hits[0])
            same = np.flatnonzero(numbers(self._sums, length) == numbers_at(upto, hits[:1], length)[0])
            found = max(((_common(points[at:], self.sample[start:]), -int(start)) for start in same), default=(0, 0))
            if found[0] > best[0]:
                best = (found[0], -found[1], place + at)
            length = max(length, best[0] + 1)
            hits = hits[1:]
            hits = hits[hits + length <= len(points)]
            if not len(hits) or length > len(self.sample):
                break
            own_numbers = np.unique(numbers(self._sums, length))
            hits = hits[np.isin(numbers_at(upto, hits, length), own_numbers)]
        return best if best[0] > self.best[0] else (0, 0, 0)


def _overlapping(pieces: Iterator[Points], size: int, more: int) -> Iterator[tuple[Points, int]]:
    """A text in chunks of about `size`, each with the `more` characters after it; and how many are its own."""
    waiting = np.zeros(0, np.uint32)
    for piece in pieces:
        waiting = np.concatenate([waiting, piece])
        while len(waiting) >= size + more:
            yield waiting[: size + more], size
            waiting = waiting[size:]
    for first in range(0, len(waiting), size):
        yield waiting[first : first + size + more], min(size, len(waiting) - first)


def _common(one: Points, other: Points) -> int:
    """How many characters at their beginning are the same."""
    length = min(len(one), len(other))
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if len(different) else length


def _points(text: str) -> Points:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _string(points: Points) -> str:
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
