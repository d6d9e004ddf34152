"""Batches of windows from several series that lie one after the other: no window has rows of two of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.windows import WINDOWS, Windows
from tuirnn.vocab import Ids

Rows = npt.NDArray[np.floating[Any]]


class GroupWindows(Windows):
    """Windows at random, or every window once an epoch in random order; each from a zero state.

    Args:
        points, targets: see `Windows`.
        lengths: rows of each series.
        config: length, batch size and seed, and which of the two.
    """

    def __init__(self, points: Any, config: TrainConfig, targets: npt.NDArray[Any], lengths: Sequence[int]) -> None:
        begins = np.cumsum([0, *lengths])
        T = config.seq_len
        self._allowed = np.concatenate(
            [np.arange(begin, begin + n - T) for begin, n in zip(begins, lengths, strict=False)]
        )
        self._drawn = config.batches == "random"
        super().__init__(points, config, targets=targets)

    def most_lanes(self) -> int:
        """As many as there are windows."""
        return max(1, len(self._allowed))

    @property
    def batches_per_epoch(self) -> int:
        """As many as read each row once on average, or each window once."""
        each = self.B * self.T if self._drawn else self.B
        return max(1, len(self._allowed) // each)

    def plan_starts(self) -> Callable[[int], Ids]:
        """Draw or shuffle the starts."""
        if self._drawn:
            starts = self._rng.choice(self._allowed, (self.batches_per_epoch, self.B))
        else:
            starts = np.resize(self._rng.permutation(self._allowed), (self.batches_per_epoch, self.B))
        return lambda position: starts[position]


def make(name: str, points: Rows, targets: Rows, lengths: Sequence[int], config: TrainConfig) -> Windows:
    """Batches of the training part, as `config` wants them.

    Args:
        name: of the data.
        points, targets: what is read [n, ·], and what is to be said of each row when the one before has been read.
        lengths: rows of each series.
        config: see `Windows`.
    Raises:
        DataError: every series is too short, or they cannot be cut in that way.
    """
    if config.batches not in WINDOWS:
        raise DataError(f"a series takes --batches {', '.join(WINDOWS)}, not {config.batches}")
    longest = max(lengths)
    if longest <= config.seq_len:
        raise DataError(
            f"{name} has {longest:,} rows to train on, fewer than --seq-len {config.seq_len} and the next; lower "
            f"--seq-len below {longest:,} or give a longer series"
        )
    x: Any = points.astype(np.float32, copy=False)
    if len(lengths) == 1:
        return WINDOWS[config.batches](x, config, targets=targets.astype(np.float32, copy=False))
    if config.batches == "stream":
        raise DataError("a stream reads one series; with --group-column use --batches random or windows")
    return GroupWindows(x, config, targets.astype(np.float32, copy=False), [max(n, config.seq_len) for n in lengths])
