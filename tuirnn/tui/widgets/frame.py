"""The line of tabs at the top and the line of keys at the bottom."""

from collections.abc import Mapping

from textual import events
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static


class TabName(Static):
    """The name of a tab; a click opens the tab."""

    class Chosen(Message):
        """The name of the tab with the id `tab` was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, tab: str, title: str, number: int) -> None:
        super().__init__(Content(f" {number} {title} "), id=f"tab-{tab}", classes="tab-name")
        self.tab = tab

    def on_click(self, event: events.Click) -> None:
        """Ask for the tab."""
        self.post_message(self.Chosen(self.tab))


class TopLine(Horizontal):
    """Name of the program, tabs, number of live runs.

    Args:
        titles: of the tabs, by their ids.
    """

    def __init__(self, titles: Mapping[str, str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._titles = titles

    def compose(self) -> ComposeResult:
        """The parts, left to right."""
        yield Static(Content.styled(" tuirnn ", "bold"), id="app-name")
        for number, (tab, title) in enumerate(self._titles.items(), 1):
            yield TabName(tab, title, number)
        yield Static("", id="live")

    def show_tab(self, tab: str) -> None:
        """Mark the open tab."""
        for name in self.query(TabName):
            name.set_class(name.tab == tab, "-open")

    def show_live(self, live: int, runs: int) -> None:
        """Display how many of the runs are live."""
        live_part = (f"● {live} live", "bold $text-success") if live else ("○ none live", "$text-muted")
        total = f" · {runs} run{'' if runs == 1 else 's'} "
        self.query_one("#live", Static).update(Content.assemble(live_part, (total, "$text-muted")))


class KeyLine(Widget):
    """The keys that work now: those of the tab at the left, as far as they fit; those of the dashboard at the right."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._own: tuple[Content, ...] = ()
        self._general: tuple[Content, ...] = ()

    def on_mount(self) -> None:
        """Follow the focus and the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.renew())

    def renew(self) -> None:
        """Look up which keys work now; draw if they are different."""
        if not self.app.app_focus:  # without it no widget has the focus; the keys work again when it returns
            return
        active = list(self.screen.active_bindings.values())
        focused = self.screen.focused
        if focused is not None and focused.check_consume_key("a", "a"):  # an input field
            own, general = [], [one for one in active if one.binding.action == "leave"]
        else:
            shown = [one for one in active if one.binding.show]
            own = [one for one in shown if one.node is not self.app]
            general = [one for one in shown if one.node is self.app]
        parts = _distinct(own), _distinct(general)
        if parts != (self._own, self._general):
            self._own, self._general = parts
            self.refresh()

    def render(self) -> Content:
        """One line."""
        right = sum(part.cell_length for part in self._general)
        line, used = [Content(" ")], 1
        for part in self._own:
            if used + part.cell_length + right <= self.size.width:
                line.append(part)
                used += part.cell_length
        room = Content(" " * max(0, self.size.width - used - right))
        return Content("").join([*line, room, *self._general])


def _distinct(active: list[ActiveBinding]) -> tuple[Content, ...]:
    """A part of the line for each action; further keys for the same action are left out."""
    return tuple(dict.fromkeys(_part(one) for one in active))


def _part(active: ActiveBinding) -> Content:
    key, label = active.binding.key_display or active.binding.key, active.binding.description or "leave"
    return Content.assemble((key, "bold $footer-key-foreground"), f" {label}  ")
