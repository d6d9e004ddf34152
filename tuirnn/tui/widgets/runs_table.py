"""The table of runs: which columns fit, how wide each is, what each run's row contains."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.widgets import DataTable

from tuirnn import text
from tuirnn.runs.listing import RunSummary
from tuirnn.tui import theme
from tuirnn.tui.widgets.paint import variables
from tuirnn.tui.widgets.titles import whole_words

COLUMNS = {
    "name": 18, "cell": 8, "data": 10, "state": 10, "step": 13, "done": 5, "best val": 8, "speed": 10, "left": 7,
    "age": 5, "loss": 10, "task": 4, "tags": 4,
}  # fmt: skip
"""Title and least width of each column."""

IMPORTANCE = (
    "name",
    "cell",
    "state",
    "done",
    "best val",
    "left",
    "age",
    "data",
    "task",
    "tags",
    "loss",
    "speed",
    "step",
)
"""The order in which columns are given space; those that do not fit are left out."""

RIGHT = {"step", "done", "best val", "speed", "left", "age"}
"""Columns that are aligned to the right."""

OPTIONAL = {"task", "tags"}
"""Columns that are left out where they are the same for all runs."""

PADDING = 1
"""Cells on either side of each column."""

FRAME = 3
"""Columns of the screen that frame and scroll bar take."""

ROOMY, WIDE = 112, 140
"""Widths from which long names of runs, and of data, are shown longer."""


def fitting(rows: Sequence[Mapping[str, Text]], room: int) -> dict[str, int]:
    """Title and width of the columns that fit, left to right; each is as wide as its widest cell.

    Args:
        rows: a cell for every title.
        room: width of the table in cells.
    """
    widths = {title: max([least, *(row[title].cell_len for row in rows)]) for title, least in COLUMNS.items()}
    shown = []
    for title in (one for one in IMPORTANCE if one not in OPTIONAL or _tells(rows, one)):
        room -= widths[title] + 2 * PADDING
        if room < 0:
            break
        shown.append(title)
    return {title: width for title, width in widths.items() if title in shown}


def shortened(written: str, room: int, style: str = "") -> Text:
    """A cell of at most `room` cells: cut between words where it has several, else within the only one."""
    words = whole_words(written, room)[0]
    shown = Text(words if words.strip(" …") else written, style)
    shown.truncate(room, overflow="ellipsis")
    return shown


def _tells(rows: Sequence[Mapping[str, Text]], title: str) -> bool:
    """Whether a column tells runs apart."""
    return len({row[title].plain for row in rows}) > 1


class RunsTable(DataTable[Text], inherit_bindings=False):
    """A row for each run, and a cursor. Enter is left to the tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", show=False, id="runs.up"),
        Binding("down", "cursor_down", show=False, id="runs.down"),
        Binding("pageup", "page_up", show=False, id="runs.page_up"),
        Binding("pagedown", "page_down", show=False, id="runs.page_down"),
        Binding("home,ctrl+home", "scroll_top", show=False, id="runs.top"),
        Binding("end,ctrl+end", "scroll_bottom", show=False, id="runs.bottom"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=PADDING)
        self._shown: list[RunSummary] = []
        self._styles: Mapping[str, str] = {}
        self._marked: frozenset[str] = frozenset()
        self._mixed = False  # whether losses have more than one unit, which each row then names
        self._titles: dict[str, int] = {}  # title and width of the columns that are shown
        self._cells: dict[str, list[Text]] = {}

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor."""
        row = self.cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def row_of(self, run: RunSummary) -> str:
        """Every column of a run, whether there is room for it or not, with its title, a line each."""
        row = {**self._row(run), "name": Text(run.name)}
        wide = max(map(len, row))
        return "\n".join(f"{title.ljust(wide)}  {cell.plain}" for title, cell in row.items() if cell.plain.strip(" –"))

    def show(
        self, runs: list[RunSummary], styles: Mapping[str, str], marked: frozenset[str], start: str | None = None
    ) -> None:
        """Display these runs, the cursor on the same run as before.

        Args:
            runs: in the order of the rows.
            styles: of the runs' lines in charts, by name.
            marked: names of the runs whose dot is full.
            start: name of the run where to put the cursor if it was on no run.
        """
        before, names = self.highlighted, [run.name for run in self._shown]
        self._shown, self._styles, self._marked = runs, styles, marked
        self._mixed = len({run.judgement.loss.unit for run in runs if run.record}) > 1
        if names == [run.name for run in runs] and self._titles:
            self.renew()
        else:
            self._rebuild(before.name if before else start)

    def put_cursor(self, name: str) -> bool:
        """Move the cursor to the run of this name; returns whether it is listed."""
        row = next((row for row, run in enumerate(self._shown) if run.name == name), None)
        if row is not None:
            self.move_cursor(row=row)
        return row is not None

    def renew(self) -> None:
        """Update the cells that changed; all of them if columns come, go or change their width."""
        rows = {run.name: self._row(run) for run in self._shown}
        if self._titles != fitting(list(rows.values()), self._room):
            self._rebuild(self.highlighted.name if self.highlighted else None)
            return
        for name, row in rows.items():
            cells = self._aligned(row)
            for title, old, new in zip(self._titles, self._cells[name], cells, strict=True):
                if old != new or old.style != new.style or old.spans != new.spans:
                    self.update_cell(name, title, new)
            self._cells[name] = cells

    def on_resize(self, event: events.Resize) -> None:
        """Show fewer columns and shorter names in less space."""
        if self._titles:
            self.renew()

    @property
    def _room(self) -> int:
        return self.app.size.width - FRAME

    def _rebuild(self, keep: str | None) -> None:
        """Lay out columns and rows again, with the cursor on the run named `keep`."""
        rows = {run.name: self._row(run) for run in self._shown}
        self._titles = fitting(list(rows.values()), self._room)
        self.clear(columns=True)
        for title, width in self._titles.items():
            label = Text(title)
            if title in RIGHT:
                label.align("right", width)
            elif title == "name":
                label.pad_left(2)
            self.add_column(label, key=title, width=width)
        self._cells = {name: self._aligned(row) for name, row in rows.items()}
        for name, cells in self._cells.items():
            self.add_row(*cells, key=name)
        names = list(rows)
        if keep in names:
            self.move_cursor(row=names.index(keep), animate=False)

    def _aligned(self, row: Mapping[str, Text]) -> list[Text]:
        """The cells of the columns that are shown, padded to their widths."""
        cells = []
        for title, width in self._titles.items():
            cell = row[title].copy()
            cell.align("right" if title in RIGHT else "left", width)
            cells.append(cell)
        return cells

    def _row(self, run: RunSummary) -> dict[str, Text]:
        """A cell for each title."""
        status, record, width = run.status, run.record, self.app.size.width
        best = status.best_val_loss if status.best_step else float("nan")
        unit = f" {run.judgement.loss.unit}" if self._mixed and best == best else ""
        poor = run.worse_than_guessing
        total = f"/{text.count(status.total)}" if status.total else ""
        name, read = Text(run.name), text.visible_line(str(record.data.get("name", ""))) if record else "–"
        name.truncate(24 if width >= ROOMY else 16, overflow="ellipsis")
        data = shortened(read, 24 if width >= WIDE else 14)
        style = theme.style_of(self._styles[run.name], variables(self.app)) if run.name in self._styles else ""
        return {
            "name": Text.assemble(("● " if run.name in self._marked else "○ ", style), name),
            "cell": Text(run.cell),
            "data": data,
            "state": Text(text.state_label(status.state), self._state_style(status.state)),
            "step": Text(text.count(status.step) + total),
            "done": Text(f"{100 * status.progress:.0f} %" if 0 <= status.progress <= 1 else "–"),
            "best val": Text(
                f"{'▲ ' if poor else ''}{text.held_out(best, run.leaky)}{unit}", self._colour("error") if poor else ""
            ),
            "speed": Text(text.speed(status.tokens_per_s, run.speed_in) if status.live else "–"),
            "left": Text(text.duration(status.eta) if status.live and status.eta else "–"),
            "age": Text(text.age(record.created if record else 0.0)),
            "loss": Text(text.sparkline(run.spark)),
            "task": Text(run.task.name if run.task else "–"),
            "tags": shortened(" ".join(f"#{tag}" for tag in run.notes.tags), 24, "bold"),
        }

    def _state_style(self, state: str) -> str:
        name = text.STATE_STYLES.get(state, "muted")
        if name == "muted":
            return "dim"
        return self._colour(name)

    def _colour(self, name: str) -> str:
        """A colour of the theme for text, by what it means."""
        colour = Color.parse(self.app.theme_variables[f"text-{name}"])
        return "" if colour.auto else colour.rich_color.name
