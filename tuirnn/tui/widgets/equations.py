"""The equations of a cell."""

import re
import textwrap

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from tuirnn.cells import Cell
from tuirnn.tui.widgets.titles import entitle

GAP = 3
"""Cells between two columns."""

ASCII = {"log σ": "log_sigmoid", "σ": "sigmoid", "√": "sqrt ", "−": "-", "²": "^2", "ᵀ": "^T"}
"""Replacements for the symbols of equations in ASCII output, beside those of the Greek letters."""

_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def plain(text: str) -> str:
    """An equation in ASCII."""
    from tuirnn.codegen.notation import GREEK, TILDE  # the first frame shows no equation

    text = re.sub("[⁻⁰¹³⁴⁵⁶⁷⁸⁹][⁻⁰¹²³⁴⁵⁶⁷⁸⁹]*", lambda found: "^" + found[0].translate(_SUPERSCRIPTS), text)
    for sign, word in (*ASCII.items(), (TILDE, "~"), *((letter, name) for name, letter in GREEK.items())):
        text = text.replace(sign, word)
    return text


class Equations(Widget):
    """The equations of one step, from the cell's definition; in columns if there are too few rows.

    Args:
        ascii: draw ASCII characters only.
    """

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ascii = ascii
        self._cell: Cell | None = None
        self._lines: tuple[str, ...] = ()

    def show(self, cell: Cell | None) -> None:
        """Display the equations of a cell; None displays nothing."""
        from tuirnn.codegen.equations import equations

        if cell is not self._cell:
            self._cell = cell
            found = equations(cell).forward if cell is not None else ()
            self._lines = tuple(map(plain, found)) if self._ascii else found
            entitle(
                self,
                f"{cell.name}, {cell.year}" if cell is not None else "",
                "equations of a step" if cell is not None else "",
            )
            self.refresh()

    @property
    def text(self) -> str:
        """The equations, a line each; '' without a cell."""
        return "\n".join(self._lines)

    def render(self) -> Content:
        """The equations, down the columns; if they do not fit, the number of lines that are left out."""
        if not self._lines:
            return Content.styled("no cell to look into yet", "$text-muted")
        width, high = max(self.content_size.width, 1), max(self.content_size.height, 1)
        columns = _columns(self._lines, width, high)
        if columns is None:
            lines = [part for line in self._lines for part in _wrapped(line, width)]
            left = len(lines) - high + 1
            columns = [[*lines[: high - 1], f"… {left} more"] if left > 1 else lines]
        wide = [max(map(cell_len, column)) for column in columns]
        rows = []
        for y in range(max(map(len, columns))):
            row = [column[y] if y < len(column) else "" for column in columns]
            rows.append(_styled([text + " " * (w - cell_len(text)) for text, w in zip(row, wide, strict=True)]))
        return Content("\n").join(rows)


def _columns(lines: tuple[str, ...], width: int, high: int) -> list[list[str]] | None:
    """Lines in columns of this height; None if they do not fit."""
    columns = [list(lines[at : at + high]) for at in range(0, len(lines), high)]
    used = sum(max(map(cell_len, column)) for column in columns) + GAP * (len(columns) - 1)
    return columns if used <= width else None


def _wrapped(line: str, width: int) -> list[str]:
    """A line, broken at blanks if it is too long."""
    if cell_len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 12), subsequent_indent="  ", break_long_words=False) or [line]


def _styled(row: list[str]) -> Content:
    """One line on the screen; what is before the equals signs is bold."""
    pieces: list[Content | str] = []
    for number, text in enumerate(row):
        name, equals, rest = text.partition(" = ")
        pieces += [" " * GAP] if number else []
        pieces += [Content.styled(name, "bold"), equals, rest] if equals else [text]
    return Content("").join(pieces)
