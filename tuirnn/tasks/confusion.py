"""Tables that fit the terminal."""

import shutil
import sys
from collections.abc import Sequence

from tuirnn.errors import one_line

GAP = 2
LONGEST, SHORTEST = 24, 3
"""Characters of a class's name that are shown at most, and that are left of one where the room is small."""


def terminal_width() -> int | None:
    """Columns of the terminal; None where standard output is none, and nothing has to fit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def confusion_table(classes: Sequence[str], counts: Sequence[Sequence[int]], columns: int | None = None) -> list[str]:
    """A confusion matrix, a line a true class, a column a guessed one.

    Args:
        classes: their names.
        counts: [true][guessed].
        columns: of the terminal; names are cut only where they do not fit into it. None: there is room for all.
    """
    corner = "true \\ guessed"
    names = [one_line(name, LONGEST) for name in classes]
    first = max(map(len, [corner, *names]))
    digits = [max(len(f"{count:,}") for count in column) for column in zip(*counts, strict=True)]
    widths = [max(len(name), figure) for name, figure in zip(names, digits, strict=True)]
    room = (columns or sys.maxsize) - first
    longest = max(widths)
    while longest > SHORTEST and sum(_cut(widths, digits, longest)) + GAP * len(widths) > room:
        longest -= 1
    widths = _cut(widths, digits, longest)
    heads = [one_line(name, max(width, SHORTEST)) for name, width in zip(names, widths, strict=True)]
    rows = [heads, *([f"{count:,}" for count in row] for row in counts)]
    return [
        f"{label:<{first}}" + "".join(" " * GAP + cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for label, row in zip([corner, *names], rows, strict=True)
    ]


def _cut(widths: Sequence[int], digits: Sequence[int], longest: int) -> list[int]:
    """Widths of the columns with no name longer than `longest`; counts are never cut."""
    return [max(figure, min(width, longest)) for width, figure in zip(widths, digits, strict=True)]
