"""The field whose text the network reads while the user types."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tuirnn import text

NEWLINE = "↵"
"""Represents a newline in the field, which has one line."""


class PromptInput(Input):
    """A field for text that the network reads; ↵ represents a newline."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "let it write", key_display="⏎"),
        Binding("ctrl+j,shift+enter", "newline", "newline", key_display="^j"),
    ]

    def validate_value(self, value: str) -> str:
        """Replace characters that could move the terminal's cursor."""
        return text.harmless(value.replace("\n", NEWLINE))

    def action_newline(self) -> None:
        """Insert a newline."""
        self.insert_text_at_cursor(NEWLINE)

    def _on_paste(self, event: events.Paste) -> None:
        """Paste all lines, not only the first."""
        self.insert_text_at_cursor(event.text.replace("\r\n", "\n").replace("\n", NEWLINE))
        event.stop()
        event.prevent_default()
