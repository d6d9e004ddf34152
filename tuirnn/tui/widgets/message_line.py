"""A line for messages."""

from textual.content import Content
from textual.widgets import Static

from tuirnn.text import visible_line


class MessageLine(Static):
    """One line of text: the current message, or a remark if there is no message."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._message = self._remark = ""
        self._error = False

    def show_message(self, line: str, error: bool = False) -> None:
        """Display a message; '' removes the present one."""
        if (line, error) != (self._message, self._error):
            self._message, self._error = line, error
            self._renew()

    def show_remark(self, line: str) -> None:
        """Display a remark whenever there is no message; '' removes the present one."""
        if line != self._remark:
            self._remark = line
            self._renew()

    def _renew(self) -> None:
        style = "$text-muted" if not self._message else "$text-error" if self._error else "$text-warning"
        self.update(Content.styled(visible_line(self._message or self._remark), style))
