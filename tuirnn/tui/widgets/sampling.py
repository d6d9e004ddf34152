"""The settings of sampling: a row of fields."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from tuirnn.tui.views import Settings

FIELDS = (
    ("temperature", "temperature", "0.8", 6),
    ("top-k", "top_k", "0", 6),
    ("top-p", "top_p", "1.0", 6),
    ("seed", "seed", "0", 8),
)
"""Label, id, initial value and width of each."""


class Sampling(Horizontal):
    """Temperature, top-k, top-p and seed; used as soon as all of them are numbers."""

    class Changed(Message):
        """The settings have changed, and all fields are numbers."""

        def __init__(self, settings: Settings) -> None:
            super().__init__()
            self.settings = settings

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pace = Static("", id="generate-pace")  # may be updated before it is mounted

    def compose(self) -> ComposeResult:
        """The fields, then the speed."""
        for label, name, value, width in FIELDS:
            yield Static(f" {label} ", classes="field-label")
            field = Input(value, id=name, compact=True, classes="setting")
            field.styles.width = width
            yield field
        yield self._pace

    def show_pace(self, pace: int) -> None:
        """Display the speed in tokens per second; 0 is no limit."""
        shown = f"{pace:,}/s" if pace else "unlimited"
        self._pace.update(Content(f"  speed < {shown} >"))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Read all fields; mark one that is not a number."""
        event.stop()
        values: dict[str, float] = {}
        for field in self.query(Input):
            try:
                values[str(field.id)] = float(field.value) if field.id in ("temperature", "top_p") else int(field.value)
                field.remove_class("-invalid")
            except ValueError:
                field.add_class("-invalid")
                return
        self.post_message(
            self.Changed(Settings(values["temperature"], int(values["top_k"]), values["top_p"], int(values["seed"])))
        )
