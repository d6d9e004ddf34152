"""Maps of numbers: units down, characters across."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from tuirnn.text import visible_line
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.paint import Painted

SHADES = " ░▒▓█"
"""From nothing to an end of the range; colour tells which end."""


class HeatMap(Painted):
    """Rows of values from -1 to 1 with a label each, above the text that they belong to."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._labels: tuple[str, ...] = ()
        self._text: tuple[str, ...] = ()
        self._chosen = -1

    def show(self, values: npt.NDArray[np.float32], labels: Sequence[str], symbols: Sequence[str], chosen: int) -> None:
        """Draw values [rows, T] with a label for each row, and the T symbols beneath; row `chosen` stands out."""
        self._values, self._labels, self._chosen = values, tuple(labels), chosen
        self._text = tuple(visible_line(symbol)[:1] or "·" for symbol in symbols)
        self.refresh()

    @property
    def room(self) -> tuple[int, int]:
        """Characters and rows that fit."""
        wide = max(map(len, self._labels), default=8) + 1
        return max(1, self.content_size.width - wide), max(1, self.content_size.height - 1)

    def render_line(self, y: int) -> Strip:
        """One unit, or the text on the last line."""
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


class Gates(Widget):
    """How the values of each gate spread over their range, and what share lies at either end."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._gates: dict[str, tuple[float, ...]] = {}

    def show(self, gates: dict[str, tuple[float, ...]]) -> None:
        """Draw these: name -> share in each of some equal bins."""
        if gates != self._gates:
            self._gates = dict(gates)
            self.refresh()

    def render(self) -> Content:
        """A small histogram and the shares at the ends, with bars where there is room; a heading for each range."""
        if not self._gates:
            return Content.styled("gates are recorded at each evaluation", "$text-muted")
        wide = max(len(NAMES.get(name, name)) for name in self._gates)
        cells = max(0, (self.content_size.width - wide - BINS - 4) // 2 - FIGURE)
        lines: list[Content] = []
        for low, high, among in RANGES:
            own = [name for name in self._gates if (name in FROM_TANH) == among]
            if own:
                ends = "".join(f"  {end:>{FIGURE - 2}}{'':{cells}}" for end in (low, high))
                lines.append(Content.styled(" " * (wide + BINS + 2) + ends, "$text-muted"))
                lines += [self._line(name, wide, cells) for name in own]
        return Content("\n").join(lines[: max(1, self.content_size.height)])

    def _line(self, letter: str, wide: int, cells: int) -> Content:
        known = [share if share == share else 0.0 for share in self._gates[letter]]
        most = max(known, default=0.0) or 1.0
        picture = "".join("▁▂▃▄▅▆▇█"[round(share / most * 7)] for share in known)[:BINS]
        low, high = (known[0], known[-1]) if known else (0.0, 0.0)
        return Content.assemble(
            (NAMES.get(letter, letter).ljust(wide), "bold"), "  ", (picture.ljust(BINS), "$accent"),
            f"  {_share(low)}", (bar(low, cells), "$warning"), f"  {_share(high)}", (bar(high, cells), "$success"),
        )  # fmt: skip


def _share(share: float) -> str:
    return f"{100 * share:.0f} % ".rjust(FIGURE - 2)


BINS = 10
"""Of the small histograms, a cell each."""

FIGURE = 8
"""Cells of a share, blanks before it included."""

NAMES = {
    "i": "input", "f": "forget", "o": "output", "g": "candidate", "r": "reset", "z": "update", "n": "candidate",
    "h": "state",
}  # fmt: skip
"""The gates' letters in words."""

FROM_TANH = ("g", "n", "h")
"""Those that run from -1 to 1; the others from 0, shut, to 1, open."""

RANGES = (("shut ", "open ", False), ("at -1 ", "at +1 ", True))
"""What the two ends are called, of the others and of those."""
