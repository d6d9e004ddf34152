"""How the gates of a cell stand: the spread of their values, and how many lie at the ends of what they can be."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from tuirnn.cells import Cell
from tuirnn.codegen.ranges import EVERYTHING
from tuirnn.codegen.trace import traced
from tuirnn.gates import SHUT_OPEN, is_known, span, visible
from tuirnn.runlog.probes import Probe
from tuirnn.tui.widgets.bars import bar


@dataclass(frozen=True)
class GateRow:
    """What is shown of a gate.

    Attributes:
        word: what it is called.
        shares: of its values, in each of some equal bins.
        ends: its least and largest value.
        fixed: whether these are the ends of what it can be, and not only of what was seen.
    """

    word: str
    shares: tuple[float, ...]
    ends: tuple[float, float]
    fixed: bool


class Gates(Widget):
    """How the values of each gate spread over their range, and what share lies at either end."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[GateRow, ...] = ()

    def show(self, rows: Sequence[GateRow]) -> None:
        """Draw these."""
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self.refresh()

    def render(self) -> Content:
        """A small histogram and the shares at the ends, with bars where there is room; a heading for each range.

        Of a gate without limits, the least and the largest value that were seen stand in place of the shares.
        """
        if not self._rows:
            return Content.styled("gates are recorded at each evaluation", "$text-muted")
        wide = max(len(row.word) for row in self._rows)
        cells = max(0, (self.content_size.width - wide - BINS - 4) // 2 - FIGURE)
        lines: list[Content] = []
        for heading, own in self._grouped().items():
            ends = "".join(f"  {end:>{FIGURE - 2}}{'':{cells}}" for end in heading)
            lines.append(Content.styled(" " * (wide + BINS + 2) + ends, "$text-muted"))
            lines += [self._line(row, wide, cells) for row in own]
        return Content("\n").join(lines[: max(1, self.content_size.height)])

    def _grouped(self) -> dict[tuple[str, str], list[GateRow]]:
        """The rows by what the ends of their ranges are called: shut and open first, those without fixed ends last."""
        found: dict[tuple[str, str], list[GateRow]] = {}
        for row in sorted(self._rows, key=lambda row: (not row.fixed, row.ends != SHUT_OPEN)):
            found.setdefault(_heading(row), []).append(row)
        return found

    def _line(self, row: GateRow, wide: int, cells: int) -> Content:
        known = [share if share == share else 0.0 for share in row.shares]
        most = max(known, default=0.0) or 1.0
        picture = "".join("▁▂▃▄▅▆▇█"[round(share / most * 7)] for share in known)[:BINS]
        low, high = (known[0], known[-1]) if known else (0.0, 0.0)
        begin: list[Content | str | tuple[str, str]] = [
            (row.word.ljust(wide), "bold"), "  ", (picture.ljust(BINS), "$accent"),
        ]  # fmt: skip
        if not row.fixed:
            return Content.assemble(*begin, *(f"  {_value(end)}{'':{cells}}" for end in row.ends))
        return Content.assemble(
            *begin,
            f"  {_share(low)}",
            (bar(low, cells), "$warning"),
            f"  {_share(high)}",
            (bar(high, cells), "$success"),
        )


def _heading(row: GateRow) -> tuple[str, str]:
    """What the two ends of a range are called."""
    if not row.fixed:
        return "least", "most"
    if row.ends == SHUT_OPEN:
        return "shut", "open"
    low, high = (f"at {end:+g}" for end in row.ends)
    return low, high


def _bar(share: float, cells: int) -> str:
    """After a blank; nothing where there is no room."""
    return " " + bar(share, cells - 1) if cells > 1 else " " * cells


def _share(share: float) -> str:
    return f"{100 * share:.0f} %".rjust(FIGURE - 2)


def _value(value: float) -> str:
    return (f"{value:+.2g}" if value else "0").rjust(FIGURE - 2)


BINS = 10
"""Of the small histograms, a cell each."""

FIGURE = 7
"""Cells of a share, blanks before it included."""


def gate_rows(probe: Probe, layer: int, cell: Cell) -> list[GateRow]:
    """What a probe says of a layer's gates, in the words of the cell.

    Probes of versions that recorded no ranges have the bins of -1 to 1, and of 0 to 1 where that is what a gate can be.
    """
    known = {gate: span(traced(cell), gate) for gate in visible(traced(cell))}
    ranges = probe.ranges[layer] if layer < len(probe.ranges) else {}
    rows = []
    for gate, shares in probe.gates[layer].items():
        can_be, seen = known.get(gate, EVERYTHING), ranges.get(gate, ())
        low, high = seen if len(seen) == 2 else SHUT_OPEN if can_be == SHUT_OPEN else (-1.0, 1.0)
        rows.append(GateRow(cell.words.get(gate, gate), shares, (low, high), is_known(can_be) or not seen))
    return rows
