"""A number for every passage of a sequence, whatever the passage's length: the same for equal passages.

It is a polynomial in the mixed values modulo 2^64. Sums of the values, each times its power of an odd base, give the
number of any passage as a difference of two sums, brought back to the power zero.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 2**64)

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_POWERS: dict[int, Hashes] = {}


def sums(values: npt.NDArray[np.integer[Any]]) -> Hashes:
    """0, and the sums up to every place of values [n], at least 0: [n + 1]."""
    with np.errstate(over="ignore"):
        mixed = values.astype(np.uint64)
        mixed += np.uint64(1)
        mixed *= np.uint64(0xC2B2AE3D27D4EB4F)
        mixed ^= mixed >> np.uint64(29)
        mixed *= _powers(BASE, len(values))
        found = np.zeros(len(values) + 1, np.uint64)
        np.cumsum(mixed, dtype=np.uint64, out=found[1:])
        return found


def numbers(sums: Hashes, length: int) -> Hashes:
    """The number of each passage of a length, [n - length + 1]."""
    if len(sums) <= length:
        return np.zeros(0, np.uint64)
    with np.errstate(over="ignore"):
        found = sums[length:] - sums[:-length]
        found *= _powers(INVERSE, len(found))
        return found


def numbers_at(sums: Hashes, places: Places, length: int) -> Hashes:
    """The numbers of the passages that begin at some places."""
    with np.errstate(over="ignore"):
        return (sums[places + length] - sums[places]) * _powers(INVERSE, len(sums))[places]


def _powers(base: int, count: int) -> Hashes:
    """base^0, base^1, … modulo 2^64, kept for the next call."""
    powers = _POWERS.get(base)
    if powers is None or len(powers) < count:
        powers = np.full(count, base, np.uint64)
        powers[:1] = 1
        powers = _POWERS[base] = np.cumprod(powers, dtype=np.uint64)
    return powers[:count]


class Lookup:
    """A set of numbers, which most others are told apart from by a look into a table.

    Args:
        numbers: each once, sorted.
    """

    def __init__(self, numbers: Hashes) -> None:
        self._numbers = numbers
        bits = min(24, max(20, len(numbers).bit_length() + 6))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(2**bits, bool)
        self._table[numbers >> self._shift] = True

    def where(self, numbers: Hashes) -> Places:
        """The places of those numbers that are in the set."""
        if not len(self._numbers):
            return np.zeros(0, np.int64)
        likely = np.flatnonzero(self._table[numbers >> self._shift])
        at = np.minimum(np.searchsorted(self._numbers, numbers[likely]), len(self._numbers) - 1)
        there: Places = likely[self._numbers[at] == numbers[likely]]
        return there

    def which(self, numbers: Hashes) -> Hashes:
        """Those numbers that are in the set, each once, sorted."""
        return np.unique(numbers[self.where(numbers)])
