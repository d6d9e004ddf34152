"""The text of the Generate tab as it is on the screen, kept equal to the engine's text by small changes."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuirnn.tui.views import Change
from tuirnn.tui.widgets.styled_text import surprise_style

if TYPE_CHECKING:
    from tuirnn.runtime.timeline import Timeline, Token


class ShownText:
    """Compares what is shown with what should be, and queues the changes in between.

    Attributes:
        changes: for the screen, oldest first.
        typed: the draft that is shown after the tokens; '' for none.
    """

    def __init__(self) -> None:
        self.changes: deque[Change] = deque()
        self.typed = ""
        self._tokens: list[Token] = []  # on the screen, before the draft
        self._draft = ""  # on the screen

    def append(self, token: "Token") -> None:
        """Show a token that was written at the end."""
        self._tokens.append(token)
        self.changes.append(_added(token))

    def update(self, timeline: "Timeline") -> int:
        """Show the open branch and the draft, from the first difference on; returns the characters after the cursor."""
        tokens = timeline.home.tokens[: timeline.begun] if self.typed else timeline.home.tokens
        same = common_prefix(self._tokens, tokens)
        removed = self._tokens[same:]
        redraft = bool(removed) or self.typed != self._draft
        if redraft:
            self.changes.append(Change(take_back=sum(len(token.text) for token in removed) + len(self._draft)))
        self.changes.extend(map(_added, tokens[same:]))
        if redraft and self.typed:
            self.changes.append(Change(text=self.typed, style="prime"))
        tail = 0 if self.typed else timeline.home.start(len(tokens)) - timeline.characters
        self.changes.append(Change(tail=tail))
        self._tokens[same:], self._draft = tokens[same:], self.typed
        return tail


def _added(token: "Token") -> Change:
    return Change(text=token.text, style=surprise_style(token.nats) if token.chosen else "prime")


def common_prefix(a: "Sequence[Token]", b: "Sequence[Token]") -> int:
    """Number of equal tokens at the beginnings of two texts; bisects, so that equal texts are compared quickly."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:  # the first difference lies in [low, high)
        middle = (low + high) // 2
        low, high = (low, middle) if a[low : middle + 1] != b[low : middle + 1] else (middle + 1, high)
    return low
