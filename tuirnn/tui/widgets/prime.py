"""The field that a network reads while one types."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tuirnn import text

NEWLINE = "↵"
"""Stands for a newline in the one-line field."""


class Prime(Input):
    """The field that the network reads as one types; ↵ in it is a newline."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+j,shift+enter", "newline", "newline", show=False)]

    def validate_value(self, value: str) -> str:
        """Typed or pasted, nothing in the field may move the terminal's cursor."""
        return text.harmless(value.replace("\n", NEWLINE))

    def action_newline(self) -> None:
        """A newline to read."""
        self.insert_text_at_cursor(NEWLINE)

    def _on_paste(self, event: events.Paste) -> None:
        """Pasted text may have several lines, and anything at all in them."""
        self.insert_text_at_cursor(event.text.replace("\r\n", "\n").replace("\n", NEWLINE))
        event.stop()
        event.prevent_default()
