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
        self._branches: tuple[BranchView, ...] = ()

    def show(self, branches: Sequence[BranchView]) -> None:
        """Display these branches, each below its parent."""
        self._branches = tuple(branches)
        self.set_class(len(branches) > 1, "-several")
        self._draw()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width or 1_000
        self.update(Content("\n").join(_line(branch, width) for branch in self._branches))


def _line(branch: BranchView, width: int) -> Content:
    """A branch with as much about it as fits."""
    stem = "  " * (branch.depth - 1) + ("└ " if branch.depth else "")
    name = Content.styled(f"{stem}{text.visible_line(branch.name)}", "bold $accent" if branch.open else "")
    warmth = f"T {branch.temperature:g}" if branch.temperature is not None else ""
    fork = f" from {text.short(branch.fork)}" if branch.depth else ""
    length = text.short(branch.length)
    for first, rest in ((fork, (warmth, length)), ("", (warmth, length)), ("", (warmth,)), ("", ())):
        about = first + "".join(f" · {part}" for part in rest if part)
        line = Content.assemble(name, (about, "$text-muted"))
        if line.cell_length <= width:
            return line
    return name
