"""Small dialogs: a question with consequences, the help, a list to choose from."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from tuirnn.errors import TuirnnError
from tuirnn.text import visible_line
from tuirnn.tui.keys import TABS, keys_of


class Confirm(ModalScreen[bool]):
    """Asks before something that cannot be taken back lightly.

    Args:
        question: one line.
        consequence: what will happen.
        yes: the name of going through with it.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, consequence: str, yes: str) -> None:
        super().__init__()
        self._question, self._consequence, self._yes = question, consequence, yes

    def compose(self) -> ComposeResult:
        """Question, consequence, two buttons; 'no' has the focus."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "sure?"
            yield Static(Content.styled(visible_line(self._question), "bold"))
            yield Static(Content(visible_line(self._consequence)), classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="error", compact=True)
                yield Button(Content("no (n)"), id="no", compact=True)

    def on_mount(self) -> None:
        """Start on the harmless answer."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """A key is an answer."""
        self.dismiss(yes)


class Help(ModalScreen[None]):
    """All keys, from the table that binds them; those of the open tab first."""

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "close")]

    def __init__(self, tab: str) -> None:
        super().__init__()
        self._tab = tab

    def compose(self) -> ComposeResult:
        """A scrolling list of sections."""
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "keys"
            dialog.border_subtitle = "esc closes · ↑↓ scroll"
            for tab in (self._tab, "", *(other for other in TABS if other != self._tab)):
                yield Static(self._section(tab))

    def _section(self, tab: str) -> Content:
        lines = [Content.styled(f"{TABS[tab]} tab" if tab else "everywhere", "bold $accent")]
        for key in keys_of(tab):
            names = f"{key.shown}" + ("  or space" if key.action == "pause" else "")
            lines.append(Content.assemble((names.rjust(10), "bold"), "  ", key.help))
        return Content("\n").join([*lines, Content("")])


class Choose(ModalScreen[str]):
    """A list to choose from; the answer is the chosen id, '' for none.

    Args:
        title: of the list.
        options: (id, what is shown).
        chosen: the id that is marked at first.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss('')", "close")]

    def __init__(self, title: str, options: list[tuple[str, str]], chosen: str) -> None:
        super().__init__()
        self._title, self._options, self._chosen = title, options, chosen

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog choose") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "⏎ open · esc close"
            yield OptionList(*(Option(Content(visible_line(label))) for _, label in self._options), compact=True)

    def on_mount(self) -> None:
        """Mark what is open."""
        ids = [name for name, _ in self._options]
        self.query_one(OptionList).highlighted = ids.index(self._chosen) if self._chosen in ids else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click chooses."""
        self.dismiss(self._options[event.option_index][0])


class Ask(ModalScreen[str]):
    """Asks for a word; the answer is '' where there is none.

    Args:
        title: of the dialog.
        value: what the field begins with.
        hint: what is wanted.
        check: raises TuirnnError where a word will not do.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "close")]

    def __init__(self, title: str, value: str, hint: str, check: Callable[[str], object] = str) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        """The field, and what is wrong with what stands in it."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "⏎ do it · esc close"
            yield Input(self._value, compact=True, id="ask")
            yield Static(Content(self._hint), classes="dialog-text", id="ask-hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter answers, if the word will do."""
        event.stop()
        try:
            self._check(event.value.strip())
        except TuirnnError as error:
            self.query_one("#ask-hint", Static).update(Content.styled(visible_line(str(error)), "$text-error"))
        else:
            self.dismiss(event.value.strip())
