"""The line of tabs at the top and the line of keys at the bottom."""

from collections.abc import Mapping
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Horizontal
from textual.content import Content
from textual.dom import DOMNode
from textual.keys import format_key
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
        self._live: tuple[Content, ...] = ()

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
        self._live = Content.assemble(live_part, (total, "$text-muted")), Content.assemble(live_part, " ")
        self.on_resize()

    def on_resize(self) -> None:
        """Leave the number of runs out where it would be cut."""
        place = self.query_one("#live", Static)
        place.update(next((one for one in self._live if one.cell_length <= place.size.width), Content("")))


@dataclass(frozen=True)
class Part:
    """A key in the line, and the action that a click on it does."""

    content: Content
    action: str
    node: DOMNode


class KeyLine(Widget):
    """The keys that work now: those of the tab at the left, as far as they fit; those of the dashboard at the right.

    A click on a key does what the key does.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._own: tuple[Part, ...] = ()
        self._general: tuple[Part, ...] = ()

    def on_mount(self) -> None:
        """Follow the focus and the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.renew())

    def renew(self) -> None:
        """Look up which keys work now; draw if they are different."""
        shows = self._own or self._general
        if shows and not self.app.app_focus:  # no widget has the focus now; the keys work again when it returns
            return
        active = list(self.screen.active_bindings.values())
        focused = self.screen.focused
        if focused is not None and focused.check_consume_key("a", "a"):  # an input field
            own = [one for one in active if one.node is focused and one.binding.show]
            general = [one for one in active if one.binding.action == "leave"]
        else:
            shown = [one for one in active if one.binding.show]
            own = [one for one in shown if one.node is not self.app]
            general = [one for one in shown if one.node is self.app]
        parts = _distinct(own), _distinct(general)
        if parts != (self._own, self._general):
            self._own, self._general = parts
            self.refresh()

    def _placed(self) -> list[tuple[int, Part]]:
        """The parts that fit, each with the cell in which it begins."""
        right = sum(part.content.cell_length for part in self._general)
        placed, at = [], 1
        for part in self._own:
            if at + part.content.cell_length + right <= self.size.width:
                placed.append((at, part))
                at += part.content.cell_length
        at = max(at, self.size.width - right)
        for part in self._general:
            placed.append((at, part))
            at += part.content.cell_length
        return placed

    def render(self) -> Content:
        """One line."""
        line, used = [], 0
        for at, part in self._placed():
            line += [Content(" " * (at - used)), part.content]
            used = at + part.content.cell_length
        return Content("").join(line)

    async def on_click(self, event: events.Click) -> None:
        """Do what the key under the mouse does."""
        for at, part in self._placed():
            if at <= event.x < at + part.content.cell_length:
                await self.app.run_action(part.action, part.node)
                return


def _distinct(active: list[ActiveBinding]) -> tuple[Part, ...]:
    """A part of the line for each action; further keys for the same action are left out."""
    parts: dict[str, Part] = {}
    for one in active:
        parts.setdefault(one.binding.action, _part(one))
    return tuple(parts.values())


def _part(active: ActiveBinding) -> Part:
    binding = active.binding
    key, label = binding.key_display or format_key(binding.key), binding.description or "leave"
    return Part(Content.assemble((key, "bold $footer-key-foreground"), f" {label}  "), binding.action, active.node)
