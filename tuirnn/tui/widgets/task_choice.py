"""What a network is to learn: one of the tasks, in a row."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tuirnn.tasks import DEFAULT, TASKS

ORDER = sorted(TASKS, key=lambda name: (name != DEFAULT, TASKS[name].short))
"""Names of the tasks, the default one first."""

GAP = 3


def short_name(name: str) -> str:
    """What a task's networks learn from, in a word."""
    return TASKS[name].short or TASKS[name].noun


class TaskChoice(Static, can_focus=True):
    """All tasks side by side, the chosen one marked; arrow keys, their first letters and clicks choose.

    Args:
        value: name of the chosen task.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "choose"),
        Binding("right,space", "move(1)", "choose", show=False),
    ]

    class Changed(Message):
        """Another task was chosen, by its name."""

        def __init__(self, task: str) -> None:
            super().__init__()
            self.task = task

    def __init__(self, value: str) -> None:
        super().__init__("", markup=False)
        self._value = value

    @property
    def value(self) -> str:
        """Name of the chosen task."""
        return self._value

    @value.setter
    def value(self, name: str) -> None:
        if name != self._value:
            self._value = name
            self.update(self._drawn())
            self.post_message(self.Changed(name))

    def on_mount(self) -> None:
        """Draw."""
        self.update(self._drawn())

    def _drawn(self) -> Content:
        parts = []
        for name in ORDER:
            chosen = name == self._value
            mark, style = ("● ", "bold $accent") if chosen else ("○ ", "")
            parts.append(Content.styled(f"{mark}{short_name(name)}", style))
        return Content(" " * GAP).join(parts)

    def action_move(self, by: int) -> None:
        """Choose the next (1) or previous (-1) task."""
        self.value = ORDER[(ORDER.index(self._value) + by) % len(ORDER)]

    def on_click(self, event: events.Click) -> None:
        """Choose the task that was clicked."""
        at = event.x - self.gutter.left
        for name in ORDER:
            wide = 2 + len(short_name(name))
            if 0 <= at < wide:
                self.value = name
            at -= wide + GAP
