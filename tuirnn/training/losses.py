"""Losses: a mean over a batch's targets, and how much of it a part of the batch is."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn import spans
from tuirnn.kernels.head import HeadLoss
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
        smoothing: share of a target's probability that goes to all classes alike (Szegedy et al. 2016).
    """

    def __init__(self, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.weights, self.smoothing = weights, smoothing
        self._counts = None if weights is None else weights.double().cpu().numpy()

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean."""
        flat = outputs.flatten(0, 1).float()
        return cross_entropy(
            flat, targets.flatten(), weight=self.weights, ignore_index=IGNORE, label_smoothing=self.smoothing
        )

    def takes_head(self, rows: int, head: nn.Linear) -> bool:
        """Whether `of_head` does better: where the logits of so many rows are large, and nothing else reads them."""
        plain = type(self) is CrossEntropy and self.weights is None and not self.smoothing
        return plain and spans.head_rows(rows, head.out_features) < rows

    def of_head(self, x: Tensor, head: nn.Linear, targets: Tensor) -> Tensor:
        """As `self(head(x), targets)`, apart from rounding, in little memory; x [T, B, H], targets [T, B]."""
        parameters = (head.weight, head.bias)
        loss: Tensor = HeadLoss.apply(x.flatten(0, 1), *parameters, targets.flatten(), IGNORE)  # type: ignore[no-untyped-call]
        return loss.float()

    def weight(self, targets: npt.NDArray[np.int64]) -> float:
        """See `Loss.weight`."""
        counted = targets[targets != IGNORE]
        return float(len(counted)) if self._counts is None else float(self._counts[counted].sum())


class WithNextSymbol(CrossEntropy):
    """`CrossEntropy` over classes, and beside it the mean nats of a sequence's next symbols (Dai and Le 2015).

    Outputs [T, B, classes + V] are the logits of both, targets [T, B, 2] the class and the next symbol. Each sequence
    has the weight that its classes have, so that the mean over a batch is that of its parts. The value is the classes'
    loss alone, which the validation loss can be held against; the gradient is that of the sum of both.

    Args:
        classes: how many.
        auxiliary: what the second loss is multiplied by.
        weights, smoothing: of the classes, see `CrossEntropy`.
    """

    def __init__(self, classes: int, auxiliary: float, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        super().__init__(weights, smoothing)
        self.classes, self.auxiliary = classes, auxiliary

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The classes' mean, with the gradient of the sum of both means."""
        labels, following = targets.unbind(-1)  # [T, B]
        loss = super().__call__(outputs[..., : self.classes], labels)
        counted = (labels != IGNORE).float()
        if self.weights is not None:
            counted = counted * self.weights[labels.clamp(min=0)]
        each = counted.sum(0)  # [B]
        predicted = outputs[..., self.classes :].flatten(0, 1).float()
        nats = cross_entropy(predicted, following.flatten(), ignore_index=IGNORE, reduction="none")  # 0 where ignored
        mean = nats.view_as(following).sum(0) / (following != IGNORE).sum(0).clamp(min=1)  # [B]
        beside = self.auxiliary * (each * mean).sum() / each.sum()
        return loss + (beside - beside.detach())

    def weight(self, targets: npt.NDArray[np.int64]) -> float:
        """See `Loss.weight`."""
        return super().weight(targets[..., 0])


class SquaredError:
    """Mean squared error over outputs and targets [T, B, F].

    Args:
        every_step: not of the last step alone.
        gaps: targets may be NaN; these count nothing.
    """

    def __init__(self, every_step: bool, *, gaps: bool = False) -> None:
        self.every_step, self.gaps = every_step, gaps

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean; 0 where all targets are NaN."""
        if not self.every_step:
            outputs, targets = outputs[-1:], targets[-1:]
        if not self.gaps:
            return (outputs.float() - targets.float()).square().mean()
        gone = targets.isnan()
        squared = (outputs.float() - targets.float().nan_to_num()).square().masked_fill(gone, 0.0)
        return squared.sum() / (~gone).sum().clamp(min=1)

    def weight(self, targets: npt.NDArray[np.float32]) -> float:
        """See `Loss.weight`; never 0, so that a batch without a target has a loss of 0 and no other."""
        if not self.gaps:
            return float(targets.size)
        return max(float(np.count_nonzero(~np.isnan(targets if self.every_step else targets[-1:]))), 1e-9)
