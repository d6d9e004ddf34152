"""Text that wraps and scrolls, each character in its own style."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuirnn.text import visible
from tuirnn.tui.views import Change
from tuirnn.tui.widgets.paint import Painted

LEVELS = 6
"""Distinguishable levels of surprise."""

NATS_A_LEVEL = 1.0

ACTIVATIONS = 7
"""Distinguishable levels of activation, from -1 to 1."""

Piece = tuple[str, str]
"""Text and the name of its style, one of `theme.STYLES`."""


def surprise_style(nats: float) -> str:
    """The style of a symbol with this loss in nats; NaN counts as the highest level."""
    return f"nats-{int(min(max(nats / NATS_A_LEVEL, 0), LEVELS - 1))}" if nats == nats else f"nats-{LEVELS - 1}"


def surprise_legend(before: str, after: str = "") -> Content:
    """The shades of surprise, in nats, between two explanations."""
    shades = [(f" {level}", f"$surprise-{level} reverse") for level in range(LEVELS)]
    return Content.assemble(before, " ", *shades, "+", f" {after}" if after else "")


def activation_style(value: float) -> str:
    """The style of an activation from -1 to 1."""
    middle = ACTIVATIONS // 2
    return f"act-{round(min(max(value if value == value else 0.0, -1.0), 1.0) * middle) + middle}"


def wrap(characters: Sequence[Piece], start: int, width: int) -> list[tuple[int, int]]:
    """Cut characters into lines of at most `width` cells, at blanks where possible.

    Args:
        characters: each is one visible character with its style.
        start: index at which the first line begins.
        width: of a line, in cells.
    Returns:
        (begin, end) of each line; a newline belongs to the line that it ends. At least one line.
    """
    lines: list[tuple[int, int]] = []
    begin, used, blank = start, 0, -1
    at = start
    while at < len(characters):
        character = characters[at][0]
        if character == "\n":
            lines.append((begin, at + 1))
            begin, used, blank = at + 1, 0, -1
        else:
            used += cell_len(character)
            if used > width and at > begin:
                end = blank + 1 if blank >= begin and character != " " else at
                lines.append((begin, end))
                begin, used, blank = end, 0, -1
                at = end - 1
            elif character == " ":
                blank = at
        at += 1
    lines.append((begin, len(characters)))
    return lines


class Lines(ScrollView, Painted, can_focus=False):  # CSS follows the first base
    """Lines of styled pieces in a scrolling view."""

    @property
    def line_width(self) -> int:
        """Width of a line in cells."""
        return max(1, self.scrollable_content_region.width)

    def layout_lines(self) -> int:
        """Lay the content out for the current width; returns the number of lines."""
        raise NotImplementedError

    def line(self, number: int) -> Iterable[Piece]:
        """One line of the current layout."""
        raise NotImplementedError

    def relayout(self) -> None:
        """Lay out again and draw."""
        self.virtual_size = Size(self.line_width, self.layout_lines())
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out for the new width."""
        self.relayout()

    def render_line(self, y: int) -> Strip:
        """One row of the visible part."""
        width, number = self.size.width, y + self.scroll_offset.y
        base = self.paint("")
        if number >= self.virtual_size.height:
            return Strip.blank(width, base)
        segments = [Segment(text, self.paint(name)) for text, name in self.line(number)]
        return Strip(segments).adjust_cell_length(width, base)


