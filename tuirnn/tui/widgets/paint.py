"""Widgets that paint with the theme's own colours."""

from rich.style import Style
from textual.app import App
from textual.widget import Widget

from tuirnn.tui import look


_KNOWN: dict[str, dict[str, str]] = {}


def variables(app: App[object]) -> dict[str, str]:
    """The colours of the theme that is on, those of our own among them."""
    if app.theme not in _KNOWN:
        _KNOWN[app.theme] = app.get_css_variables()
    return _KNOWN[app.theme]


class Painted(Widget):
    """A widget whose lines are made of text and the names of `look.PAINTS`."""

    _paints: tuple[str, dict[str, Style]] = ("", {})

    def paint(self, name: str) -> Style:
        """The style of that name over the widget's own; '' is the widget's own."""
        theme, known = self._paints
        if theme != self.app.theme:
            self._paints = (self.app.theme, known := {})
        if name not in known:
            known[name] = look.paint(name, variables(self.app)) if name else Style()
        return self.rich_style + known[name]
