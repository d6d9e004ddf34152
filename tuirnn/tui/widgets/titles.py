"""Titles of panels: parts are left out where there is no space, instead of being cut within a word."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

BETWEEN = " · "

WHOLE = "_whole_titles"
"""Attribute of a widget that has its titles as they were set, whether they fit or not."""

FRAME = 6
"""Cells of a panel's width that its border leaves to no title: corners, and a line and a blank at both ends."""


def entitle(widget: Widget, title: str | Content | None = None, subtitle: str | Content | None = None) -> None:
    """Set the titles in a widget's border as far as they fit; Textual would paint it again even if they are the same.

    Args:
        widget: with a border.
        title, subtitle: parts between " · "; None leaves it as it is.
    """
    whole: dict[str, Content] = vars(widget).setdefault(WHOLE, {})
    for name, wanted in (("border_title", title), ("border_subtitle", subtitle)):
        if wanted is not None:
            whole[name] = wanted if isinstance(wanted, Content) else Content(wanted)
            _set(widget, name, whole[name])


def refit(root: Widget) -> None:
    """Fit the titles of all widgets inside `root` again: some have another width now."""
    for widget in root.query("*").results(Widget):
        for name, whole in vars(widget).get(WHOLE, {}).items():
            _set(widget, name, whole)


def _set(widget: Widget, name: str, whole: Content) -> None:
    width = widget.outer_size.width
    shown = fit(whole.split(BETWEEN), width)
    if not shown.cell_length and whole.cell_length:
        shown = _shortened(whole, width - FRAME)
    if getattr(widget, name) != shown.markup:
        setattr(widget, name, shown)


def whole_words(written: str, room: int) -> list[str]:
    """The lines of a text, each cut after the last word that fits; room 0, before it is known: whole lines."""
    lines = []
    for line in written.split("\n"):
        fits = not room or cell_len(line) <= room
        lines.append(line if fits else f"{line[: max(line.rfind(' ', 0, room - 1), 0)].rstrip()} …")
    return lines


def _shortened(whole: Content, room: int) -> Content:
    """The words that fit, before three dots; nothing where there is no word that does."""
    end = whole.plain.rfind(" ", 0, max(room - 1, 0))
    return Content.assemble(whole[:end], " …") if end > 0 else Content("")


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
