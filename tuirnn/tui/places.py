"""Places in the branches of a text: the list of branches, and those that undo and redo return to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tuirnn.tui.views import BranchView

if TYPE_CHECKING:
    from tuirnn.runtime.timeline import Timeline

Place = tuple[str, int]
"""Name of a branch, and tokens before the cursor."""

MOST = 1_000
"""Changes that can be undone."""


class History:
    """The places from which a text was changed. Nothing of the text is ever lost, so a place is all that undo needs."""

    def __init__(self) -> None:
        self._past: list[Place] = []
        self._future: list[Place] = []
        self._kind = ""

    def changing(self, kind: str, place: Place) -> None:
        """Note that the text is about to be changed from a place; changes of one kind in a row count as one.

        Args:
            kind: of change; '' for one that always counts by itself.
            place: where the cursor is.
        """
        if not kind or kind != self._kind or self._future:
            self._past.append(place)
            del self._past[:-MOST]
        self._kind = kind
        self._future.clear()

    def moved(self) -> None:
        """Note that the cursor has moved: a further change counts by itself."""
        self._kind = ""

    def undo(self, now: Place) -> Place | None:
        """The place to return to from `now`; None if there is none."""
        return self._go(self._past, self._future, now)

    def redo(self, now: Place) -> Place | None:
        """The place that was left by `undo`; None if there is none."""
        return self._go(self._future, self._past, now)

    def _go(self, source: list[Place], target: list[Place], now: Place) -> Place | None:
        self._kind = ""
        while source:
            place = source.pop()
            if place != now:
                target.append(now)
                return place
        return None


def place_of(timeline: "Timeline") -> Place:
    """Where the cursor is, without what is being typed."""
    return timeline.home.name, timeline.begun


def list_branches(timeline: "Timeline", temperatures: Mapping[str, float]) -> tuple[BranchView, ...]:
    """The tree of branches, each below its parent.

    Args:
        timeline: the text.
        temperatures: at which branches were written, by name.
    """
    rows: list[BranchView] = []

    def add(parent: str, depth: int) -> None:
        for branch in timeline.branches.values():
            if branch.parent == parent:
                own = branch is timeline.home
                warmth = temperatures.get(branch.name)
                rows.append(BranchView(branch.name, depth, branch.fork, len(branch.tokens), own, warmth))
                add(branch.name, depth + 1)

    add("", 0)
    return tuple(rows)
