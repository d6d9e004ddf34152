"""The tour: a real network is trained, looked into and made to write, one sentence and one key at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.runs.layout import RunPaths, free_name
from tuirnn.tui.background_actions import BackgroundActions
from tuirnn.tui.context import Context
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.train import TrainTab
from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.widgets.unit_view import UnitView

NAME = "tour"
"""Of its run."""

CHECK = 0.1
"""Seconds between two looks at whether a step is done."""

LEARNED, PATIENCE = 300, 45.0
"""Steps after which the network is worth looking into, and seconds after which the tour goes on in any case."""

WRITTEN = 80
"""Tokens that are written before the tour asks for a pause."""


def tour_config() -> RunConfig:
    """A network that writes words after some seconds, and ends by itself."""
    return RunConfig().replace(
        hidden=128, embed=32, batch_size=16, seq_len=64, minutes=2.0, eval_every=50, checkpoint_every=50
    )


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        says: one sentence.
        key: that goes on, as it is shown.
        does: what the key does.
        done: whether the step is over.
        waits: what is being waited for before the key works; '' for nothing.
        ready: whether the wait is over.
    """

    says: str
    key: str
    does: str
    done: "Callable[[Tour], bool]"
    waits: str = ""
    ready: "Callable[[Tour], bool]" = lambda tour: True


