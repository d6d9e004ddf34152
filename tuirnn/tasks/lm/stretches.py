"""How much of one text stands in another word for word, and the text without what does.

A sample tells the share, and both texts choose it alike: every stretch of 128 tokens has a number, and those with the
smallest numbers are looked at. A stretch that stands in both texts is chosen in both or in neither, wherever it lies.
So memory does not grow with the texts, and of a long text the share is known to within 1 % (five standard errors of a
sample of `SAMPLE` stretches); of a short one it is exact.
"""

from collections.abc import Iterator

import numpy as np

from tuirnn.piecework import WORKERS, Progress, in_order
from tuirnn.rolling import Hashes, Lookup, Places, numbers, sums
from tuirnn.vocab import Tokens

STRETCH = 128
"""Tokens."""

SAMPLE = 2**16
"""Stretches of the held-out part that are sought, about; all of a shorter one."""

BLOCK = 64
"""Tokens of the blocks that a held-out part is cut into to be sought in the training part."""

CHUNK = 2**17
"""Tokens at a time: what is computed stays in the processor's cache."""


def copied(train: Tokens, val: Tokens, progress: Progress | None = None) -> float:
    """Share of the stretches of `val` that stand in `train` too, 0..1, those that `val` itself repeats not among them.

    Args:
        train, val: tokens [n] and [m].
        progress: is told how much of `train` was looked at.
    """
    if len(train) < STRETCH or len(val) < STRETCH:
        return 0.0
    limit = np.uint64(min(2**64 - 1, int(2**64 * min(1.0, SAMPLE / (len(val) - STRETCH + 1)))))
    held, times = np.unique(np.concatenate([*_chosen(val, limit)]), return_counts=True)
    wanted = held[times == 1]
    found = np.zeros(len(wanted), bool)
    sought = Lookup(wanted)
    for seen in _chosen(train, limit):
        found[np.searchsorted(wanted, sought.which(seen))] = True
        if progress:
            progress.add(CHUNK)
    return float(found.sum()) / max(1, int(times.sum()))


def without(train: Tokens, val: Tokens, progress: Progress | None = None) -> Iterator[Tokens]:
    """`train` in pieces, less what stands in `val`: every place of a block of `val` that `val` has once.

    So every passage of 127 tokens that was copied is left out, but for fewer than 64 at either end.

    Args:
        train, val: tokens [n] and [m].
        progress: is told how much of `train` was looked at.
    """
    blocks = val[: len(val) // BLOCK * BLOCK].reshape(-1, BLOCK)
    held = [numbers(sums(block.ravel()), BLOCK)[::BLOCK] for block in np.array_split(blocks, 1 + len(val) // CHUNK)]
    once, times = np.unique(np.concatenate(held), return_counts=True)
    sought = Lookup(once[times == 1])

    def look(first: int) -> Places:
        return sought.where(numbers(sums(train[first : first + CHUNK + BLOCK - 1]), BLOCK)) + first

    begin = 0  # of what is kept next
    for places in in_order(look, range(0, len(train), CHUNK), threads=_threads(len(train))):
        if progress:
            progress.add(CHUNK)
        if not len(places):
            continue
        ends = np.flatnonzero(np.diff(places) > BLOCK)  # the last place of each run of copies
        for first, last in zip(places[np.append(0, ends + 1)], places[np.append(ends, -1)], strict=True):
            if first > begin:
                yield train[begin:first]
            begin = max(begin, int(last) + BLOCK)
    if begin < len(train):
        yield train[begin:]


def _chosen(ids: Tokens, limit: np.uint64) -> Iterator[Hashes]:
    """The numbers of the chosen stretches, chunk after chunk."""

    def choose(first: int) -> Hashes:
        found = numbers(sums(ids[first : first + CHUNK + STRETCH - 1]), STRETCH)
        return found[found <= limit]

    return in_order(choose, range(0, len(ids) - STRETCH + 1, CHUNK), threads=_threads(len(ids)))


def _threads(tokens: int) -> int:
    return WORKERS if tokens > 8 * CHUNK else 1
