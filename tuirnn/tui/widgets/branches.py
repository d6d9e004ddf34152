"""The list of a text's branches."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.tui.views import BranchView


class Branches(Static):
    """Name, temperature, fork and length of each branch, indented by depth; hidden while there is only one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self.border_title = "branches"

    def show(self, branches: Sequence[BranchView]) -> None:
        """Display these branches, each below its parent."""
        lines = []
        for branch in branches:
            stem = "  " * (branch.depth - 1) + ("└ " if branch.depth else "")
            fork = f" from {text.short(branch.fork)}" if branch.depth else ""
            name = (f"{stem}{text.visible_line(branch.name)}", "bold $accent" if branch.open else "")
            warmth = f" · T {branch.temperature:g}" if branch.temperature is not None else ""
            lines.append(Content.assemble(name, (f"{fork}{warmth} · {text.short(branch.length)}", "$text-muted")))
        self.set_class(len(branches) > 1, "-several")
        self.update(Content("\n").join(lines))
