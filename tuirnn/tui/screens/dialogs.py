"""Small dialogs: a confirmation, the help, a list to choose from, a field to fill in."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from tuirnn.errors import TuirnnError
from tuirnn.text import visible_line

if TYPE_CHECKING:
    from tuirnn.diagnosis import Finding

KEY_WIDTH = 7
"""Width of the column of keys in the help."""


class Confirm(ModalScreen[bool]):
    """Asks for confirmation; the answer is whether to proceed.

    Args:
        question: one line.
        consequence: what will happen.
        yes: name of the button that proceeds.
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
        """Question, consequence, two buttons."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "please confirm"
            yield Static(Content.styled(visible_line(self._question), "bold"))
            yield Static(Content(visible_line(self._consequence)), classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="error", compact=True)
                yield Button(Content("cancel (n)"), id="no", compact=True)

    def on_mount(self) -> None:
        """Focus the harmless answer."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer by a button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by a key."""
        self.dismiss(yes)


class KeyList(Static):
    """A heading and keys with their help, which is wrapped beside the keys.

    Args:
        heading: above the keys.
        keys: the bindings.
    """

    def __init__(self, heading: str, keys: Sequence[Binding]) -> None:
        super().__init__("", markup=False)
        self._heading, self._keys = heading, keys

    def on_resize(self, event: events.Resize) -> None:
        """Wrap for the new width."""
        room = max(event.size.width - KEY_WIDTH - 2, 16)
        lines = [Content.styled(self._heading, "bold $accent")]
        for one in self._keys:
            first, *rest = textwrap.wrap(one.tooltip, room)
            lines.append(Content.assemble(((one.key_display or "").rjust(KEY_WIDTH), "bold"), "  ", first))
            lines += [Content(" " * (KEY_WIDTH + 2) + line) for line in rest]
        self.update(Content("\n").join([*lines, Content("")]))


class Help(ModalScreen[None]):
    """All keys.

    Args:
        sections: heading and keys of each.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "close")]

    def __init__(self, sections: Sequence[tuple[str, Sequence[Binding]]]) -> None:
        super().__init__()
        self._sections = sections

    def compose(self) -> ComposeResult:
        """The sections, in a scrolling view."""
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "keys"
            dialog.border_subtitle = "esc close · ↑↓ scroll"
            for heading, keys in self._sections:
                yield KeyList(heading, keys)


class Findings(ModalScreen[None]):
    """What was found in a run.

    Args:
        name: of the run.
        findings: the most serious first.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,D,enter", "dismiss", "close")]

    def __init__(self, name: str, findings: "Sequence[Finding]") -> None:
        super().__init__()
        self._run_name, self._findings = name, findings

    def compose(self) -> ComposeResult:
        """A paragraph for each, with the fields of the form where the command line has options."""
        from tuirnn.tui.screens.run_fields import own_words  # which the first frame does without

        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content(f"findings in {visible_line(self._run_name)}")
            dialog.border_subtitle = "esc close"
            for found in self._findings:
                yield Static(Content.styled(f"▲ {found.what}", "bold $text-warning"))
                yield Static(Content(own_words(visible_line(found.evidence))), classes="finding")
                yield Static(
                    Content.assemble(("→ ", "$text-muted"), own_words(visible_line(found.advice))),
                    classes="finding -last",
                )


class Choose(ModalScreen[str]):
    """A list to choose from; the answer is the id of the chosen option, '' if none was chosen.

    Args:
        title: of the list.
        options: (id, label) of each.
        chosen: id of the option that is highlighted at first.
        does: what enter does, in a word.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss('')", "close")]

    def __init__(self, title: str, options: list[tuple[str, str]], chosen: str, does: str = "open") -> None:
        super().__init__()
        self._title, self._options, self._chosen, self._does = title, options, chosen, does

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog choose") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = f"⏎ {self._does} · esc close"
            yield OptionList(*(Option(Content(visible_line(label))) for _, label in self._options), compact=True)

    def on_mount(self) -> None:
        """Highlight the present choice."""
        ids = [name for name, _ in self._options]
        self.query_one(OptionList).highlighted = ids.index(self._chosen) if self._chosen in ids else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer by enter or a click."""
        self.dismiss(self._options[event.option_index][0])


class Ask(ModalScreen[str]):
    """Asks for a line of text; the answer is '' if the dialog was closed.

    Args:
        title: of the dialog.
        value: initial content of the field.
        hint: explains what is wanted.
        check: raises TuirnnError for an answer that is not acceptable.
    """

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "close")]

    def __init__(self, title: str, value: str, hint: str, check: Callable[[str], object] = str) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        """The field; below it the hint, or what is wrong with the answer."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "⏎ ok · esc close"
            yield Input(self._value, compact=True, id="ask")
            yield Static(Content(self._hint), classes="dialog-text", id="ask-hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer by enter, if the answer is acceptable."""
        event.stop()
        try:
            self._check(event.value.strip())
        except TuirnnError as error:
            self.query_one("#ask-hint", Static).update(Content.styled(visible_line(str(error)), "$text-error"))
        else:
            self.dismiss(event.value.strip())
