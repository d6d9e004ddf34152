"""Every key of the dashboard, once: the bindings, the footer and the help are made from this table."""

from dataclasses import dataclass

from textual.binding import Binding

TABS = {"runs": "Runs", "train": "Train", "xray": "X-ray", "generate": "Generate", "compare": "Compare"}
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
    *(
        Key("", str(number), f"show('{tab}')", "", f"the {title} tab", str(number))
        for number, (tab, title) in enumerate(TABS.items(), 1)
    ),
    Key("", "escape", "leave", "", "leave a field or a dialog", "esc"),
    Key(
        "", "T", "theme", "", "the next theme: light, dark, safe for colour-blind eyes, the terminal's own colours", "T"
    ),
    Key("", "ctrl+p", "command_palette", "", "the command palette: everything by name", "ctrl+p"),
    Key("", "question_mark", "help", "help", "this help", "?"),
    Key("", "q", "quit", "quit", "close the dashboard; trainings go on without it", "q"),
    Key("runs", "n", "new", "new", "start a new run", "n"),
    Key("runs", "enter", "open", "open", "watch the run", "⏎"),
    Key("runs", "space", "mark", "mark", "mark the run: its curve joins the chart and the Compare tab", "space"),
    Key("runs", "g", "generate", "generate", "write with what the run has learned", "g"),
    Key("runs", "slash", "filter", "filter", "show only runs whose name, cell, data or state has this in it", "/"),
    Key("runs", "s", "sort", "sort", "sort by the next column", "s"),
    Key("runs", "e", "export", "export", "write the run's best network as a cell file into export/cells", "e"),
    Key("runs", "N", "rename", "rename", "give the run another name", "N"),
    Key("runs", "d", "delete", "delete", "delete the run, after asking", "d"),
    Key("runs", "x", "xray", "", "look inside the run", "x"),
    Key("runs", "u", "unmark", "", "take all marks away", "u"),
    Key("runs", "r", "refresh", "", "read the folder again now", "r"),
    Key("train", "p,space", "pause", "pause/go", "pause the training after this step, or go on", "p"),
    Key("train", "S", "stop", "stop…", "write a checkpoint and end, after asking", "S"),
    Key("train", "R", "resume", "resume", "go on with an ended run, as a process of its own", "R"),
    Key("train", "v", "evaluate", "evaluate", "evaluate and sample now", "v"),
    Key("train", "c", "checkpoint", "checkpoint", "write a checkpoint now", "c"),
    Key("train", "left_square_bracket", "earlier", "earlier", "the sample of the evaluation before", "["),
    Key("train", "right_square_bracket", "later", "later", "the sample of the evaluation after", "]"),
    Key("train", "left", "left", "cursor", "the cursor to the left; the sample follows (mouse: click)", "←"),
    Key("train", "right", "right", "", "the cursor to the right", "→"),
    Key("train", "end,0", "newest", "all", "no cursor, no zoom: all of it, the newest sample", "0"),
    Key("train", "w", "panel", "panel", "what it writes, or what it gets wrong (small windows)", "w"),
    Key("train", "greater_than_sign", "faster", "lr up", "multiply the learning rate by 1.25", ">"),
    Key("train", "less_than_sign", "slower", "lr down", "multiply the learning rate by 0.8", "<"),
    Key(
        "train",
        "plus,equals_sign",
        "zoom_in",
        "zoom",
        "show less, in more detail, around the cursor (mouse: wheel)",
        "+",
    ),
    Key("train", "minus", "zoom_out", "", "show more, in less detail", "-"),
    Key("train", "shift+left,h", "pan_left", "", "move the zoomed part to the left (mouse: drag)", "h"),
    Key("train", "shift+right,l", "pan_right", "", "move the zoomed part to the right", "l"),
    Key("train", "m", "measure", "measure", "the next measure: loss, learning rate, gradient norm, speed, …", "m"),
    Key("train", "x", "axis", "axis", "against steps, epochs, time since the start or the clock", "x"),
    Key("train", "u", "unit", "unit", "the loss in nats, in bits or as perplexity", "u"),
    Key("train", "y", "log", "log y", "logarithmic y, or linear", "y"),
    Key("train", "X", "log_x", "", "logarithmic x, or linear", "X"),
    Key("train", "s", "smooth", "smooth", "how much the training loss is smoothed", "s"),
    Key("train", "g", "generate", "generate", "write with what the run has learned", "g"),
    Key("train", "K", "kill", "", "end the training at once, without a checkpoint, after asking", "K"),
    Key("train", "i", "xray", "", "look inside the run", "i"),
    Key("train", "up", "scroll_up", "", "scroll the texts up", "↑"),
    Key("train", "down", "scroll_down", "", "scroll the texts down", "↓"),
    Key("train", "n", "new", "", "start a new run", "n"),
    Key("xray", "up", "unit_up", "unit", "the unit before, in the order of the list", "↑"),
    Key("xray", "down", "unit_down", "", "the next unit", "↓"),
    Key("xray", "left", "earlier", "text", "the passage before", "←"),
    Key("xray", "right", "later", "", "the passage after", "→"),
    Key(
        "xray",
        "f",
        "feature",
        "search",
        "search the units that follow something else: quotes, line ends, capitals, …",
        "f",
    ),
    Key("xray", "v", "view", "map/text", "a map of many units, or one unit painted over the text", "v"),
    Key("xray", "l", "layer", "layer", "the next layer", "l"),
    Key("xray", "e", "equations", "equations", "the cell's equations, or gradient and gates (small windows)", "e"),
    Key("xray", "y", "log", "log y", "logarithmic gradient norm, or linear", "y"),
    Key("xray", "left_square_bracket", "probe_earlier", "earlier", "gates and gradient at the evaluation before", "["),
    Key("xray", "right_square_bracket", "probe_later", "later", "gates and gradient at the evaluation after", "]"),
    Key("xray", "o", "choose", "open", "another run", "o"),
    Key("xray", "r", "refresh", "", "look again, with the run's newest checkpoint", "r"),
    Key("generate", "space,enter", "toggle", "run/pause", "let the network write, or hold", "space"),
    Key("generate", "full_stop", "step", "step", "write a single token", "."),
    Key("generate", "backspace,left", "back", "back", "the cursor back by a token; what comes after it stays", "←"),
    Key("generate", "right", "forward", "on", "the cursor on by a token (mouse: click); at the end, write one", "→"),
    Key("generate", "shift+left,left_square_bracket", "back_line", "", "the cursor back by a line", "["),
    Key("generate", "shift+right,right_square_bracket", "forward_line", "", "the cursor on by a line", "]"),
    Key("generate", "home", "back_all", "", "the cursor to the beginning of this text", "home"),
    Key(
        "generate",
        "end",
        "forward_all",
        "to the end",
        "the cursor to the end: what was written is all still there",
        "end",
    ),
    Key("generate", "i", "type", "type", "type text for the network to read, as you type it", "i"),
    Key("generate", "t", "temperature", "settings", "to temperature, top-k, top-p and seed", "t"),
    Key(
        "generate",
        "b",
        "branch",
        "branch",
        "go on from here in a branch of its own; writing in the middle begins one",
        "b",
    ),
    Key("generate", "m", "keep", "keep", "keep this state under a name, and go on", "m"),
    Key("generate", "B", "switch", "branches", "another branch or kept state: nothing that was written is lost", "B"),
    Key("generate", "o", "choose", "open", "another run or cell file", "o"),
    Key("generate", "e", "export", "export", "write the network as a cell file into export/cells", "e"),
    Key("generate", "w", "save", "save", "save the text to a file", "w"),
    Key("generate", "y", "copy", "copy", "copy the text to the clipboard", "y"),
    Key("generate", "less_than_sign,comma", "slower", "", "write more slowly", "<"),
    Key("generate", "greater_than_sign", "faster", "", "write faster", ">"),
    Key("generate", "r", "reset", "reset", "an empty text from the zero state; the one so far stays a branch", "r"),
    Key("generate", "up,pageup", "scroll_up", "", "scroll the text up", "↑"),
    Key("generate", "down,pagedown", "scroll_down", "", "scroll the text down", "↓"),
    Key("compare", "x", "align", "align", "against steps, tokens or time since the start", "x"),
    Key("compare", "u", "unit", "unit", "the runs whose figures are in the next unit: they are kept apart", "u"),
    Key("compare", "m", "measure", "measure", "the next figure of held-out data, or the smoothed training loss", "m"),
    Key("compare", "y", "log", "log y", "logarithmic y, or linear", "y"),
    Key("compare", "w", "write", "write report", "write a report: Markdown, and the curves as SVG and PNG", "w"),
    Key("compare", "up", "scroll_up", "", "scroll the table up", "↑"),
    Key("compare", "down", "scroll_down", "", "scroll the table down", "↓"),
)


def keys_of(tab: str) -> list[Key]:
    """The keys of a tab; of all tabs for ''."""
    return [key for key in KEYS if key.tab == tab]
