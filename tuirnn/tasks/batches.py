"""Batches without end whose place is a small JSON value, whatever the task."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError

IGNORE = -100
"""A target that no loss looks at: PyTorch's own convention."""

OBJECT = 120
"""Bytes of an array beside its numbers, and of the pointer to it: what a list of many short sequences takes."""

Batch = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]
"""x and y, [T, B] of tokens or [T, B, F] of points; carry [B]: where it is 0, a sequence begins with a zero state."""


@dataclass(frozen=True)
class Lanes:
    """Some of the sequences that lie side by side in a batch: `first` up to, not including, `last`, of `B`."""

    first: int
    last: int
    B: int

    @property
    def own(self) -> slice:
        """Picks them out of an axis of B."""
        return slice(self.first, self.last)

    def __len__(self) -> int:
        return self.last - self.first

    def divided(self, parts: int) -> "list[Lanes]":
        """These lanes in so many parts, or in parts of one; they differ by one at most."""
        n, parts = len(self), min(parts, len(self))
        bounds = [self.first + n * i // parts for i in range(parts + 1)]
        return [Lanes(first, last, self.B) for first, last in itertools.pairwise(bounds)]


class Batches:
    """An endless row of batches, epoch after epoch; `cursor` and `restore` resume exactly.

    Subclasses say what an epoch is: how many batches it has, and how they are drawn.

    Args:
        seed: of the order.

    Attributes:
        B: sequences side by side, the same in every batch.
    """

    carries_state = False
    """Whether each batch continues the one before it, so that the hidden state goes on."""

    B: int

    @property
    def longest(self) -> int:
        """Steps of the longest batch; 0: as many as `--seq-len` says."""
        return 0

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._begin_epoch()

    @property
    def batches_per_epoch(self) -> int:
        """Batches in one pass over the training split."""
        raise AssertionError("subclasses define it")

    def plan_epoch(self) -> Callable[[int], Batch]:
        """Draw an epoch; returns a function from a batch's number to the batch."""
        raise AssertionError("subclasses define it")

    def next(self) -> Batch:
        """The next batch."""
        if self._position == self.batches_per_epoch:
            self._begin_epoch()
        self._position += 1
        return self._batch(self._position - 1)

    def cursor(self) -> dict[str, Any]:
        """Where the next batch comes from, as JSON."""
        return {"rng": self._rng_at_epoch, "position": self._position, "lanes": self.B}

    def restore(self, cursor: dict[str, Any]) -> None:
        """Go to a `cursor` of the same data and settings."""
        if cursor["lanes"] != self.B:
            raise DataError(
                f"the checkpoint has batches of {cursor['lanes']}, this run of {self.B}; "
                "resume with the same --batch-size and data"
            )
        self._rng.bit_generator.state = cursor["rng"]
        self._begin_epoch()
        if type(cursor["position"]) is not int or not 0 <= cursor["position"] <= self.batches_per_epoch:
            raise DataError(f"an epoch has {self.batches_per_epoch:,} batches, none at {cursor['position']!r}")
        self._position = cursor["position"]

    def _begin_epoch(self) -> None:
        self._rng_at_epoch = self._rng.bit_generator.state
        self._batch = self.plan_epoch()
        self._position = 0
