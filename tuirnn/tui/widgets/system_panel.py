"""What the machine is doing, each meter with its last minutes as a small curve."""

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from tuirnn import text
from tuirnn.machine import size
from tuirnn.runs.reader import Status
from tuirnn.tui.usage import Meter
from tuirnn.tui.widgets.bars import bar

BAR = 10
"""Cells of a bar at least."""


class SystemPanel(Widget):
    """Displays meters, and what a live run takes of them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._meters: tuple[tuple[str, tuple[float, ...], str], ...] = ()
        self._notes: tuple[str, ...] = ()

    def show(self, meters: Sequence[Meter], status: Status | None, note: str = "") -> None:
        """Display these meters.

        Args:
            meters: of the machine.
            status: of the run, whose own share is displayed while it is live.
            note: a line below them, or ''.
        """
        own = ""
        if status is not None and status.live and status.pid:
            own = f"this run: cpu {status.cpu:.0f} %, {size(status.rss)}, process {status.pid} on {status.host}"
        shown = tuple((one.name, tuple(one.shares), one.words) for one in meters)
        notes = tuple(text.visible_line(line) for line in (own, note) if line)
        if (shown, notes) != (self._meters, self._notes):
            self._meters, self._notes = shown, notes
            self.refresh()

    def render(self) -> Content:
        """A line for each meter: name, bar, words, and its course where there is room; then the notes."""
        if not self._meters:
            return Content.styled("reading …", "$text-muted")
        name = max(len(one[0]) for one in self._meters)
        words = max(len(one[2]) for one in self._meters)
        room = self.content_size.width - name - words - 4
        cells = min(max(room // 2, BAR), 24)
        course = max(0, room - cells - 2)
        lines = []
        for title, shares, said in self._meters:
            curve = text.levels(shares[-course:]) if course > 8 else ""
            filled = bar(shares[-1] if shares else 0.0, cells)
            lines.append(
                Content.assemble(
                    (title.ljust(name), "$text-muted"), "  ", (filled, "$accent"), "  ", (said.ljust(words), "bold"),
                    ("  " + curve, "$text-muted"),
                )
            )  # fmt: skip
        return Content("\n").join([*lines, *(Content.styled(note, "$text-muted") for note in self._notes)])
