"""Loss of a cell file on a text, under both protocols; long texts many lanes at a time, in two threads."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.piecework import in_order
from tuirnn.tasks.task import OpenCell
from tuirnn.vocab import Ids, Tokens

BLOCK = 256
LANES = 256
WARM_UP = 512
"""Tokens that each lane but the first reads before what it is measured on."""

ONE_PASS = 2**17
"""Predictions up to which the carried protocol is a single pass, token by token."""

MOST_IN_BLOCKS = 2**20
"""Tokens that the blocks protocol measures of a longer text, in blocks spread evenly over it."""

LOGITS_AT_ONCE = 2**21

THREADS = max(1, min(4, os.cpu_count() or 1))

A_GROUP = 64e6
"""Bytes that a group of lanes takes, about: its session, and logits at once with what is computed of them."""


@dataclass(frozen=True)
class Loss:
    """Mean nats per token.

    Attributes:
        carried: the state carried through the whole text.
        blocks: independent blocks of 256 from the zero state.
        tokens: predicted under `carried`.
        lanes: that the text was read in under `carried`, side by side, each after the tokens before it; 1: in one pass.
        tokens_blocks: predicted under `blocks`.
    """

    carried: float
    blocks: float
    tokens: int
    lanes: int = 1
    tokens_blocks: int = 0

    def to_json(self) -> dict[str, float]:
        """Nats, bits and perplexity of both protocols."""
        return {
            "tokens": self.tokens,
            "nats": self.carried,
            "bits": self.carried / math.log(2),
            "perplexity": math.exp(min(self.carried, 700)),
            "nats_blocks": self.blocks,
            "bits_blocks": self.blocks / math.log(2),
            "perplexity_blocks": math.exp(min(self.blocks, 700)),
        }


@dataclass(frozen=True)
class Lane:
    """A sequence that is read from the zero state.

    Attributes:
        start: place of the first token that it reads.
        skip: predictions that are not counted.
        length: predictions, those that are skipped among them.
    """

    start: int
    skip: int
    length: int


def evaluate(cell: OpenCell, ids: Tokens) -> Loss:
    """Measure a cell on token ids [n], n at least 2."""
    n = len(ids) - 1
    length = min(BLOCK, n)
    every = max(1, n // MOST_IN_BLOCKS)
    blocks = [Lane(start * length, 0, length) for start in range(0, n // length, every)]
    lanes = 1 if n <= ONE_PASS else min(LANES, n // (8 * WARM_UP))
    both = [_lanes(n, lanes, WARM_UP), blocks]
    if lanes > 1:
        carried, in_blocks = (_nats(cell, ids, group, THREADS) for group in both)
    else:  # neither has work for several threads, but each for one
        carried, in_blocks = in_order(
            lambda group: _nats(cell, ids, group, 1), both, threads=min(2, THREADS), each=A_GROUP
        )
    return Loss(carried / n, in_blocks / (len(blocks) * length), n, lanes, len(blocks) * length)


@dataclass(frozen=True)
class LaneLoss:
    """Mean nats per token over `tokens` predictions."""

    nats: float
    tokens: int


def in_lanes(cell: OpenCell, ids: Tokens, *, lanes: int = 64, most: int = ONE_PASS) -> LaneLoss:
    """Quick loss for comparisons: the text cut into lanes side by side, each carried from the zero state.

    Args:
        cell: the cell.
        ids: tokens [n].
        lanes: at most so many, of a few hundred tokens at least.
        most: predictions that are made of a longer text: each lane then reads the first of its part.
    """
    B = max(1, min(lanes, (len(ids) - 1) // BLOCK))
    apart = (len(ids) - 1) // B
    length = min(apart, max(1, most // B))
    total = _nats(cell, ids, [Lane(lane * apart, 0, length) for lane in range(B)], 1)
    return LaneLoss(total / (B * length), B * length)


def _lanes(n: int, count: int, warm_up: int) -> list[Lane]:
    """So many lanes that together predict n tokens once, each but the first after `warm_up` tokens before its own."""
    if count == 1:
        return [Lane(0, 0, n)]
    length = -(-(n - warm_up) // count)
    lanes = [Lane(k * length, warm_up if k else 0, min(warm_up + length, n - k * length)) for k in range(count)]
    return [lane for lane in lanes if lane.length > lane.skip]


def _nats(cell: OpenCell, ids: Tokens, lanes: Sequence[Lane], threads: int) -> float:
    """Summed nats of all lanes, so many at a time, shared among threads."""
    groups = [lanes[first : first + LANES] for first in range(0, len(lanes), LANES)]
    if len(groups) < threads:
        size = -(-len(lanes) // threads)
        groups = [lanes[first : first + size] for first in range(0, len(lanes), size)]
    return sum(in_order(lambda group: _side_by_side(cell, ids, group), groups, threads=threads, each=A_GROUP))


def _side_by_side(cell: OpenCell, ids: Tokens, lanes: Sequence[Lane]) -> float:
    stepper, B = cell.stepper(len(lanes)), len(lanes)
    starts = np.array([lane.start for lane in lanes])
    skips, lengths = (np.array(values) for values in zip(*((lane.skip, lane.length) for lane in lanes), strict=True))
    total, steps = 0.0, int(lengths.max())
    at_once = max(1, min(BLOCK, LOGITS_AT_ONCE // (B * len(cell.metadata.vocab))))
    for first in range(0, steps, at_once):
        length = min(at_once, steps - first)
        places = (starts + np.arange(first, first + length + 1)[:, None]).clip(max=len(ids) - 1)
        tokens: Ids = ids[places].astype(np.int64)  # [length + 1, B]
        logits = stepper.read(tokens[:-1])[:, :B]  # [length, B, V]
        numbers = np.arange(first, first + length)[:, None]
        counted = (numbers >= skips) & (numbers < lengths)
        total += float(_surprise(logits, tokens[1:])[counted].sum())
    return total


def _surprise(logits: npt.NDArray[np.float32], targets: Ids) -> npt.NDArray[np.float64]:
    """Nats of each target [n, B] under logits [n, B, V], which are overwritten."""
    logits -= logits.max(-1, keepdims=True)
    of_targets = np.take_along_axis(logits, targets[..., None], -1)[..., 0].astype(np.float64)
    np.exp(logits, out=logits)
    nats: npt.NDArray[np.float64] = np.log(logits.sum(-1, dtype=np.float64)) - of_targets
    return nats
