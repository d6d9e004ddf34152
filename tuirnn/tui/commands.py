"""All actions of the dashboard by name or by the mouse: the help, the command palette, the names of the tabs."""

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding
from textual.command import CommandList, CommandPalette
from textual.screen import Screen

from tuirnn.tui import theme
from tuirnn.tui.copying import Copying
from tuirnn.tui.keys import as_mapped
from tuirnn.tui.tabs import TITLES, tab_classes
from tuirnn.tui.widgets.frame import TabName


class Palette(CommandPalette):
    """The command palette; ignores keys that arrive before its list is laid out."""

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).size.height:
            super()._action_command_list(action)


class Commands(Copying):
    """An app with a help and a command palette.

    Attributes:
        KEYS: those that work on every tab.
        too_small: whether the window is too small to show anything.
    """

    KEYS: ClassVar[tuple[Binding, ...]]
    too_small = False

    @classmethod
    def every_key(cls) -> list[Binding]:
        """Every key that a keymap can change: the general ones, those of the tabs and of the table of runs."""
        from tuirnn.tui.widgets.runs_table import RunsTable

        of_tabs = [one for kind in tab_classes() for one in kind.KEYS]
        return [*cls.KEYS, *of_tabs, *(one for one in RunsTable.BINDINGS if isinstance(one, Binding))]

    def action_help(self) -> None:
        """Show all keys, those of the open tab first."""
        from tuirnn.tui.screens.dialogs import Help

        kinds = sorted(tab_classes(), key=lambda kind: self.tab != kind.NAME)
        sections = [(f"{TITLES[kind.NAME]} tab", as_mapped(kind.KEYS, self.mapped)) for kind in kinds]
        self.push_screen(Help([sections[0], ("everywhere", as_mapped(self.KEYS, self.mapped)), *sections[1:]]))

    def action_command_palette(self) -> None:
        """Open the command palette, except in a window that is too small for it."""
        if not self.too_small and not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette())

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers: the actions of all keys, and the themes."""
        for one in self.KEYS:
            if one.action not in ("leave", "command_palette"):
                yield SystemCommand(one.tooltip, f"key {one.key_display}", partial(self.run_action, one.action))
        for kind in tab_classes():
            for one in kind.KEYS:
                if not one.action.startswith("scroll"):
                    title = f"{TITLES[kind.NAME]}: {one.tooltip}"
                    yield SystemCommand(title, f"key {one.key_display}", partial(self._press, kind.NAME, one))
        for name in theme.THEMES:
            yield SystemCommand(f"theme: {name}", "colours", partial(setattr, self, "theme", name))

    async def _press(self, tab: str, pressed: Binding) -> None:
        """Do what a key of a tab does."""
        await self.run_action(f"show('{tab}')")
        if not await self.run_action(pressed.action, self.tabs[tab]):
            self.notify(f"not possible now: {pressed.tooltip}", timeout=3, markup=False)

    async def on_tab_name_chosen(self, event: TabName.Chosen) -> None:
        """Open the tab whose name was clicked."""
        await self.run_action(f"show('{event.tab}')")
