"""Copying what is on the screen to the clipboard, through the terminal (OSC 52)."""

from tuirnn.text import count
from tuirnn.tui.keys import key
from tuirnn.tui.preferring import Preferring
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Choose

SHOWN = 60
"""Characters of a text that are shown in the list of what can be copied."""


COPY_KEYS = (
    key("ctrl+c", "copy", "", "copy what the cursor is on: the run, the text, the equations, the table"),
    key("Y", "copy_other", "", "choose what to copy: path, row, sample, figures, …"),
)


class Copying(Preferring):
    """An app whose open tab says what there is to copy.

    Attributes:
        tab: name of the open tab.
        tabs: those that have been made, by their names.
    """

    tab: str
    tabs: dict[str, Tab]

    def _copies(self) -> dict[str, str]:
        tab = self.tabs.get(self.tab)
        return {name: text for name, text in tab.copies().items() if text} if tab and tab.is_set_up else {}

    def action_copy(self) -> None:
        """Copy what the open tab is about: the first text that it has."""
        self._copy(next(iter(self._copies()), ""))

    def action_copy_other(self) -> None:
        """Choose what to copy."""
        found = self._copies()
        wide = max(map(len, found), default=0)
        options = [(name, f"{name.ljust(wide)}   {' '.join(text.split())[:SHOWN]}") for name, text in found.items()]
        if options:
            self.push_screen(Choose("copy", options, options[0][0], "copy"), lambda name: self._copy(name or ""))
        else:
            self._copy("")

    def _copy(self, name: str) -> None:
        if text := self._copies().get(name):
            self.copy_to_clipboard(text)
            size = f"{count(len(text))} characters, if the terminal allows it (OSC 52)"
            self.notify(f"copied the {name}: {size}", timeout=3, markup=False)
        elif not name:
            self.notify("there is nothing to copy here yet", timeout=3)
