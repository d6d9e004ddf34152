"""Cutting one long sequence, of tokens or of points, into contiguous splits and into batches of windows.

Batches are time-major: x [T, B] and y [T, B] of tokens, or [T, B, F] of points; y is one step ahead of x.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tuirnn.config import DataConfig, TrainConfig
from tuirnn.errors import DataError
from tuirnn.tasks.batches import Batch, Batches
from tuirnn.vocab import Ids

Sequence = npt.NDArray[Any]
"""One long sequence; its first axis is time."""

S = TypeVar("S", bound=Sequence)

UNITS = {"text": "tokens", "series": "points"}


def split(whole: S, config: DataConfig) -> tuple[S, S, S]:
    """Cut a sequence [n, …] into contiguous (train, test, val); nothing is in two of them."""
    val = max(2, round(len(whole) * config.val_fraction))
    test = round(len(whole) * config.test_fraction)
    first, second = max(0, len(whole) - val - test), max(0, len(whole) - val)
    return whole[:first], whole[first:second], whole[second:]  # type: ignore[return-value]


class WindowedBatches(Batches):
    """Batches of windows of T + 1 steps; subclasses say where the windows of an epoch start.

    Args:
        whole: the training split [n, …].
        config: length, batch size and seed.
        kind: what it is, a key of `UNITS`.
    """

    def __init__(self, whole: Sequence, config: TrainConfig, kind: str) -> None:
        self.whole = whole
        self.T = config.seq_len
        if len(whole) < self.T + 1:
            unit = UNITS[kind]
            raise DataError(
                f"the training {kind} has {len(whole):,} {unit}, fewer than one sequence of {self.T} and its next "
                f"{unit[:-1]}; lower --seq-len below {len(whole):,} or give a longer {kind}"
            )
        self.B = min(config.batch_size, self.most_lanes())
        self._offsets = np.arange(self.T + 1)[:, None]
        super().__init__(config.seed)

    def most_lanes(self) -> int:
        """The largest batch that this sequence fills."""
        return len(self.whole) - self.T

    def plan_starts(self) -> Callable[[int], Ids]:
        """Draw an epoch; returns a function from a batch's number to the B window starts."""
        raise AssertionError("subclasses define it")

    def carry(self, position: int) -> npt.NDArray[np.float32]:
        """Which sequences of a batch continue those of the batch before: 1, else 0."""
        return np.zeros(self.B, np.float32)

    def plan_epoch(self) -> Callable[[int], Batch]:
        """Windows at the planned starts."""
        starts = self.plan_starts()

        def batch(position: int) -> Batch:
            windows = self.whole[starts(position)[None, :] + self._offsets]  # [T+1, B, …]
            return windows[:-1], windows[1:], self.carry(position)

        return batch


class StreamBatches(WindowedBatches):
    """B contiguous lanes through the sequence, read side by side; the hidden state is carried along."""

    carries_state = True

    def most_lanes(self) -> int:
        """Each lane needs one window."""
        return (len(self.whole) - 1) // self.T

    @property
    def batches_per_epoch(self) -> int:
        """Windows in each lane, one fewer than fits where the random phase needs room."""
        return max(1, ((len(self.whole) - 1) // self.B - 1) // self.T)

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shift every epoch by a random phase, so that window borders fall elsewhere each time."""
        lane = (len(self.whole) - 1) // self.B
        room = lane - self.batches_per_epoch * self.T
        phase = int(self._rng.integers(0, room + 1))
        lanes = np.arange(self.B, dtype=np.int64) * lane + phase
        return lambda position: lanes + position * self.T

    def carry(self, position: int) -> npt.NDArray[np.float32]:
        """All but one lane in turn, so that the network also knows the zero state that every use begins with."""
        carry = np.full(self.B, float(position > 0), np.float32)
        carry[position % self.B] = 0.0
        return carry


class RandomBatches(WindowedBatches):
    """B windows from anywhere in the sequence, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """As many as read each step once on average."""
        return max(1, (len(self.whole) - 1) // (self.B * self.T))

    def plan_starts(self) -> Callable[[int], Ids]:
        """Starts are drawn with replacement."""
        starts = self._rng.integers(0, len(self.whole) - self.T, size=(self.batches_per_epoch, self.B))
        return lambda position: starts[position]


class WindowBatches(WindowedBatches):
    """Every window of stride one, once an epoch, in random order, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """Full batches of windows."""
        return (len(self.whole) - self.T) // self.B

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shuffle all starts."""
        starts = self._rng.permutation(len(self.whole) - self.T)
        return lambda position: starts[position * self.B : (position + 1) * self.B]


BATCHES: dict[str, type[WindowedBatches]] = {
    "stream": StreamBatches,
    "random": RandomBatches,
    "windows": WindowBatches,
}
