"""Which columns the table of runs has room for, and how wide each is."""

from collections.abc import Sequence

from rich.text import Text

COLUMNS = {
    "name": 18, "cell": 8, "data": 10, "state": 10, "step": 13, "done": 5, "best val": 8, "speed": 10, "left": 7,
    "age": 5, "loss": 10,
}  # fmt: skip
"""Title and least width of each column."""

IMPORTANCE = ("name", "cell", "state", "done", "best val", "left", "age", "data", "loss", "speed", "step")
"""The order in which columns are given room; those that there is none for are left out."""

RIGHT = {"step", "done", "best val", "speed", "left", "age"}

PADDING = 1
"""Cells beside each column, on either side."""


def fitting(rows: Sequence[dict[str, Text]], room: int) -> dict[str, int]:
    """Title and width of the columns that fit, left to right; each is as wide as its widest cell.

    Args:
        rows: a cell for every title.
        room: cells of the terminal.
    """
    widths = {title: max([least, *(row[title].cell_len for row in rows)]) for title, least in COLUMNS.items()}
    shown = []
    for title in IMPORTANCE:
        room -= widths[title] + 2 * PADDING
        if room < 0:
            break
        shown.append(title)
    return {title: width for title, width in widths.items() if title in shown}
