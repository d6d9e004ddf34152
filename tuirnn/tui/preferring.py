"""An app that follows the user's preferences, and keeps what is changed in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding

from tuirnn import preferences
from tuirnn.errors import ConfigError, chosen
from tuirnn.preferences import DASHBOARD, KEYMAPS, Preferences
from tuirnn.text import visible_line
from tuirnn.tui import theme
from tuirnn.tui.ended import DESKTOP, ended
from tuirnn.tui.keys import keymap

if TYPE_CHECKING:
    from tuirnn.runs.listing import RunSummary

DEFAULTS = Preferences({name: one.default for name, one in DASHBOARD.items()}, {}, {})


class Preferring(App[None]):
    """Has the themes, and the user's theme and keys.

    Args:
        preferred: what the user prefers; changes are kept in the file. None: defaults, and nothing is kept.

    Attributes:
        mapped: keys by the ids of their actions, where they are not the usual ones.
    """

    def __init__(self, preferred: Preferences | None) -> None:
        super().__init__()
        self._keeps, self.preferred = preferred is not None, preferred or DEFAULTS
        for own in theme.OWN:
            self.register_theme(own)
        name = str(self.preferred.dashboard["theme"])
        self.theme = chosen("dashboard.theme", theme.FORMER.get(name, name), theme.THEMES)
        self.mapped: dict[str, str] = {}

    def use_keys(self, known: Callable[[], Sequence[Binding]]) -> None:
        """Use the user's keys, of all the keys that there are; these are only asked for if the user has any."""
        name, own = str(self.preferred.dashboard["keymap"]), self.preferred.keys
        if own or name != KEYMAPS[0]:
            self.mapped = keymap(name, own, known())
            self.set_keymap(self.mapped)

    def remember(self, name: str, value: Any) -> None:
        """Keep a preference of the dashboard between sessions; a file that cannot be written is only told of."""
        if not self._keeps or self.preferred.dashboard[name] == value:
            return
        self.preferred = dataclasses.replace(self.preferred, dashboard={**self.preferred.dashboard, name: value})
        try:
            preferences.change(f"dashboard.{name}", value)
        except ConfigError as error:
            self.notify(visible_line(str(error)), severity="warning", markup=False)

    def tell_ends(self, before: Sequence[RunSummary], now: Sequence[RunSummary]) -> None:
        """Say which runs have ended, ring the bell, and ask the terminal for a notice, if the user wants that."""
        lines = ended(before, now)
        for line in lines:
            self.notify(line, timeout=8, markup=False)
        if lines and self.preferred.dashboard["bell"] and self._driver is not None:
            self._driver.write("\a" + DESKTOP.format("; ".join(lines)))

    def action_theme(self) -> None:
        """Switch to the next theme."""
        now = theme.THEMES.index(self.theme) if self.theme in theme.THEMES else -1
        self.theme = theme.THEMES[(now + 1) % len(theme.THEMES)]
        self.remember("theme", self.theme)
        self.notify(self.theme, timeout=2)
