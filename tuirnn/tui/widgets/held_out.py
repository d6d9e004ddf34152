"""The lower part of the Train tab: what the network writes, or its answers to held-out data."""

from textual.app import ComposeResult
from textual.containers import Horizontal

from tuirnn.figures import PERCENT
from tuirnn.runlog.answers import Answers
from tuirnn.runlog.snapshot import Evaluation, Snapshot
from tuirnn.tasks.task import Task
from tuirnn.text import count
from tuirnn.tui.widgets.answers import AnswerTable
from tuirnn.tui.widgets.mistakes import Mistakes
from tuirnn.tui.widgets.outlook_chart import OutlookChart
from tuirnn.tui.widgets.styled_text import Lines, StyledText, surprise_legend
from tuirnn.tui.widgets.titles import entitle, fit

WAITING = "nothing yet: a sample is written at each evaluation"
NO_ANSWERS = "no predictions yet: they are recorded at each evaluation"
ON_REQUEST = "; V requests one now"
"""Of a run that trains."""


class HeldOut(Horizontal):
    """The panels of an evaluation; which of them are visible depends on what it recorded.

    A language model has a sample and its mistakes, a classifier or tagger a table of answers, a forecaster a chart and
    a table. The class `-second` selects the second of two panels in a small window.
    """

    def compose(self) -> ComposeResult:
        """All panels, left to right."""
        chart = OutlookChart(id="train-outlook")
        chart.border_title = "held-out forecast"
        yield chart
        yield AnswerTable(id="train-answers")
        yield StyledText(id="train-sample")
        mistakes = Mistakes(id="train-mistakes")
        entitle(mistakes, "what it still gets wrong", surprise_legend("surprise", "· below: its own guess"))
        yield mistakes

    def on_mount(self) -> None:
        """Nothing is shown yet."""
        self._shown: tuple[int, Evaluation | None, bool, bool] | None = None

    @property
    def has_second(self) -> bool:
        """Whether there are two panels, one of which a small window hides."""
        return not self.has_class("-answers")

    def show(self, snapshot: Snapshot, chosen: Evaluation | None, task: Task | None, live: bool = False) -> None:
        """Display an evaluation.

        Args:
            snapshot: the run's logs.
            chosen: one of its evaluations.
            task: of the run, if it is known.
            live: whether the run trains.
        """
        sample = self.query_one("#train-sample", StyledText)
        total = snapshot.evaluations[-1].step if snapshot.evaluations else 0
        where = f" · [ step {count(chosen.step)} of {count(total)} ]" if chosen else ""
        outlook, answers = (chosen.outlook, chosen.answers) if chosen else (None, None)
        judging = task is not None and not task.writes
        self.set_class(judging and outlook is not None, "-outlook")
        self.set_class(judging and outlook is None, "-answers")  # a table as text, if an earlier version wrote it
        entitle(self.query_one(OutlookChart), f"held-out forecast{where}")
        table = self.query_one(AnswerTable)
        entitle(table, f"held-out predictions{where}", fit(_judged(snapshot, chosen, task), self.size.width))
        title = f"{'held-out errors' if outlook else 'held-out predictions' if judging else 'what it writes'}{where}"
        entitle(sample, title)
        if self._shown == (now := (snapshot.generation, chosen, judging, live)):
            return
        self._shown = now
        self.set_class(answers is None and chosen is not None, "-text")
        written = chosen.text.strip("\n") if chosen else ""
        waiting = (NO_ANSWERS if judging else WAITING) + ON_REQUEST * live
        sample.show([(written, "plain")] if written else [(waiting, "dim")])
        table.show(answers or Answers(()))
        self.query_one(OutlookChart).show_outlook(outlook)
        mistakes = chosen.mistakes if chosen else None
        self.query_one(Mistakes).show(
            *((mistakes.symbols, mistakes.nats, mistakes.guesses) if mistakes else ((), (), ()))
        )

    def scroll_texts(self, by: int) -> None:
        """Scroll the texts down (1) or up (-1); show the next or previous column of a forecast."""
        for panel in self.query(Lines):
            (panel.scroll_down if by > 0 else panel.scroll_up)(animate=False)
        if self.has_class("-outlook"):
            self.query_one(OutlookChart).turn(by)


def _judged(snapshot: Snapshot, chosen: Evaluation | None, task: Task | None) -> list[str]:
    """The shares that an evaluation found, and of how many sequences."""
    if chosen is None or task is None:
        return []
    at = snapshot.val.step.upto(chosen.step) - 1
    shown = []
    for one in (one for one in task.figures if one.unit == PERCENT):
        values = snapshot.val[one.key]
        if 0 <= at < len(values) and (value := float(values.values[at])) == value:
            shown.append(f"{one.name} {100 * value:.1f} %")
    if shown and chosen.answers and chosen.answers.judged:
        shown[0] += f" of {chosen.answers.judged:,} sequences"
    return shown
