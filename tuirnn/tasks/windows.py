"""Contiguous data, a text or a series: its splits, and batches of windows of T + 1 tokens or points.

Batches are time-major: x [T, B] or [T, B, F] and y, which is one token or point ahead of x.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.batches import Batch, Batches
from tuirnn.vocab import Ids, Tokens

LISTED = 2**25
"""Windows up to which their order is drawn as a list."""

SOUGHT = 2**24
"""Tokens that are searched at a time."""


def places(ids: Tokens, token: int) -> Ids:
    """Where a token stands in ids [n], int64 [m]; a long text is searched piece by piece."""
    pieces = [np.flatnonzero(ids[at : at + SOUGHT] == token) + at for at in range(0, len(ids), SOUGHT)]
    return np.concatenate([np.zeros(0, np.int64), *pieces])


def split(
    ids: Tokens, config: DataConfig, *, at: int | None = None, published: tuple[int, int] | None = None
) -> tuple[Tokens, Tokens, Tokens]:
    """Cut ids [n] into contiguous (train, test, val); nothing is in two of them, unless `--split within` says so.

    Args:
        ids: the text.
        config: the shares.
        at: token that a part may begin with, such as a list's newline; None: any.
        published: tokens of the validation and of the test part, which end the text in this order; None: the shares.
    """
    if published is not None:
        second = max(0, len(ids) - published[1])
        first = max(0, second - published[0])
        return ids[:first], ids[second:], ids[first:second]
    val = max(2, round(len(ids) * config.val_fraction))
    test = round(len(ids) * config.test_fraction)
    first, second = max(0, len(ids) - val - test), max(0, len(ids) - val)
    if at is not None:
        begins = places(ids, at)
        first, second = (int(begins[np.searchsorted(begins, cut, "right") - 1]) for cut in (first, second))
    train = ids if config.split == "within" else ids[:first]
    return train, ids[first:second], ids[second:]


class Windows(Batches):
    """Batches of windows of T + 1 tokens; subclasses say where the windows of an epoch start.

    Args:
        ids: the training split, tokens [n] or points [n, F].
        config: length, batch size and seed.
        newline: the token that lines begin after.
        targets: what is to be predicted where that is not `ids` itself, of the same shape; None: `ids`.

    Attributes:
        starts: where the windows of the last batch begin, [B].
    """

    starts: Ids

    def __init__(
        self, ids: npt.NDArray[Any], config: TrainConfig, *, newline: int = -1, targets: npt.NDArray[Any] | None = None
    ) -> None:
        self.ids, self.newline, self.targets = ids, newline, ids if targets is None else targets
        self.T = config.seq_len
        if len(ids) < self.T + 1:
            raise DataError(
                f"the training part has {len(ids):,} tokens, fewer than one sequence of {self.T} and its next "
                f"token; lower --seq-len below {len(ids):,} or give more data"
            )
        self.B = min(config.batch_size, self.most_lanes())
        self._offsets = np.arange(self.T + 1)[:, None]
        super().__init__(config.seed)

    def most_lanes(self) -> int:
        """The largest batch that this text fills."""
        return len(self.ids) - self.T

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
            self.starts = starts(position)
            where = self.starts + self._offsets  # [T+1, B]
            return _wide(self.ids[where[:-1]]), _wide(self.targets[where[1:]]), self.carry(position)

        return batch


def _wide(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Tokens as int64, which networks read; points as they are."""
    return values.astype(np.int64, copy=False) if values.dtype.kind in "iu" else values


class StreamBatches(Windows):
    """B contiguous lanes through the split, read side by side; the hidden state is carried along."""

    carries_state = True

    def most_lanes(self) -> int:
        """Each lane needs one window."""
        return (len(self.ids) - 1) // self.T

    @property
    def batches_per_epoch(self) -> int:
        """Windows in each lane, one fewer than fits where the random phase needs room."""
        return max(1, ((len(self.ids) - 1) // self.B - 1) // self.T)

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shift every epoch by a random phase, so that window borders fall elsewhere each time."""
        lane = (len(self.ids) - 1) // self.B
        room = lane - self.batches_per_epoch * self.T
        phase = int(self._rng.integers(0, room + 1))
        lanes = np.arange(self.B, dtype=np.int64) * lane + phase
        return lambda position: lanes + position * self.T

    def carry(self, position: int) -> npt.NDArray[np.float32]:
        """All but one lane in turn, so that the network also knows the zero state that every use begins with."""
        carry = np.full(self.B, float(position > 0), np.float32)
        carry[position % self.B] = 0.0
        return carry


class RandomBatches(Windows):
    """B windows from anywhere in the text, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """As many as read each token once on average."""
        return max(1, (len(self.ids) - 1) // (self.B * self.T))

    def plan_starts(self) -> Callable[[int], Ids]:
        """Starts are drawn with replacement."""
        starts = self._rng.integers(0, len(self.ids) - self.T, size=(self.batches_per_epoch, self.B))
        return lambda position: starts[position]


class WindowBatches(Windows):
    """Every window of stride one, once an epoch, in random order, each from a zero state."""

    @property
    def batches_per_epoch(self) -> int:
        """Full batches of windows."""
        return (len(self.ids) - self.T) // self.B

    def plan_starts(self) -> Callable[[int], Ids]:
        """Shuffle all starts."""
        n = len(self.ids) - self.T
        if n > LISTED:
            shuffled = Shuffle(n, self._rng)
            return lambda position: shuffled(np.arange(position * self.B, (position + 1) * self.B))
        starts = self._rng.permutation(n)
        return lambda position: starts[position * self.B : (position + 1) * self.B]


class Shuffle:
    """A random order of the numbers below n that is computed, not listed: a Feistel network of four rounds.

    The network shuffles the numbers below a power of four; those from n on are shuffled again until they are below n.

    Args:
        n: how many.
        rng: draws the keys.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n = n
        self._half = np.uint64(max(1, (n - 1).bit_length() + 1 >> 1))
        self._keys = rng.integers(0, 2**64, 4, np.uint64)

    def __call__(self, places: Ids) -> Ids:
        """The numbers at some places of the order."""
        found = self._network(places.astype(np.uint64))
        while len(outside := np.flatnonzero(found >= self.n)):
            found[outside] = self._network(found[outside])
        return found.astype(np.int64)

    def _network(self, numbers: "npt.NDArray[np.uint64]") -> "npt.NDArray[np.uint64]":
        half, mask = self._half, (np.uint64(1) << self._half) - np.uint64(1)
        left, right = numbers >> half, numbers & mask
        for key in self._keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xC2B2AE3D27D4EB4F)
            left, right = right, left ^ (mixed >> np.uint64(40)) & mask
        return (left << half) | right


WINDOWS: dict[str, type[Windows]] = {"stream": StreamBatches, "random": RandomBatches, "windows": WindowBatches}
"""Those of any contiguous data, by the value of --batches."""
