"""Losses: a mean over a batch's targets, and how much of it a part of the batch is."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn.functional import cross_entropy

from tuirnn.tasks.batches import IGNORE


class Loss(Protocol):
    """What training follows."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the targets [T, B, …] that count."""

    def weight(self, targets: npt.NDArray[Any]) -> float:
        """What the mean divides by: the mean over a whole is that of its parts, weighted by this."""


class CrossEntropy:
    """Mean nats over the targets [T, B] that are not `IGNORE`; outputs [T, B, V] are logits.

    Args:
        weights: what each class counts, [V]; None: all the same.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        self.weights = weights
        self._counts = None if weights is None else weights.double().cpu().numpy()

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean."""
        flat = outputs.flatten(0, 1).float()
        return cross_entropy(flat, targets.flatten(), weight=self.weights, ignore_index=IGNORE)

    def weight(self, targets: npt.NDArray[np.int64]) -> float:
        """See `Loss.weight`."""
        counted = targets[targets != IGNORE]
        return float(len(counted)) if self._counts is None else float(self._counts[counted].sum())


class SquaredError:
    """Mean squared error over outputs and targets [T, B, F].

    Args:
        every_step: not of the last step alone.
    """

    def __init__(self, every_step: bool) -> None:
        self.every_step = every_step

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean."""
        if not self.every_step:
            outputs, targets = outputs[-1:], targets[-1:]
        return (outputs.float() - targets.float()).square().mean()

    def weight(self, targets: npt.NDArray[np.float32]) -> float:
        """See `Loss.weight`."""
        return float(targets.size)
