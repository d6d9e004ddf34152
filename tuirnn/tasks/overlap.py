"""Whether the held-out part was in truth trained on: the share of it that stands in the training part word for word.

A text is measured in stretches of 128 tokens: of all that are held out, those that stand in the training part too.
Language repeats words, hardly ever whole paragraphs; a file given twice repeats all of them. A stretch that the
held-out part itself repeats is not counted: a licence above each file, or a toy text of one line over and over, is the
text's nature and no leak. Labelled sequences are measured whole.
"""

import numpy as np
import numpy.typing as npt

from tuirnn.tasks.classify.data import LabelledData
from tuirnn.tasks.lm.data import TextData
from tuirnn.vocab import Ids

STRETCH = 128
"""Tokens, a power of two."""

LEAST = 4 * STRETCH
"""A held-out text of fewer tokens is not measured."""

LIMIT = 0.2
"""Share of the held-out part from which a split is called leaky."""

CHUNK = 2**22
"""Training tokens that are hashed at a time."""

Hashes = npt.NDArray[np.uint64]


def overlap(data: object, trained: object = None) -> float:
    """Share of the held-out part that stands in the training part, 0..1; 0 for tasks that have no such measure.

    Args:
        data: whose held-out part is meant.
        trained: data of the same task and vocabulary whose training part is meant; None: its own.
    """
    trained = trained or data
    if isinstance(data, TextData) and isinstance(trained, TextData):
        return _texts(trained.train, data.val)
    if isinstance(data, LabelledData) and isinstance(trained, LabelledData):
        known = {ids.tobytes() for ids in trained.train.ids}
        return sum(ids.tobytes() in known for ids in data.val.ids) / max(1, len(data.val))
    return 0.0


def _texts(train: Ids, val: Ids) -> float:
    if len(train) < STRETCH or len(val) < LEAST:
        return 0.0
    held, times = np.unique(_hashes(val), return_counts=True)
    wanted = held[times == 1]
    if not len(wanted):
        return 0.0
    found = np.zeros(len(wanted), bool)
    for first in range(0, len(train) - STRETCH + 1, CHUNK):
        seen = _hashes(train[first : first + CHUNK + STRETCH - 1])
        at = np.minimum(np.searchsorted(wanted, seen), len(wanted) - 1)
        found[at[wanted[at] == seen]] = True
    return float(found.sum()) / (len(val) - STRETCH + 1)


def _hashes(ids: Ids) -> Hashes:
    """A number for each stretch, [n - 127]: built by doubling, each half weighed with a power of an odd base."""
    base = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        hashes = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0xC2B2AE3D27D4EB4F)
        hashes ^= hashes >> np.uint64(29)
        length = 1
        while length < STRETCH:
            weight = np.uint64(pow(base, length, 2**64))
            hashes = hashes[:-length] * weight + hashes[length:]
            length *= 2
    return hashes
