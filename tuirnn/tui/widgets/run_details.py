"""What is known about one run besides its curve: its settings, its result, what it last wrote."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.runs.listing import RunSummary


class RunDetails(Vertical):
    """Facts about a run, and below them its last sample, or the table of a classifier's or forecaster's answers."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "details"
        self._shown: tuple[str, str, str] = ("", "", "")

    def compose(self) -> ComposeResult:
        """The two parts."""
        yield Static("", id="runs-facts", markup=False)
        yield Static("", id="runs-sample", markup=False)

    def show(self, run: RunSummary | None, written: str) -> None:
        """Display a run, or none.

        Args:
            run: the run.
            written: its last sample.
        """
        title = run.name if run else "details"
        facts = describe(run) if run else Content("")
        table = run is not None and run.task is not None and not run.task.writes
        sample = Content(text.visible(written)) if table else _quoted(written)
        if self._shown != (shown := (title, facts.markup, sample.markup)):
            self._shown = shown
            self.border_title = Content(title)
            self.query_one("#runs-facts", Static).update(facts)
            panel = self.query_one("#runs-sample", Static)
            panel.set_class(table, "-table")
            panel.update(sample)


def _quoted(written: str) -> Content:
    """A sample on one line, in quotes."""
    quoted = text.visible_line(written.strip(), " ")
    return Content.styled(f"“{quoted}”", "italic $text-muted") if quoted else Content("")


def describe(run: RunSummary) -> Content:
    """Size, settings, start and best result of a run; of a damaged one what is wrong."""
    record, status = run.record, run.status
    if record is None:
        return Content.styled(text.visible_line(run.problem), "$text-error")
    train, task = record.config.train, record.config.task
    there, noun = record.data.get("train"), task.counted(record.vocab.kind)
    size = f" of {text.short(there)} {noun}" if isinstance(there, int) else ""
    length = f" × {train.seq_len}" if "seq_len" in task.settings else ""
    facts = [
        f"{text.short(record.parameters)} parameters",
        f"batch {train.batch_size}{length}{size}",
        f"{train.optimizer} {text.rate(train.lr)} {train.schedule}",
        f"started {text.clock(record.created)}",
    ]
    if status.live and status.eta:
        facts.append(f"{text.duration(status.eta)} left")
    if status.best_step:
        best = f"{text.held_out(status.best_val_loss, run.leaky)} {run.judgement.loss.unit}"
        facts.append(f"best {best} at step {text.count(status.best_step)}")
    lines = [Content(" · ".join(facts))]
    if status.message:
        lines.append(Content.styled(status.message, "$text-warning"))
    return Content("\n").join(lines)
