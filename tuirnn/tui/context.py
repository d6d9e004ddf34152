"""What a screen may ask of the dashboard around it. Screens know this protocol instead of the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from tuirnn.errors import TuirnnError
    from tuirnn.preferences import Preferences
    from tuirnn.runs.layout import RunPaths
    from tuirnn.runs.listing import RunSummary
    from tuirnn.tui.run_folder import RunFolder


Result = TypeVar("Result")


class Context(Protocol):
    """The dashboard, as its screens see it."""

    # ── runs ──────────────────────────────────────────────────────────────────

    @property
    def folder(self) -> RunFolder:
        """The runs with their marks, line styles and logs."""

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor of the Runs tab."""

    @property
    def current(self) -> str:
        """Name of the run on the Train tab, or else of the highlighted one; '' if there is no run."""

    def scan(self) -> None:
        """Read the folder now, in a thread."""

    def run_started(self, name: str) -> None:
        """React to a training that was started from the dashboard."""

    def run_removed(self, paths: RunPaths) -> None:
        """React to a run that was deleted or renamed."""

    # ── the display ───────────────────────────────────────────────────────────

    @property
    def ascii(self) -> bool:
        """Whether only ASCII characters are drawn."""

    def notice(self, line: str, error: bool = False) -> None:
        """Show a notice in the corner for some seconds."""

    @property
    def preferred(self) -> Preferences:
        """What the user prefers."""

    def remember(self, name: str, value: Any) -> None:
        """Keep a preference of the dashboard between sessions: one of `preferences.DASHBOARD`, with its value."""

    def leave_field(self) -> None:
        """Move the focus from an input field to the open tab."""

    # ── other screens ─────────────────────────────────────────────────────────

    def open_run(self, paths: RunPaths) -> None:
        """Open the Train tab on a run."""

    def look_inside(self, name: str) -> None:
        """Open the X-ray tab on a run."""

    def generate_with(self, name: str) -> None:
        """Open the Generate tab on a run."""

    def new_run(self) -> None:
        """Open the form for a new run."""

    def start_tour(self) -> None:
        """Start the tour."""

    # ── background work ───────────────────────────────────────────────────────

    def in_background(
        self,
        group: str,
        work: Callable[[], Result],
        then: Callable[[Result], None],
        failed: Callable[[TuirnnError], None] | None = None,
    ) -> None:
        """Do some work in a thread.

        Args:
            group: names the kind of work.
            work: runs in the thread.
            then: receives the result, in the thread of the screens.
            failed: receives the error that `work` raised, in the thread of the screens; None shows it as a notice.
        """
