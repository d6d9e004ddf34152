"""Titles of panels that are left out part by part where there is no space, instead of being cut within a word."""

from collections.abc import Sequence

from textual.content import Content

BETWEEN = " · "

FRAME = 6
"""Cells of a panel's width that its border leaves to no title: corners, and a line and a blank at both ends."""


def fit(parts: Sequence[str | Content], width: int) -> Content:
    """The parts that fit beside each other, the first ones first; a later, shorter one may fit where another does not.

    Args:
        parts: of a title; empty ones are left out.
        width: of the panel in cells, with its border (`outer_size`); 0 before it is known: all parts.
    """
    room, shown = (width or 1_000) - FRAME, list[Content]()
    for part in parts:
        content = part if isinstance(part, Content) else Content(part)
        wide = content.cell_length + (len(BETWEEN) if shown else 0)
        if content.cell_length and wide <= room:
            shown.append(content)
            room -= wide
    return Content(BETWEEN).join(shown)
