"""Widgets that draw in the styles of the theme."""

from rich.style import Style
from textual.app import App
from textual.widget import Widget

from tuirnn.tui import theme

_KNOWN: dict[str, dict[str, str]] = {}


def variables(app: App[object]) -> dict[str, str]:
    """The CSS variables of the current theme, including the dashboard's own."""
    if app.theme not in _KNOWN:
        _KNOWN[app.theme] = app.get_css_variables()
    return _KNOWN[app.theme]


class Painted(Widget):
    """A widget whose lines consist of text in `theme.STYLES`."""

    _paints: dict[str, Style] | None = None

    def paint(self, name: str) -> Style:
        """The style of this name over the widget's own; '' is the widget's own."""
        if self._paints is None:
            self._paints = {"": self.rich_style}
        if name not in self._paints:
            self._paints[name] = self._paints[""] + theme.style_of(name, variables(self.app))
        return self._paints[name]

    def notify_style_update(self) -> None:
        """Drop the styles of the previous theme."""
        self._paints = None
        super().notify_style_update()
