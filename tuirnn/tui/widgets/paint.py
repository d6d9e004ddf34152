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

    _paints: dict[str, Style] | None = None

    def paint(self, name: str) -> Style:
        """The style of that name over the widget's own; '' is the widget's own."""
        if self._paints is None:
            self._paints = {"": self.rich_style}
        if name not in self._paints:
            self._paints[name] = self._paints[""] + look.paint(name, variables(self.app))
        return self._paints[name]

    def notify_style_update(self) -> None:
        """The theme has changed, or the widget's own style."""
        self._paints = None
        super().notify_style_update()
