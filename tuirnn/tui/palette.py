"""The command palette."""

from textual.command import CommandList, CommandPalette


class Palette(CommandPalette):
    """The command palette; ignores keys that arrive before its list is laid out."""

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).size.height:
            super()._action_command_list(action)
