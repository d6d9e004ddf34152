"""The first screen, before there are runs: three doors."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tuirnn.text import visible_line
from tuirnn.tui.keys import key

DOORS = (
    ("play", "a trained network: space lets it write", "4"),
    ("train", "a network on text, labels, tags or a series", "n"),
    ("tour", "two minutes, step by step", "h"),
)
"""Name, what is behind it, and the key that opens it from anywhere on the Runs tab."""

ABOUT = "Train small networks, watch them learn, look inside."


class Welcome(Vertical, can_focus=True):
    """Three doors, one of which is highlighted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("up,left", "move(-1)", "move", "previous choice"),
        key("down,right", "move(1)", "", "next choice"),
        key("enter", "choose", "open", "open the choice"),
    ]

    class Chosen(Message):
        """A door was chosen, by its name."""

        def __init__(self, door: str) -> None:
            super().__init__()
            self.door = door

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._at = 0
        self._folder = ""

    def compose(self) -> ComposeResult:
        """One panel in the middle."""
        yield Static("", id="doors", markup=False)

    def show_folder(self, folder: str) -> None:
        """Say where runs are stored."""
        if folder != self._folder:
            self._folder = folder
            self._draw()

    def on_mount(self) -> None:
        """Draw."""
        self._draw()

    def _draw(self) -> None:
        lines = [Content.assemble(("tuirnn", "bold $accent")), Content(ABOUT), Content("")]
        for number, (name, behind, shortcut) in enumerate(DOORS):
            here = number == self._at
            mark, style = ("▸ ", "bold $accent") if here else ("  ", "bold")
            lines.append(Content.assemble((mark, "$accent"), (f"{name:<8}", style), f"{behind:<46}", (shortcut, style)))
            lines.append(Content(""))
        where = f"Runs are kept in the folder {visible_line(self._folder)}" if self._folder else ""
        lines.append(Content.styled(where, "$text-muted"))
        for panel in self.query("#doors").results(Static):  # none before it is composed, or while it is closed
            panel.update(Content("\n").join(lines))

    def action_move(self, by: int) -> None:
        """Highlight the next (1) or previous (-1) door."""
        self._at = (self._at + by) % len(DOORS)
        self._draw()

    def action_choose(self) -> None:
        """Open the highlighted door."""
        self.post_message(self.Chosen(DOORS[self._at][0]))

    def on_click(self, event: events.Click) -> None:
        """Open the door that was clicked."""
        panel = self.query_one("#doors", Static)
        row, rest = divmod(event.screen_y - panel.content_region.y - 3, 2)
        if 0 <= row < len(DOORS) and not rest and panel.region.contains(event.screen_x, event.screen_y):
            self._at = row
            self._draw()
            self.action_choose()
