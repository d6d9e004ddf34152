"""The actions on a text that a network writes: moving the cursor, branching, saving."""

from pathlib import Path

from tuirnn import text
from tuirnn.errors import RunError
from tuirnn.tui.engine import Engine
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask, Choose
from tuirnn.tui.views import View
from tuirnn.tui.widgets.styled_text import StyledText


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

        def answered(chosen: str | None) -> None:
            if chosen:
                self.send(command, chosen)

        self.app.push_screen(Ask(title, name, hint), answered)

    def action_switch(self) -> None:
        """Choose a branch, then continue there."""
        branches = self.view.branches
        if len(branches) < 2:
            self.context.notice("there is only one branch; b starts another one, m keeps this state under a name")
            return
        options = [
            (branch.name, f"{'  ' * branch.depth}{branch.name}   {text.count(branch.length)} {self.view.noun}s")
            for branch in branches
        ]
        now = next(branch.name for branch in branches if branch.open)

        def chosen(name: str | None) -> None:
            if name:
                self.send("switch", name)

        self.app.push_screen(Choose("branches", options, now), chosen)

    # ── keeping the text ──────────────────────────────────────────────────────

    def action_save(self) -> None:
        """Ask for a file, then write the text to it."""
        if self.engine is None:
            return
        engine = self.engine

        def check(name: str) -> None:
            if not name:
                raise RunError("enter a file name")
            if Path(name).exists():
                raise RunError(f"'{name}' already exists; choose another name")

        def answered(name: str | None) -> None:
            if name:
                try:
                    Path(name).write_text(engine.text(), encoding="utf-8", errors="replace")
                except OSError as error:
                    self.context.notice(f"cannot write {name}: {error.strerror}", error=True)
                else:
                    self.context.notice(f"saved as {name}")

        hint = f"A file name in {Path.cwd()}, or a path."
        self.app.push_screen(Ask("save the text as", f"{Path(engine.cell).stem}.txt", hint, check), answered)

    def action_copy(self) -> None:
        """Ask the terminal to copy the text to the clipboard."""
        if self.engine is not None:
            written = self.engine.text()
            self.app.copy_to_clipboard(written)
            self.context.notice(f"copied {text.count(len(written))} characters, if the terminal supports it (OSC 52)")
