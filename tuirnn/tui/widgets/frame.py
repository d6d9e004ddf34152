"""The line of tabs on top and the line of keys at the bottom."""

from typing import cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from tuirnn.tui.keys import TABS, Key, keys_of


class TabName(Static):
    """One tab's name; a click opens it."""

    class Chosen(Message):
        """The tab with the id `tab` was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, tab: str, number: int) -> None:
        super().__init__(Content(f" {number} {TABS[tab]} "), id=f"tab-{tab}", classes="tab-name")
        self.tab = tab

    def on_click(self, event: events.Click) -> None:
        """Ask for the tab."""
        self.post_message(self.Chosen(self.tab))


class TopLine(Horizontal):
    """Name of the program, tabs, and what is live."""

    def compose(self) -> ComposeResult:
        """The parts, left to right."""
        yield Static(Content.styled(" tuirnn ", "bold"), id="app-name")
        for number, tab in enumerate(TABS, 1):
            yield TabName(tab, number)
        yield Static("", id="live")

    def show_tab(self, tab: str) -> None:
        """Mark the open tab."""
        for name in self.query(TabName):
            name.set_class(name.tab == tab, "-open")

    def show_live(self, live: int, runs: int) -> None:
        """Say how many runs are live."""
        live_part = (f"● {live} live", "bold $text-success") if live else ("○ none live", "$text-muted")
        total = f" · {runs} run{'' if runs == 1 else 's'} "
        self.query_one("#live", Static).update(Content.assemble(live_part, (total, "$text-muted")))


class KeyLine(Widget):
    """The keys that work now, as many as fit; help and quit always."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[Key, ...] = ()

    def on_mount(self) -> None:
        """Follow the focus and the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.renew())

    def renew(self) -> None:
        """Look which keys work now; draws only where that changed."""
        if (keys := tuple(self._working())) != self._shown:
            self._shown = keys
            self.refresh()

    def _working(self) -> list[Key]:
        from tuirnn.tui.app import DashboardApp

        app = cast(DashboardApp, self.app)
        focused = self.screen.focused
        if focused is not None and focused.check_consume_key("a", "a"):  # a field takes what is typed
            return [key for key in keys_of("") if key.action == "leave"]
        own = [key for key in keys_of(app.tab) if app.check_action("do", (key.tab, key.action))]
        return [key for key in (*own, *keys_of("")) if key.label]

    def render(self) -> Content:
        """Keys from the left, the general ones at the right end."""
        general = [_key(key) for key in self._shown if not key.tab]
        right = sum(part.cell_length for part in general)
        line, used = [Content(" ")], 1
        for key in self._shown:
            part = _key(key)
            if key.tab and used + part.cell_length + right <= self.size.width:
                line.append(part)
                used += part.cell_length
        room = Content(" " * max(0, self.size.width - used - right))
        return Content("").join([*line, room, *general])


def _key(key: Key) -> Content:
    return Content.assemble((key.shown, "bold $footer-key-foreground"), (f" {key.label or 'leave'}  ", ""))
