"""A map of values: units down, characters across."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from tuirnn.text import visible_line
from tuirnn.tui.widgets.paint import Painted

SHADES = " ░▒▓█"
"""From 0 to 1 in absolute value; the colour is the sign."""


class HeatMap(Painted):
    """Rows of values from -1 to 1, each with a label, above the text that they belong to."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._labels: tuple[str, ...] = ()
        self._text: tuple[str, ...] = ()
        self._chosen = -1

    def show(self, values: npt.NDArray[np.float32], labels: Sequence[str], symbols: Sequence[str], chosen: int) -> None:
        """Display values.

        Args:
            values: [rows, T].
            labels: of the rows.
            symbols: the T symbols below.
            chosen: index of the row that is emphasised; -1 for none.
        """
        self._values, self._labels, self._chosen = values, tuple(labels), chosen
        self._text = tuple(visible_line(symbol)[:1] or "·" for symbol in symbols)
        self.refresh()

    @property
    def room(self) -> tuple[int, int]:
        """Numbers of characters and rows that fit."""
        wide = max(map(len, self._labels), default=8) + 1
        return max(1, self.content_size.width - wide), max(1, self.content_size.height - 1)

    def render_line(self, y: int) -> Strip:
        """A unit; the last line is the text."""
        width, base = self.content_size.width, self.paint("")
        wide = max(map(len, self._labels), default=0) + 1
        if y == self.content_size.height - 1:
            text, used = "", wide
            for symbol in self._text:
                text += symbol if cell_len(symbol) == 1 else "·"
            return Strip([Segment(" " * used, base), Segment(text, base)]).adjust_cell_length(width, base)
        if y >= len(self._values):
            return Strip.blank(width, base)
        label = self.paint("chosen" if y == self._chosen else "label")
        segments = [Segment(self._labels[y].ljust(wide), label)]
        levels = np.rint(np.abs(np.nan_to_num(self._values[y])).clip(0, 1) * (len(SHADES) - 1)).astype(int)
        run, style = "", base
        for level, value in zip(levels.tolist(), self._values[y].tolist(), strict=True):
            own = self.paint("positive" if value >= 0 else "negative")
            if own != style and run:
                segments.append(Segment(run, style))
                run = ""
            run, style = run + SHADES[level], own
        return Strip([*segments, Segment(run, style)]).adjust_cell_length(width, base)
