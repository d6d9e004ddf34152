"""A map of values: units down, characters or points across."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from tuirnn.text import visible_line
from tuirnn.tui.widgets.paint import Painted

SHADES, DOTS = " ░▒▓█", " ·:•●"
"""From 0 to 1, and from 0 to -1; the colour tells the sign as well."""

_HEIGHTS = "▁▂▃▄▅▆▇█"

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Heat:
    """What a map shows.

    Attributes:
        values: from -1 to 1 [rows, T].
        labels: of the rows.
        symbols: below the columns, one each.
        chosen: index of the row that is emphasised; -1 for none.
        lines: further rows below, each with its label and its values from 0 to 1 [T].
        cursor: index of the column that is emphasised; -1 for none.
        wide: cells of a column.
    """

    values: Values = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    labels: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    chosen: int = -1
    lines: Sequence[tuple[str, Values]] = ()
    cursor: int = -1
    wide: int = 1


class HeatMap(Painted):
    """Rows of values, each with a label, above lines of small columns and the symbols that they belong to."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._heat = Heat()

    def show(self, heat: Heat) -> None:
        """Display values."""
        self._heat = heat
        self.refresh()

    def room(self, label: int, lines: int = 0) -> tuple[int, int]:
        """Cells for columns, and rows for units, that fit beside labels of this width and above so many lines."""
        return max(1, self.content_size.width - label - 1), max(1, self.content_size.height - 1 - lines)

    def render_line(self, y: int) -> Strip:
        """A unit, or a line; the last one has the symbols."""
        heat, width, height, base = self._heat, self.content_size.width, self.content_size.height, self.paint("")
        label = max([len(name) for name in heat.labels] + [len(name) for name, _ in heat.lines], default=0)
        from_end = height - 1 - y
        if from_end == 0:
            segments = [Segment(" " * (label + 1), base), *self._symbols()]
        elif from_end <= len(heat.lines):
            name, values = heat.lines[len(heat.lines) - from_end]
            segments = [Segment(name.rjust(label) + " ", self.paint("label")), *self._line(values)]
        elif y < len(heat.values):
            style = self.paint("chosen" if y == heat.chosen else "label")
            segments = [Segment(heat.labels[y].rjust(label) + " ", style), *self._shades(heat.values[y])]
        else:
            return Strip.blank(width, base)
        return Strip(segments).adjust_cell_length(width, base)

    def _cells(self, text: str) -> str:
        """A column: the character, repeated but for a gap after it if columns are wide."""
        wide = self._heat.wide
        return text * max(1, wide - 1) + " " * (wide > 1)

    def _symbols(self) -> list[Segment]:
        heat = self._heat
        segments = []
        for at, symbol in enumerate(heat.symbols):
            shown = visible_line(symbol)[:1] or "·"
            shown = shown if cell_len(shown) == 1 else "·"
            style = "here" if at == heat.cursor else "plain"
            segments.append(Segment(shown.ljust(heat.wide), self.paint(style)))
        return segments

    def _line(self, values: Values) -> list[Segment]:
        levels = np.rint(np.nan_to_num(values).clip(0, 1) * (len(_HEIGHTS) - 1)).astype(int).tolist()
        styles = ("chosen", "train")
        return [
            Segment(self._cells(_HEIGHTS[level]), self.paint(styles[at != self._heat.cursor]))
            for at, level in enumerate(levels)
        ]

    def _shades(self, values: Values) -> list[Segment]:
        """A row in as few segments as have a style of their own."""
        levels = np.rint(np.abs(np.nan_to_num(values)).clip(0, 1) * (len(SHADES) - 1)).astype(int)
        segments: list[Segment] = []
        run, style = "", self.paint("")
        for level, value in zip(levels.tolist(), values.tolist(), strict=True):
            own, marks = (self.paint("positive"), SHADES) if value >= 0 else (self.paint("negative"), DOTS)
            if own != style and run:
                segments.append(Segment(run, style))
                run = ""
            run, style = run + self._cells(marks[level]), own
        return [*segments, Segment(run, style)]
