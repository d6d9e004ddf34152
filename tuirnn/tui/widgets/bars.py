"""Bars: probabilities, and the values of hidden units."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widget import Widget

_HEIGHTS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float, cells: int) -> str:
    """A bar that fills a share of some cells, in eighths of a cell, padded to its full width."""
    eighths = round(min(max(share if share == share else 0.0, 0.0), 1.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


class Bars(Widget):
    """The likeliest symbols: name, bar and probability of each."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[tuple[str, float], ...] = ()

    def show(self, rows: Sequence[tuple[str, float]]) -> None:
        """Display these rows of name and probability."""
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self.refresh()

    def render(self) -> Content:
        """A line for each row; probabilities without their leading zero."""
        widest = min(12, max((cell_len(name) for name, _ in self._rows), default=1))
        cells = max(1, self.content_size.width - widest - 7)
        lines = []
        for name, share in self._rows[: self.content_size.height]:
            figure = f"{share:.3f}".removeprefix("0")
            lines.append(
                Content.assemble(
                    (set_cell_size(name, widest), "bold"), " ", (bar(share, cells), "$accent"), " ", figure.rjust(5)
                )
            )
        return Content("\n").join(lines)


class UnitColumns(Widget):
    """Values from -1 to 1 as small columns: the hidden state, unit by unit."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values: tuple[float, ...] = ()

    def show(self, values: Sequence[float]) -> None:
        """Display these values; those that do not fit are left out."""
        if tuple(values) != self._values:
            self._values = tuple(values)
            self.refresh()

    def render(self) -> Content:
        """Rows of columns; values near zero are faint, values near -1 and 1 are strong."""
        width, height = max(1, self.content_size.width), max(0, self.content_size.height)
        parts: list[Content | str | tuple[str, str]] = []
        for at, value in enumerate(self._values[: width * height]):
            if at and at % width == 0:
                parts.append("\n")
            clipped = min(max(value if value == value else 0.0, -1.0), 1.0)
            style = "$accent" if clipped > 0 else "$primary-lighten-2"
            faint = f" {round(30 + 70 * abs(clipped), -1):.0f}%"
            parts.append((_HEIGHTS[round((clipped + 1) / 2 * 7)], style + faint))
        return Content.assemble(*parts)
