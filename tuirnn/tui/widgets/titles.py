"""Titles of panels: parts are left out where there is no space, instead of being cut within a word."""

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

BETWEEN = " · "

FRAME = 6
"""Cells of a panel's width that its border leaves to no title: corners, and a line and a blank at both ends."""


def entitle(widget: Widget, title: str | Content | None = None, subtitle: str | Content | None = None) -> None:
    """Set the titles in a widget's border; Textual would paint it again even where they are the same.

    Args:
        widget: with a border.
        title, subtitle: plain text; None leaves it as it is.
    """
    for name, wanted in (("border_title", title), ("border_subtitle", subtitle)):
        if wanted is None:
            continue
        content = wanted if isinstance(wanted, Content) else Content(wanted)
        if getattr(widget, name) != content.markup:
            setattr(widget, name, content)


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
