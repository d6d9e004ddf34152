"""A chart of curves in the colours of the theme."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tuirnn.charts import ends
from tuirnn.charts.columns import Scale
from tuirnn.charts.legend import GAP, Entry, lay_out
from tuirnn.charts.plot import Canvas, Options, Series, draw, with_cursor
from tuirnn.tui.widgets.paint import Painted

EMPTY_WIDTH = 72
"""Cells of a line of the text in place of a chart."""

LOWEST = 4
"""Least height of a plot in rows."""


class Chart(Painted):
    """Draws series; draws again only if they, the options or the size change.

    The style of a series is one of `theme.STYLES`.

    Args:
        empty: text that is shown while there is no curve.
    """

    class Pointed(Message):
        """The mouse was pressed at a value of x."""

        def __init__(self, chart: "Chart", x: float) -> None:
            super().__init__()
            self.chart, self.x = chart, x

    class Turned(Message):
        """The wheel was turned at a value of x: `by` is 1 to zoom in, -1 to zoom out."""

        def __init__(self, chart: "Chart", x: float, by: int) -> None:
            super().__init__()
            self.chart, self.x, self.by = chart, x, by

    class Dragged(Message):
        """The plot was dragged by a share of its width; positive is to the right."""

        def __init__(self, chart: "Chart", share: float) -> None:
            super().__init__()
            self.chart, self.share = chart, share

    def __init__(self, empty: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.empty = empty
        self._series: tuple[Series, ...] = ()
        self._options = Options()
        self._note: tuple[str, ...] = ()
        self._drawn: tuple[Size, Canvas] | None = None
        self._plain: tuple[object, Canvas] | None = None  # without the cursor, and what it was drawn from
        self._strips: list[Strip] | None = None
        self._dragging: int | None = None

    @property
    def series(self) -> tuple[Series, ...]:
        """The series that are drawn."""
        return self._series

    @property
    def options(self) -> Options:
        """The options they are drawn with."""
        return self._options

    def show(self, series: Sequence[Series], options: Options | None = None, note: Sequence[str] = ()) -> None:
        """Draw these series.

        Args:
            series: later ones lie over earlier ones.
            options: scale, zoom and cursor.
            note: lines of text beside the cursor.
        """
        wanted = tuple(series), options or Options(), tuple(note)
        if wanted == (self._series, self._options, self._note):
            return
        self._series, self._options, self._note = wanted
        self._drawn = self._strips = None
        self.refresh()

    def canvas(self) -> Canvas:
        """The chart at the widget's current size."""
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            self._drawn = (size, self._draw(size))
            self._strips = None
        return self._drawn[1]

    @property
    def scale(self) -> Scale | None:
        """The ranges of the plot; None if nothing is drawn."""
        area = self.canvas().area
        return area.scale if area else None

    def _x_at(self, event: events.MouseEvent) -> float | None:
        area = self.canvas().area
        return area.x_at(event.x - self.gutter.left) if area else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Report where the mouse was pressed; dragging may follow."""
        if (x := self._x_at(event)) is not None:
            self._dragging = event.screen_x
            self.capture_mouse()
            self.post_message(self.Pointed(self, x))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Report a drag."""
        area = self.canvas().area
        if self._dragging is not None and area and event.screen_x != self._dragging:
            self.post_message(self.Dragged(self, (event.screen_x - self._dragging) / area.W))
            self._dragging = event.screen_x

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End a drag."""
        self._dragging = None
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        self._turn(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        self._turn(event, -1)

    def _turn(self, event: events.MouseEvent, by: int) -> None:
        if (x := self._x_at(event)) is not None:
            self.post_message(self.Turned(self, x, by))

    def notify_style_update(self) -> None:
        """Keep the chart, but colour it again."""
        self._strips = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One row of the chart."""
        canvas = self.canvas()
        if self._strips is None:
            self._strips = [self._strip(canvas, row) for row in range(canvas.height)]
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.paint(""))

    def _draw(self, size: Size) -> Canvas:
        if not any(len(one.x) for one in self._series):
            canvas = Canvas(size.width, size.height)
            lines = textwrap.wrap(self.empty, max(1, min(size.width, EMPTY_WIDTH)))[: size.height]
            for row, line in enumerate(lines, (size.height - len(lines)) // 2):
                canvas.put(row, (size.width - len(line)) // 2, line, "label")
            return canvas
        if labels := ends.labels(self._series, size.width, size.height - 2):
            canvas = self._draw_with_ends(labels, size)
            self._put_note(canvas, 0)
            return canvas
        spare = size.height - LOWEST
        legend = lay_out(self._series, size.width - 1, min(spare, max(1, spare // 2)))
        high = len(legend.rows)
        plot = self._plot(legend.series, size.width, size.height - high, self._options)
        canvas = Canvas(size.width, size.height)
        canvas.rows[high:], canvas.styles[high:] = plot.rows, plot.styles
        canvas.area = plot.area
        for row, entries in enumerate(legend.rows):
            self._put_names(canvas, row, entries)
        self._put_note(canvas, high)
        return canvas

    def _plot(self, series: Sequence[Series], width: int, height: int, options: Options) -> Canvas:
        """The lines, drawn again only if they are others, and the cursor on them; the caller may write into it."""
        plain = dataclasses.replace(options, cursor=math.nan)
        wanted = tuple(series), width, height, plain
        if self._plain is None or self._plain[0] != wanted:
            self._plain = (wanted, draw(*wanted))
        return with_cursor(self._plain[1], options.cursor)

    def _draw_with_ends(self, labels: Mapping[str, ends.EndLabel], size: Size) -> Canvas:
        """The chart with the name of each line at its right end; lines without a point there have theirs below."""
        margin = max(len(label.name) for label in labels.values()) + 1
        canvas = self._plot(self._series, size.width, size.height, dataclasses.replace(self._options, margin=margin))
        area = canvas.area
        if area is None:
            return canvas
        missing = [name for name in labels if name not in area.ends]
        wanted = {**area.ends, **dict.fromkeys(missing, area.H - 1)}
        for name, row in zip(wanted, ends.apart(list(wanted.values()), area.H), strict=True):
            style = labels[name].style if name not in missing else "label"
            canvas.put(row, area.left + area.W + 1, labels[name].name, style)
        return canvas

    def _put_note(self, canvas: Canvas, top: int) -> None:
        """Write the note beside the cursor: to its left, if it fits, where a falling loss hides least of it."""
        area = canvas.area
        if area is None or not self._note:
            return
        wide = max(map(len, self._note)) + 2
        at = area.cell(self._options.cursor) if math.isfinite(self._options.cursor) else canvas.width
        begin = at - wide if at - wide >= area.left else min(at + 1, canvas.width - wide)
        for row, line in enumerate(self._note[: area.H], top):
            canvas.put(row, begin, f" {line}".ljust(wide), "note")

    def _put_names(self, canvas: Canvas, row: int, entries: Sequence[Entry]) -> None:
        """Write a row of the legend, aligned to the right."""
        at = max(0, canvas.width - sum(entry.width + GAP for entry in entries) + 2)
        for entry in entries:
            canvas.put(row, at, entry.mark, entry.style)
            canvas.put(row, at + entry.width - len(entry.name), entry.name, "label")
            at += entry.width + GAP

    def _strip(self, canvas: Canvas, row: int) -> Strip:
        return Strip([Segment(text, self.paint(name)) for text, name in canvas.spans(row)], canvas.width)