class Tour(Widget):
    """A bar above the line of keys. The keys are those of the tabs: the bar only looks at what they have done.

    Args:
        context: the dashboard around it.
    """

    def __init__(self, context: Context, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.context = context
        self.run_name = ""
        self.at = -1
        self._problem = ""
        self._began = 0.0

    def compose(self) -> ComposeResult:
        """The sentence and the key."""
        yield Static("", id="tour-says", markup=False)
        yield Static("", id="tour-key", markup=False)

    def on_mount(self) -> None:
        """Look regularly; the clock rests while there is no tour."""
        self._clock = self.set_interval(CHECK, self._check, pause=True)

    @property
    def is_on(self) -> bool:
        """Whether a tour is under way."""
        return self.at >= 0

    def start(self) -> None:
        """Begin: start a training, and show the bar."""
        if self.is_on:
            return
        self.run_name = free_name(self.context.folder.path, NAME)
        self.at, self._problem, self._began = 0, "", time.monotonic()
        self.add_class("-on")
        self._clock.resume()
        self._draw()
        BackgroundActions(self.context).start(tour_config(), self.run_name, self._failed)

    def leave(self) -> None:
        """End the tour; its run trains on, and stays."""
        self.at = -1
        self.remove_class("-on")
        self._clock.pause()

    def _failed(self, error: TuirnnError) -> None:
        self._problem = str(error)
        self._draw()

    def _check(self) -> None:
        """Go on when the step is done."""
        step = STEPS[self.at]
        if step.ready(self) and step.done(self):
            self.at += 1
            if self.at == len(STEPS):
                self.leave()
                return
        self._draw()

    def _draw(self) -> None:
        step = STEPS[self.at]
        place = f"tour {self.at + 1} of {len(STEPS)}"
        says = Content.assemble((f"{place}  ", "bold $accent"), self._problem or step.says)
        self.query_one("#tour-says", Static).update(says)
        if self._problem:
            key = Content.styled("the training did not start", "$text-error")
        elif not step.ready(self):
            key = Content.styled(f"{step.waits} …", "$text-muted")
        else:
            key = Content.assemble((f" {step.key} ", "bold reverse"), (f" {step.does}", "bold"))
        last = self.at == len(STEPS) - 1
        leave = "" if last else Content.assemble("      ", ("esc", "bold $footer-key-foreground"), " leave the tour")
        self.query_one("#tour-key", Static).update(Content.assemble(key, leave))

    # ── what the steps look at ────────────────────────────────────────────────

    @property
    def train(self) -> TrainTab:
        """The Train tab."""
        return self.screen.query_one(TrainTab)

    @property
    def generate(self) -> GenerateTab:
        """The Generate tab."""
        return self.screen.query_one(GenerateTab)

    def is_open(self, kind: type[Tab]) -> bool:
        """Whether a tab is on the screen."""
        return any(tab.is_open and tab.is_set_up for tab in self.screen.query(kind))

    @property
    def evaluations(self) -> int:
        """Evaluations of the tour's run that have been read."""
        paths = RunPaths(self.context.folder.path / self.run_name)
        followed = self.is_open(TrainTab) and self.train.paths == paths
        return len(self.train.snapshot.evaluations) if followed else 0

    def has_learned(self) -> bool:
        """Whether the network has been evaluated and is worth looking into."""
        step = self.train.snapshot.train.step
        trained = len(step) and float(step.values[-1]) >= LEARNED
        return self.evaluations > 0 and bool(trained or time.monotonic() > self._began + PATIENCE)

    def looks_inside(self) -> bool:
        """Whether the X-ray tab has the tour's run; asks for it if the tab has another one."""
        if not self.is_open(XrayTab):
            return False
        tab = self.screen.query_one(XrayTab)
        if tab.opened_run != self.run_name:
            tab.look_inside(self.run_name)
        return bool(tab.query_one(UnitView).features)

    def writes(self) -> bool:
        """Whether the Generate tab has the tour's run; asks for it if the tab has another one."""
        if not self.is_open(GenerateTab):
            return False
        engine = self.generate.engine
        if engine is None or engine.cell != self.run_name:
            self.generate.open_cell(self.run_name)
        return self.generate.view.ready


def _overlaid(tour: Tour) -> bool:
    return tour.is_open(XrayTab) and tour.screen.query_one(UnitView).has_class("-text")


def _went_back(tour: Tour) -> bool:
    return tour.generate.view.tail > 0


def _branched(tour: Tour) -> bool:
    return len(tour.generate.view.branches) > 1


def _switched(tour: Tour) -> bool:
    return _branched(tour) and any(branch.open and not branch.depth for branch in tour.generate.view.branches)


STEPS = (
    Step(
        "A new network reads the Python manual and guesses each next character; the curve is its surprise.",
        "V", "let it write a sample now", lambda tour: tour.evaluations > 0,
        "the training is starting", lambda tour: tour.is_open(TrainTab) and len(tour.train.snapshot.train) > 0,
    ),
    Step(
        "Below is what it writes so far; from nothing it learns letters first, then words, then sentences.",
        "3", "look inside", lambda tour: tour.is_open(XrayTab), "it learns some more",
        lambda tour: not tour.is_open(TrainTab) or tour.has_learned(),
    ),
    Step(
        "Each row is a hidden unit, each column a character that it reads; some follow blanks, some vowels.",
        "v", "lay the best unit over the text", _overlaid, "the network reads a passage", Tour.looks_inside,
    ),
    Step(
        "The colours are the activation of this one unit: bright where it is on, dark where it is off.",
        "4", "let the network write", lambda tour: tour.is_open(GenerateTab),
    ),
    Step(
        "The bars are what it expects as the next character; each choice is drawn from them.",
        "space", "start writing", lambda tour: tour.generate.view.tokens > 0, "the network is opened", Tour.writes,
    ),
    Step(
        "The redder a character, the more it surprised the network that wrote it.",
        "space", "pause", lambda tour: not tour.generate.view.running, "it writes",
        lambda tour: tour.generate.view.tokens >= WRITTEN or not tour.generate.view.running,
    ),
    Step(
        "You can go back in time: what comes after the cursor stays, dimmed.",
        "←", "go back, several times", _went_back,
    ),
    Step(
        "Now change the past: type a word of your own, then press enter, and it goes on from there.",
        "i", "type, then enter", _branched,
    ),
    Step(
        "Both texts are kept: yours is a branch of the first one.",
        "B", "choose the branch ‘main’ and return to it", _switched,
    ),
    Step(
        "That was the tour; n on the Runs tab trains on your own data, ? lists the keys of every tab.",
        "esc", "end", lambda tour: False,
    ),
)  # fmt: skip
"""In order. A step looks only at what is on the screen: it does not matter how the user got there."""
