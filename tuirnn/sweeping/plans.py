"""Which run of a sweep comes next, and which is not worth going on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tuirnn.sweeping.points import Point, is_done


class Plan(Protocol):
    """The runs of a sweep, one after the other."""

    @property
    def points(self) -> Sequence[Point]:
        """The runs that are known so far, in order."""

    @property
    def pruned(self) -> frozenset[str]:
        """Names of the runs that were stopped because they were hopeless."""

    def begin(self, say: Callable[[str], None]) -> None:
        """Look which runs are done already; `say` receives a line about them."""

    def next(self) -> Point | None:
        """The next run to train; None: there is none."""

    def is_hopeless(self, point: Point) -> bool:
        """Whether a run at work should be stopped, by what its evaluations have found."""

    def tell(self, point: Point, loss: float, *, pruned: bool) -> None:
        """Take the best held-out loss of a run that has ended well, or was stopped because it was hopeless."""

    def close(self) -> None:
        """Let another process have it."""


class Listed:
    """Runs that are all known before the first begins.

    Args:
        points: the runs.
        folder: of runs.
    """

    pruned: frozenset[str] = frozenset()

    def __init__(self, points: Sequence[Point], folder: Path) -> None:
        self.points = points
        self._folder = folder
        self._waiting = list(points)

    def begin(self, say: Callable[[str], None]) -> None:
        """Look which runs are done already; `say` receives a line about them."""
        self._waiting = [point for point in self.points if not is_done(point, self._folder)]
        if len(self._waiting) < len(self.points):
            say(f"{len(self.points) - len(self._waiting)} of {len(self.points)} runs are done already")

    def next(self) -> Point | None:
        """The next run to train; None: there is none."""
        return self._waiting.pop(0) if self._waiting else None

    def is_hopeless(self, point: Point) -> bool:
        """Whether a run at work should be stopped: never."""
        return False

    def tell(self, point: Point, loss: float, *, pruned: bool) -> None:
        """Nothing depends on it."""

    def close(self) -> None:
        """Nothing is held."""
