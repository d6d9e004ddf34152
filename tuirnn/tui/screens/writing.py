"""The actions on a text that a network writes: moving the cursor, branching, saving."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

from textual.content import Content

from tuirnn import text
from tuirnn.errors import RunError
from tuirnn.tui.engine import Engine
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask, Choose
from tuirnn.tui.views import View
from tuirnn.tui.widgets.styled_text import StyledText, surprise_legend

STATE = ".safetensors"
"""Ending of the name of a file with a state."""

MOST_FILES = 50
"""Files that are offered to be opened."""


def free_file(stem: str, ending: str) -> str:
    """`stem` with the ending, or with the first number that makes it the name of no file of the working folder."""
    names = (f"{stem}{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    return next(name for name in names if not Path(name).exists())


def _check_new(name: str) -> None:
    """Raise RunError unless a file of this name can be written."""
    if not name:
        raise RunError("enter a file name")
    if Path(name).exists():
        raise RunError(f"'{name}' already exists; choose another name")


class Writing(Tab):
    """A tab with a text that an engine writes.

    Attributes:
        engine: writes; None if no cell is open.
        view: the state of the engine that is on the screen.
    """

    engine: Engine | None = None
    view = View()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Whether a key works now; `can` is asked about the command itself."""
        return super().check_action(str(parameters[0]) if action == "send" else action, ())

    def send(self, command: str, value: object = None) -> None:
        """Send a command to the engine."""
        if self.engine:
            self.engine.send(command, value)

    def action_send(self, command: str, value: object = None) -> None:
        """Send a command, one of `engine.COMMANDS` or 'toggle'."""
        self.send(command, value)

    def on_styled_text_pointed(self, event: StyledText.Pointed) -> None:
        """Move the cursor to the character that was clicked."""
        if self.view.ready:
            self.send("at", event.characters)

    # ── branches ──────────────────────────────────────────────────────────────

    def action_branch(self) -> None:
        """Ask for a name, then continue in a new branch."""
        self._ask_name("new branch", "branch", "The text that follows belongs to the branch.")

    def action_keep(self) -> None:
        """Ask for a name, then keep the present state under it."""
        self._ask_name("keep this state", "keep", "B returns to it at any time.")

    def _ask_name(self, title: str, command: str, hint: str) -> None:
        stem = "kept" if command == "keep" else "branch"
        taken = {branch.name for branch in self.view.branches}
        name = next(name for n in range(1, len(taken) + 2) if (name := f"{stem} {n}") not in taken)

        self.app.push_screen(Ask(title, name, hint), self._answered(command))

    def action_switch(self) -> None:
        """Choose a branch, then continue there."""
        branches = self.view.branches
        if len(branches) < 2:
            self.context.notice("there is only one branch; b starts another one, k keeps this state under a name")
            return
        options = [
            (branch.name, f"{'  ' * branch.depth}{branch.name}   {text.count(branch.length)} {self.view.noun}s")
            for branch in branches
        ]
        now = next(branch.name for branch in branches if branch.open)

        self.app.push_screen(Choose("branches", options, now), self._answered("switch"))

    # ── keeping the text ──────────────────────────────────────────────────────

    def action_save(self) -> None:
        """Ask for a file, then write the text to it."""
        if self.engine is None:
            return
        engine = self.engine

        def answered(name: str | None) -> None:
            if name:
                try:
                    Path(name).write_text(engine.text(), encoding="utf-8", errors="replace")
                except OSError as error:
                    self.context.notice(f"cannot write {name}: {error.strerror}", error=True)
                else:
                    self.context.notice(f"saved as {name}")

        hint = f"A file name in {Path.cwd()}, or a path."
        self.app.push_screen(
            Ask("save the text as", free_file(Path(engine.cell).stem, ".txt"), hint, _check_new), answered
        )

    # ── states ────────────────────────────────────────────────────────────────

    def action_save_state(self) -> None:
        """Ask for a file, then write the state at the cursor to it."""
        if self.engine is None:
            return

        def check(name: str) -> None:
            _check_new(name)
            if not name.endswith(STATE):
                raise RunError(f"the name of a state's file ends in {STATE}")

        name = free_file(f"{Path(self.engine.cell).stem}-state", STATE)
        hint = "The state at the cursor, for O, --state and other programs. The text is not in it; w saves that."
        self.app.push_screen(Ask("save the state as", name, hint, check), self._answered("save_state"))

    def action_open_state(self) -> None:
        """Choose a file of the working folder, then start a text from the state in it."""
        found = sorted(Path().glob(f"*{STATE}"), key=lambda path: -path.stat().st_mtime)[:MOST_FILES]
        options = [(str(path), path.name) for path in found]
        if options:
            self.app.push_screen(Choose("open a state", options, options[0][0]), self._answered("open_state"))
        else:
            self.context.notice(f"no state (*{STATE}) in {Path.cwd()} yet; W saves one")

    def _answered(self, command: str) -> Callable[[str | None], None]:
        """Send a command with the answer of a dialog, unless it was closed."""
        return lambda answer: self.send(command, answer) if answer else None

    def copies(self) -> dict[str, str]:
        """The text, and the name of the run or cell file."""
        if self.engine is None:
            return {}
        return {"text": self.engine.text(), "name of the network": self.engine.cell}


def state_of(view: View) -> list[str | Content]:
    """What the network does, the key to the colours of the text, and its speed."""
    if not view.ready:
        return []
    if view.classifies:
        return ["reading"]
    state = "▶ writing" if view.running else "‖ paused"
    speed = f"up to {text.short(view.per_second)} {view.noun}s/s" if view.per_second else ""
    return [state, surprise_legend("surprise (nats)"), speed]
