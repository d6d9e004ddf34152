"""Every key of the dashboard, once: the bindings, the footer and the help are made from this table."""

from dataclasses import dataclass

from textual.binding import Binding

TABS = {"runs": "Runs", "train": "Train", "generate": "Generate"}
"""Tab id -> title, in the order of their number keys. A further tab is a line here and one in `app`."""


@dataclass(frozen=True)
class Key:
    """A key of one tab, or of all where `tab` is empty.

    Attributes:
        keys: Textual's names, comma separated; each does the same.
        action: the method `do_<action>` of the tab, or an action of the app.
        label: one or two words for the footer; empty: help only.
        help: a sentence.
        shown: how the key is written.
    """

    tab: str
    keys: str
    action: str
    label: str
    help: str
    shown: str

    def binding(self) -> Binding:
        """The Textual binding."""
        action = f"do('{self.tab}', '{self.action}')" if self.tab else self.action
        return Binding(self.keys, action, self.label or self.help, show=bool(self.label), key_display=self.shown)


KEYS = (
    Key("", "1", "show('runs')", "", "the Runs tab", "1"),
    Key("", "2", "show('train')", "", "the Train tab", "2"),
    Key("", "3", "show('generate')", "", "the Generate tab", "3"),
    Key("", "escape", "leave", "", "leave a field or a dialog", "esc"),
    Key("", "T", "theme", "", "the next theme, light or dark", "T"),
    Key("", "question_mark", "help", "help", "this help", "?"),
    Key("", "q", "quit", "quit", "close the dashboard; trainings go on", "q"),
    Key("runs", "n", "new", "new", "start a new run", "n"),
    Key("runs", "enter", "open", "open", "watch the run", "⏎"),
    Key("runs", "g", "generate", "generate", "write with what the run has learned", "g"),
    Key("runs", "d", "delete", "delete", "delete the run, after asking", "d"),
    Key("runs", "r", "refresh", "refresh", "read the folder again now", "r"),
    Key("train", "p,space", "pause", "pause/go", "pause the training, or go on", "p"),
    Key("train", "S", "stop", "stop…", "write a checkpoint and end, after asking", "S"),
    Key("train", "R", "resume", "resume", "go on with an ended run, as a process of its own", "R"),
    Key("train", "v", "evaluate", "evaluate", "evaluate and sample now", "v"),
    Key("train", "c", "checkpoint", "checkpoint", "write a checkpoint now", "c"),
    Key("train", "left,left_square_bracket", "earlier", "earlier", "the sample of the evaluation before", "["),
    Key("train", "right,right_square_bracket", "later", "later", "the sample of the evaluation after", "]"),
    Key("train", "w", "panel", "panel", "what it writes, or what it gets wrong (small windows)", "w"),
    Key("train", "plus,equals_sign", "faster", "lr up", "multiply the learning rate by 1.25", "+"),
    Key("train", "minus", "slower", "lr down", "multiply the learning rate by 0.8", "-"),
    Key("train", "y", "log", "log y", "logarithmic loss, or linear", "y"),
    Key("train", "z", "zoom", "zoom", "all steps, the last half, the last fifth", "z"),
    Key("train", "s", "smooth", "smooth", "how much the training loss is smoothed", "s"),
    Key("train", "g", "generate", "generate", "write with what the run has learned", "g"),
    Key("train", "end", "newest", "", "back to the newest sample", "end"),
    Key("train", "up", "scroll_up", "", "scroll the texts up", "↑"),
    Key("train", "down", "scroll_down", "", "scroll the texts down", "↓"),
    Key("train", "n", "new", "", "start a new run", "n"),
    Key("generate", "space,enter", "toggle", "run/pause", "let the network write, or hold", "space"),
    Key("generate", "full_stop,right", "step", "step", "write a single token", "."),
    Key("generate", "backspace,left", "back", "back", "take the last token back", "←"),
    Key("generate", "i", "type", "type", "type text for the network to read, as you type it", "i"),
    Key("generate", "t", "temperature", "settings", "to temperature, top-k, top-p and seed", "t"),
    Key("generate", "less_than_sign,comma", "slower", "", "write more slowly", "<"),
    Key("generate", "greater_than_sign", "faster", "", "write faster", ">"),
    Key("generate", "r", "reset", "reset", "forget all that was read, back to the zero state", "r"),
    Key("generate", "o", "choose", "open", "another run or cell file", "o"),
    Key("generate", "up,pageup", "scroll_up", "", "scroll the text up", "↑"),
    Key("generate", "down,pagedown", "scroll_down", "", "scroll the text down", "↓"),
)


def keys_of(tab: str) -> list[Key]:
    """The keys of a tab; of all tabs for ''."""
    return [key for key in KEYS if key.tab == tab]
