"""How much of a text is copied from another: the longest verbatim match, the share of 8-grams that are new.

Plain counting over characters; no torch, no model. The other text is indexed once by its 8-grams, so that a sample
of thousands of characters is measured in milliseconds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GRAM = 8
"""Characters in the pieces that are looked up; no shorter match is looked for."""

MOST = 16 * 2**20
"""Characters of the other text that are indexed; the rest is left out."""


def new_lines(sample: str, corpus: str) -> dict[str, float]:
    """Of the whole lines of a sample, how many there are, and the shares that the corpus lacks and that differ."""
    lines = [line for line in sample.split("\n")[:-1] if line]  # the last one may be cut short
    known = set(corpus.split("\n"))
    count = max(1, len(lines))
    return {
        "lines": len(lines),
        "new_lines": sum(line not in known for line in lines) / count,
        "different_lines": len(set(lines)) / count,
    }


Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Novelty:
    """What was found of a sample in a corpus.

    Attributes:
        characters: length of the sample.
        novel: share of the sample's 8-grams that the corpus lacks; NaN for a sample without any.
        longest: length of the longest piece of the sample that stands in the corpus; 0 where it is below 8.
        start: where that piece begins in the sample.
        source: where it stands in the corpus.
    """

    characters: int
    novel: float
    longest: int
    start: int
    source: int


class Corpus:
    """A text, ready to be searched.

    Args:
        text: what samples are held against; at most its first `MOST` characters count.
    """

    def __init__(self, text: str) -> None:
        self.text = text[:MOST]
        points = _points(self.text)
        self._alphabet = np.unique(points)
        self._codes = np.searchsorted(self._alphabet, points).astype(np.int64)
        grams = self._grams(self._codes)
        self._order = np.argsort(grams, kind="stable")
        self._sorted = grams[self._order]

    def measure(self, sample: str) -> Novelty:
        """Hold a sample against the corpus."""
        points = _points(sample)
        codes = np.searchsorted(self._alphabet, points).astype(np.int64)
        known = codes < len(self._alphabet)
        known[known] = self._alphabet[codes[known]] == points[known]
        codes[~known] = -1
        if len(codes) < GRAM:
            return Novelty(len(codes), float("nan"), 0, 0, 0)
        grams = self._grams(codes)
        first = np.searchsorted(self._sorted, grams, "left")
        last = np.searchsorted(self._sorted, grams, "right")
        complete = np.convolve(~known, np.ones(GRAM, np.int64), "valid") == 0
        found = complete & (last > first)
        longest, start, source = self._longest(codes, found, first, last)
        return Novelty(len(codes), float((~found).mean()), longest, start, source)

    def _longest(self, codes: Ints, found: npt.NDArray[np.bool_], first: Ints, last: Ints) -> tuple[int, int, int]:
        """(length, start in the sample, start in the corpus) of the longest common piece.

        A match of length L shows as a stretch of L - 7 consecutive known 8-grams. Stretches are walked from their
        beginning with all places of the corpus where they may stand; a place drops out where the next character
        differs, and when the last one has, the walk begins anew at the 8-gram that is just entered.
        """
        best = (0, 0, 0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(np.int8)))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if end - begin + GRAM - 1 <= best[0]:
                continue
            at, places = begin, self._order[first[begin] : last[begin]]
            for next_ in range(begin + 1, end):
                ahead = places + (next_ - at + GRAM - 1)
                ahead_ok = ahead < len(self._codes)
                going = places[ahead_ok][self._codes[ahead[ahead_ok]] == codes[next_ + GRAM - 1]]
                if not len(going):
                    best = max(best, (next_ - at + GRAM - 1, at, int(places[0])), key=lambda match: match[0])
                    at, going = self._entered(codes, next_, at, first, last)
                places = going
            best = max(best, (end - at + GRAM - 1, at, int(places[0])), key=lambda match: match[0])
        return best

    def _entered(self, codes: Ints, gram: int, lowest: int, first: Ints, last: Ints) -> tuple[int, Ints]:
        """The longest match that ends with the 8-gram at `gram`: where it starts, after `lowest`, and its places."""
        places: Ints = self._order[first[gram] : last[gram]]
        at = gram
        while at - 1 > lowest:
            before = places - (gram - at + 1)
            inside = before >= 0
            going = places[inside][self._codes[before[inside]] == codes[at - 1]]
            if not len(going):
                break
            places, at = going, at - 1
        return at, places - (gram - at)

    def _grams(self, codes: Ints) -> Ints:
        """One number for each 8-gram, [n - 7]: exact for alphabets up to 256, a 64-bit hash above."""
        if len(codes) < GRAM:
            return np.zeros(0, np.int64)
        base = np.uint64(256 if len(self._alphabet) <= 256 else 0x9E3779B97F4A7C15)
        grams = np.zeros(len(codes) - GRAM + 1, np.uint64)
        with np.errstate(over="ignore"):
            for k in range(GRAM):
                grams = grams * base + codes[k : len(codes) - GRAM + 1 + k].astype(np.uint64)
        return grams.view(np.int64)


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
