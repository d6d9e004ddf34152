"""A loss chart: `plot` on the screen, in the colours of the theme."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tuirnn.tui.plot import Canvas, Options, Series, draw
from tuirnn.tui.text import visible_line


class Chart(Widget):
    """Draws the series it is handed; drawn anew only when they, the options or the size change.

    The style of a series names one of the component classes `chart--…`.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{name}" for name in ("axis", "label", "cursor", "alarm", "raw", "train", "val", "best")
    }

    def __init__(self, empty: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.empty = empty
        self._series: tuple[Series, ...] = ()
        self._options = Options()
        self._note: tuple[str, ...] = ()
        self._drawn: tuple[Size, Canvas] | None = None
        self._strips: list[Strip] | None = None

    @property
    def series(self) -> tuple[Series, ...]:
        """What is drawn."""
        return self._series

    @property
    def options(self) -> Options:
        """How it is drawn."""
        return self._options

    def show(self, series: Sequence[Series], options: Options | None = None, note: Sequence[str] = ()) -> None:
        """Draw these series.

        Args:
            series: later ones lie over earlier ones.
            options: scale, zoom and cursor.
            note: lines to write beside the cursor.
        """
        self._series, self._options, self._note = tuple(series), options or Options(), tuple(note)
        self._drawn = self._strips = None
        self.refresh()

    def canvas(self) -> Canvas:
        """The chart at the widget's present size."""
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            self._drawn = (size, self._draw(size))
            self._strips = None
        return self._drawn[1]

    def notify_style_update(self) -> None:
        """The theme has changed: same chart, other colours."""
        self._strips = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One row of the chart."""
        canvas = self.canvas()
        if self._strips is None:
            self._strips = [self._strip(canvas, row) for row in range(canvas.height)]
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self, size: Size) -> Canvas:
        if not any(len(one.x) for one in self._series):
            canvas = Canvas(size.width, size.height)
            text = self.empty[: size.width]
            canvas.put(size.height // 2, (size.width - len(text)) // 2, text, "label")
            return canvas
        legend = size.height >= 8
        plot = draw(self._series, size.width, size.height - legend, self._options)
        if not legend:
            return plot
        canvas = Canvas(size.width, size.height)
        canvas.rows[1:], canvas.styles[1:] = plot.rows, plot.styles
        self._legend(canvas)
        for row, line in enumerate(self._note, 2):
            canvas.put(row, size.width - len(line) - 1, line, "label")
        return canvas

    def _legend(self, canvas: Canvas) -> None:
        """The names of the series, right-aligned above the plot."""
        entries = [(one.mark or "━", visible_line(one.name), one.style) for one in self._series if one.name]
        at = canvas.width - sum(len(name) + 5 for _, name, _ in entries) + 2
        for mark, name, style in entries:
            canvas.put(0, at, mark, style)
            canvas.put(0, at + 2, name, "label")
            at += len(name) + 5

    def _strip(self, canvas: Canvas, row: int) -> Strip:
        base = self.rich_style
        styles: dict[str, Style] = {"": base}
        segments = []
        for text, name in canvas.spans(row):
            if name not in styles:
                styles[name] = base + self.get_component_rich_style(f"chart--{name}", partial=True)
            segments.append(Segment(text, styles[name]))
        return Strip(segments, canvas.width)
