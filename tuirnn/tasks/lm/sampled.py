"""How much of a long text's held-out part stands in its training part, from pieces of both: a second for any length.

What is sought are stretches of bytes, those with the smallest numbers, as `stretches` does it with tokens. A copy is
seen where a piece of the training part lies on it, so the share is that of the stretches seen, divided by the chance of
seeing one. What stands in the training part many times is seen more often: the chance is estimated from how many
stretches were seen once and how many twice (Zelterman, Robust estimation in truncated discrete distributions, 1988).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tuirnn.rolling import Hashes, Lookup, numbers, sums
from tuirnn.tasks.lm.stretches import STRETCH

PIECE, TRAINED, HELD = 4096, 3072, 1536
"""Bytes of a piece, and pieces of the training and of the held-out part; all of a part that has no more."""

TOGETHER = 32
"""Pieces whose numbers are computed at once."""

CHOSEN = 64
"""One of so many stretches is sought."""


class Files:
    """The bytes of files one after the other, a newline between two, from any place on.

    Args:
        bodies: where each is, or what it is.
    """

    def __init__(self, bodies: Sequence[Path | bytes]) -> None:
        self._bodies = bodies
        sizes = [body.stat().st_size if isinstance(body, Path) else len(body) for body in bodies]
        self._ends = np.cumsum([size + 1 for size in sizes])
        self.size = int(self._ends[-1]) - 1

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from a place, fewer at the end."""
        found = b""
        number = int(np.searchsorted(self._ends, start, side="right"))
        while len(found) < size and number < len(self._bodies):
            body, begin = self._bodies[number], int(self._ends[number - 1]) if number else 0
            inside, wanted = start + len(found) - begin, size - len(found)
            if isinstance(body, Path):
                with body.open("rb", buffering=0) as file:
                    file.seek(inside)
                    found += file.read(wanted)
            else:
                found += body[inside : inside + wanted]
            found += b"\n" * (len(found) < size)
            number += 1
        return found[: self.size - start]


def copied(files: Files, train: tuple[int, int], held: tuple[int, int]) -> tuple[float, int]:
    """Share of the stretches of the held-out part that stand in the training part, about; and bytes looked at.

    Args:
        files: the text.
        train, held: first byte of either part, and the first one after it.
    """
    kept, sought_bytes, _ = _sampled(files, held, HELD)
    once, times = np.unique(kept, return_counts=True)
    wanted = once[times == 1]
    seen, bytes_, coverage = _sampled(files, train, TRAINED)
    found = seen[Lookup(wanted).where(seen)]
    hits = np.bincount(np.searchsorted(wanted, found), minlength=len(wanted))
    if not hits.any():
        return 0.0, sought_bytes + bytes_
    rate = 2 * int((hits == 2).sum()) / max(1, int((hits == 1).sum()))
    chance = max(coverage, float(-np.expm1(-rate)))
    return min(1.0, np.count_nonzero(hits) / chance / max(1, len(kept))), sought_bytes + bytes_


def _sampled(files: Files, part: tuple[int, int], pieces: int) -> tuple[Hashes, int, float]:
    """Numbers of the chosen stretches in pieces of a part, bytes of these, and the share of all stretches in them."""
    first, last = part
    length = last - first
    if length <= pieces * PIECE:
        starts = np.arange(first, max(first, last - STRETCH) + 1, PIECE - STRETCH + 1)
    else:  # one anywhere in each of equal sections, so that no two overlap
        sections = np.linspace(first, last, pieces + 1)
        drawn = np.random.Generator(np.random.PCG64(0)).random(pieces)
        starts = (sections[:-1] + drawn * (np.diff(sections) - PIECE)).astype(np.int64)
    chosen, read = [np.zeros(0, np.uint64)], 0
    for at in range(0, len(starts), TOGETHER):
        some = starts[at : at + TOGETHER].tolist()
        data = b"".join(files.read(start, min(PIECE, last - start)) for start in some)  # only the last may be shorter
        found = numbers(sums(np.frombuffer(data, np.uint8)), STRETCH)
        few = np.flatnonzero(found < np.uint64(2**64 // CHOSEN))
        chosen.append(found[few[few % PIECE <= PIECE - STRETCH]])
        read += len(data)
    return np.concatenate(chosen), read, min(1.0, len(starts) * (PIECE - STRETCH + 1) / max(1, length - STRETCH + 1))
