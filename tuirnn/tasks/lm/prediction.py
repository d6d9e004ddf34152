"""Loss of a cell file on a text, under both protocols."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.tasks.task import OpenCell, Stepper
from tuirnn.vocab import Ids

BLOCK = 256
LANES = 64


@dataclass(frozen=True)
class Loss:
    """Mean nats per token.

    Attributes:
        carried: one pass, the state carried through the whole text.
        blocks: independent blocks of 256 from the zero state.
        tokens: predicted under `carried`.
    """

    carried: float
    blocks: float
    tokens: int

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


def evaluate(cell: OpenCell, ids: Ids) -> Loss:
    """Measure a cell on token ids [n], n at least 2."""
    carried = _nats(cell.stepper(1), ids[:, None]) / (len(ids) - 1)
    length = min(BLOCK, len(ids) - 1)
    starts = np.arange((len(ids) - 1) // length) * length
    total = 0.0
    for first in range(0, len(starts), LANES):
        lanes = starts[first : first + LANES]
        windows = ids[lanes[None, :] + np.arange(length + 1)[:, None]]
        total += _nats(cell.stepper(len(lanes)), windows)
    return Loss(carried, total / (len(starts) * length), len(ids) - 1)


@dataclass(frozen=True)
class LaneLoss:
    """Mean nats per token over `tokens` predictions."""

    nats: float
    tokens: int


def in_lanes(cell: OpenCell, ids: Ids, *, lanes: int = LANES) -> LaneLoss:
    """Quick loss for comparisons: the text cut into lanes side by side, each carried from the zero state."""
    B = max(1, min(lanes, (len(ids) - 1) // BLOCK))
    length = (len(ids) - 1) // B
    windows = ids[(np.arange(B) * length)[None, :] + np.arange(length + 1)[:, None]]
    total = _nats(cell.stepper(B), windows)
    return LaneLoss(total / (B * length), B * length)


def _nats(stepper: Stepper, ids: npt.NDArray[np.int64]) -> float:
    """Summed nats of ids [n, B] after the first, each column a sequence from the zero state."""
    n, B = ids.shape
    lanes = np.arange(B)
    total = 0.0
    chunk: npt.NDArray[np.float32] | None = None
    for start in range(0, n - 1, BLOCK):
        length = min(BLOCK, n - 1 - start)
        for t in range(length):
            logits = stepper.step(ids[start + t])[:B]  # [B, V]
            if chunk is None:
                chunk = np.empty((min(BLOCK, n - 1), *logits.shape), np.float32)
            chunk[t] = logits
        assert chunk is not None
        scores = chunk[:length].astype(np.float64)  # [length, B, V]
        peak = scores.max(-1)
        log_sum = peak + np.log(np.exp(scores - peak[..., None]).sum(-1))
        targets = ids[start + 1 : start + 1 + length]
        total += float((log_sum - scores[np.arange(length)[:, None], lanes, targets]).sum())
    return total
