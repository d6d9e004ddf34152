"""What is known about one run besides its curve: its settings, its result, what it last wrote."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.tui.widgets.titles import entitle, whole_words


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

    def show(self, title: str, facts: Content, written: str, table: bool) -> None:
        """Display a run.

        Args:
            title: of the panel.
            facts: about the run.
            written: its last sample.
            table: whether the sample is a table, not a text.
        """
        room = self.query_one("#runs-sample", Static).content_size.width
        sample = Content("\n".join(whole_words(text.visible(written), room))) if table else _quoted(written)
        if self._shown != (shown := (title, facts.markup, sample.markup)):
            self._shown = shown
            entitle(self, title)
            self.query_one("#runs-facts", Static).update(facts)
            panel = self.query_one("#runs-sample", Static)
            panel.set_class(table, "-table")
            panel.update(sample)


def _quoted(written: str) -> Content:
    """A sample on one line, in quotes."""
    quoted = text.visible_line(written.strip(), " ")
    return Content.styled(f"“{quoted}”", "italic $text-muted") if quoted else Content("")