class StyledText(Lines):
    """Text that can grow at its end. The end stays visible unless the user scrolls up; text after the cursor is dim.

    Args:
        limit: number of characters that are kept.
    """

    class Pointed(Message):
        """A character was clicked; `characters` is the number of characters before it, dropped ones included."""

        def __init__(self, characters: int) -> None:
            super().__init__()
            self.characters = characters

    def __init__(self, *, limit: int = 20_000, id: str | None = None) -> None:
        super().__init__(id=id)
        self.limit = limit
        self._dropped = 0
        self.caret = False
        self._tail = 0
        self._grows = self._follows = True
        self._characters: list[Piece] = []
        self._lines: list[tuple[int, int]] = [(0, 0)]
        self._laid_width = 0

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(character for character, _ in self._characters)

    @property
    def tail(self) -> int:
        """Number of characters after the cursor."""
        return min(self._tail, len(self._characters))

    def clear(self) -> None:
        """Remove all text."""
        self._characters, self._laid_width, self._dropped, self._tail = [], 0, 0, 0
        self._grows = self._follows = True
        self.relayout()

    def show(self, pieces: Iterable[Piece]) -> None:
        """Show this text from its beginning."""
        self._characters = [(ch, style) for text, style in pieces for ch in visible(text)]
        self._laid_width = self._tail = 0
        self._grows = self._follows = False
        self.relayout()
        self.scroll_to(y=0, animate=False)

    def append(self, pieces: Iterable[Piece]) -> None:
        """Add text at the end."""
        self._grows = True
        self._characters += [(ch, style) for text, style in pieces for ch in visible(text)]
        if len(self._characters) > self.limit + self.limit // 4:
            self._dropped += len(self._characters) - self.limit
            del self._characters[: -self.limit]
            self._laid_width = 0
        self.relayout()

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes at the end, then put the cursor where the last one leaves it."""
        added: list[Piece] = []
        for change in changes:
            if change.take_back:
                self.append(added)
                added = []
                self.take_back(change.take_back)
            if change.text:
                added.append((change.text, change.style))
        if added:
            self.append(added)
        if changes:
            self.put_cursor(changes[-1].tail)

    def take_back(self, characters: int) -> None:
        """Remove this many characters from the end."""
        if characters:
            del self._characters[-characters:]
            while len(self._lines) > 1 and self._lines[-1][0] >= len(self._characters):
                self._lines.pop()
            if len(self._lines) > 1:  # a word that is shorter now may fit into the previous line
                self._lines.pop()
            self.relayout()

    def put_cursor(self, tail: int) -> None:
        """Put the cursor before the last `tail` characters, and make it visible if it has moved."""
        if tail == self._tail:
            return
        self._tail = tail
        self.refresh()
        if not self.tail:
            self._follows = True
            self.scroll_end(animate=False)
            return
        at = len(self._characters) - self.tail
        row = next((number for number, (_, end) in enumerate(self._lines) if at < end), 0)
        top, high = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if not top <= row < top + high:
            self.scroll_to(y=max(0, row - high // 2), animate=False)

    def on_click(self, event: events.Click) -> None:
        """Report which character was clicked."""
        number, x = event.y - self.gutter.top + self.scroll_offset.y, event.x - self.gutter.left
        if 0 <= number < len(self._lines):
            begin, end = self._lines[number]
            cells = 0
            for at in range(begin, end):
                cells += cell_len(self._characters[at][0])
                if cells > x:
                    self.post_message(self.Pointed(self._dropped + at))
                    return

    def relayout(self) -> None:
        """Lay out again; the end stays visible if it was."""
        super().relayout()
        if self._follows:
            self.scroll_end(animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Stop following the end when the user scrolls up; follow it again at the end."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = self._grows and new_value >= self.max_scroll_y

    def layout_lines(self) -> int:
        """Wrap the last line again; all lines if the width has changed."""
        width = self.line_width
        if width != self._laid_width:
            self._laid_width, self._lines = width, [(0, 0)]
        start = self._lines.pop()[0]
        self._lines += wrap(self._characters, start, width)
        return len(self._lines)

    def line(self, number: int) -> Iterable[Piece]:
        """One wrapped line without its newline; the cursor is a marked character, or a caret at the end."""
        begin, end = self._lines[number]
        here = len(self._characters) - self.tail
        run, style = "", ""
        for at, (character, name) in enumerate(self._characters[begin:end], begin):
            if at >= here:
                name = "here" if at == here and self.caret else "tail"
            if character == "\n":
                if name != "here":
                    continue
                character, name = "▌", "caret"
            if name != style and run:
                yield run, style
                run = ""
            run, style = run + character, name
        if run:
            yield run, style
        if self.caret and not self.tail and number == len(self._lines) - 1:
            yield "▌", "caret"
