"""What all tabs have in common."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import Binding
from textual.containers import Container
from textual.css.query import NoMatches
from textual.widget import Widget

from tuirnn.tui.keys import named
from tuirnn.tui.widgets.titles import refit

if TYPE_CHECKING:
    from tuirnn.runs.listing import RunSummary
    from tuirnn.tui.context import Context


class Tab(Container, can_focus=True):
    """A tab. It takes the focus itself, so that its keys work, where no widget in it does.

    A subclass lists its keys in `KEYS` and `BINDINGS`, and has a method `action_…` for each.

    Args:
        context: the dashboard around the tab.

    Attributes:
        NAME: the widget's id, by which the dashboard knows the tab; in `tabs.TITLES`.
        KEYS: the key bindings, as the help shows them.
    """

    NAME: ClassVar[str]
    KEYS: ClassVar[tuple[Binding, ...]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Give the tab's keys ids, by which the user's preferences name them."""
        if "KEYS" in vars(cls):
            cls.KEYS = named(cls.NAME, cls.KEYS)
            cls.BINDINGS = [*cls.KEYS]
        super().__init_subclass__(**options)

    def __init__(self, context: Context) -> None:
        super().__init__(id=self.NAME)
        self.context = context
        self.is_set_up = False

    def on_mount(self) -> None:
        """Set up, unless the dashboard closes before the tab's widgets exist."""
        with contextlib.suppress(NoMatches):  # the dashboard closes before the tab's widgets exist
            if self.children:
                self.setup()
                self.is_set_up = True

    def setup(self) -> None:
        """Initialise the state; the tab's widgets exist, and no other method has been called."""

    @property
    def is_open(self) -> bool:
        """Whether this tab is the one on the screen."""
        return self.display

    def _on_resize(self, event: events.Resize) -> None:
        """Fit the titles of the panels to their new widths."""
        self.refit()

    def refit(self) -> None:
        """Fit the titles of the panels to their widths, once these are known."""
        self.call_after_refresh(lambda: self.call_after_refresh(refit, self))

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Keep the styles, none of which depends on the focus: renewing them would take all widgets of the tab."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Whether a key works now, for Textual."""
        return self.is_set_up and self.can(action)

    def can(self, action: str) -> bool:
        """Whether an action is possible now."""
        return True

    def opened(self) -> None:
        """React to being brought to the screen."""

    def tick(self) -> None:
        """Look for news in the logs; called every `TICK` seconds while the tab is open."""

    def closed(self) -> None:
        """React to another tab being brought to the screen."""

    def on_escape(self) -> None:
        """React to the key escape."""

    def copies(self) -> dict[str, str]:
        """What there is to copy, by what it is called; the first one is what the cursor is on."""
        return {}

    def focus_target(self) -> Widget:
        """The widget that receives the keys when no input field does."""
        return self

    def runs_changed(self, runs: list[RunSummary]) -> None:
        """React to a change in the folder of runs."""
