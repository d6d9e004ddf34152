"""A setting that is on or off."""

from textual.content import Content
from textual.widgets import Checkbox


class OnOff(Checkbox):
    """A checkbox that says its state in words: Textual's own shows an X in either, told apart by colour alone."""

    def render(self) -> Content:
        """'[x] on' or '[ ] off'."""
        return Content("[x] on" if self.value else "[ ] off")
