"""A checkbox that states its value in words."""

from textual.content import Content
from textual.widgets import Checkbox


class OnOff(Checkbox):
    """A checkbox labelled on or off; in Textual's own only the colour of the X differs."""

    def render(self) -> Content:
        """Its value."""
        return Content("[x] on" if self.value else "[ ] off")
