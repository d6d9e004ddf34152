"""The gates of a cell: distribution of their values, and the shares at the ends of their ranges."""

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
    """What is displayed about a gate.

    Attributes:
        word: name of the gate.
        shares: of its values, in equal bins.
        ends: least and largest value.
        fixed: whether `ends` are the bounds of the gate; if not, they were observed.
    """

    word: str
    shares: tuple[float, ...]
    ends: tuple[float, float]
    fixed: bool


class Gates(Widget):
    """For each gate the distribution of its values over its range, and the shares at both ends."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[GateRow, ...] = ()

    def show(self, rows: Sequence[GateRow]) -> None:
        """Display these gates."""
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self.refresh()

    def render(self) -> Content:
        """Tall histograms beside each other if they fit, otherwise a line for each gate.

        For an unbounded gate the least and the largest observed value are displayed instead of the shares.
        """
        if not self._rows:
            return Content.styled("gates are recorded at each evaluation", "$text-muted")
        return self._tall() or self._flat()

    # ── tall ──────────────────────────────────────────────────────────────────

    def _tall(self) -> Content | None:
        """A block for each gate: name, histogram, axis from one end of its range to the other, shares at both."""
        rows = [row for own in self._grouped().values() for row in own]
        across = max(1, min(len(rows), (self.content_size.width + GAP) // (NARROWEST + GAP)))
        down = -(-len(rows) // across)
        across = -(-len(rows) // down)
        wide = (self.content_size.width - GAP * (across - 1)) // across
        high = min(TALLEST, (self.content_size.height + 1) // down - BESIDE)
        if wide < NARROWEST or high < LOWEST:
            return None
        lines: list[Content] = []
        for first in range(0, len(rows), across):
            blocks = [_block(row, wide, high) for row in rows[first : first + across]]
            lines += [Content(" " * GAP).join(parts) for parts in zip(*blocks, strict=True)]
        return Content("\n").join(lines[: self.content_size.height])

    # ── flat ──────────────────────────────────────────────────────────────────

    def _flat(self) -> Content:
        """A small histogram and the shares at the ends, with bars if there is space; a heading for each range."""
        wide = max(len(row.word) for row in self._rows)
        cells = max(0, (self.content_size.width - wide - BINS - 4) // 2 - FIGURE)
        lines: list[Content] = []
        for heading, own in self._grouped().items():
            ends = "".join(f"  {end:>{FIGURE - 2}}{'':{cells}}" for end in heading)
            lines.append(Content.styled(" " * (wide + BINS + 2) + ends, "$text-muted"))
            lines += [self._line(row, wide, cells) for row in own]
        return Content("\n").join(lines[: max(1, self.content_size.height)])

    def _grouped(self) -> dict[tuple[str, str], list[GateRow]]:
        """The rows by the names of their ends: shut and open first, unbounded gates last."""
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


def _block(row: GateRow, wide: int, high: int) -> list[Content]:
    """A gate as lines of equal width: its name, `high` rows of bars, the axis, the shares, a blank line."""
    known = [share if share == share else 0.0 for share in row.shares] or [0.0]
    most = max(known) or 1.0
    each = max(1, wide // len(known))
    used = each * len(known)
    lines = [Content.assemble((row.word, "bold"), " " * max(0, wide - len(row.word)))]
    for level in range(high - 1, -1, -1):  # from the top
        bars = "".join(_EIGHTHS[round(min(max(share / most * high - level, 0), 1) * 8)] * each for share in known)
        lines.append(Content.assemble((bars, "$accent"), " " * (wide - used)))
    low, top = (f"{end:.2g}" for end in row.ends)
    rule = "─" * max(1, used - len(low) - len(top) - 2)
    lines.append(Content.styled(f"{low} {rule} {top}".ljust(wide), "$text-muted"))
    if row.fixed:
        low, top = f"{100 * known[0]:.0f} %", f"{100 * known[-1]:.0f} %"
        lines.append(Content.assemble(low, " " * max(1, used - len(low) - len(top)), top, " " * (wide - used)))
    else:
        lines.append(Content.styled("as observed".ljust(wide), "$text-muted"))
    return [*lines, Content(" " * wide)]


def _heading(row: GateRow) -> tuple[str, str]:
    """Names of the two ends of a range."""
    if not row.fixed:
        return "least", "most"
    if row.ends == SHUT_OPEN:
        return "shut", "open"
    low, high = (f"at {end:+g}" for end in row.ends)
    return low, high


def _share(share: float) -> str:
    return f"{100 * share:.0f} %".rjust(FIGURE - 2)


def _value(value: float) -> str:
    return (f"{value:+.2g}" if value else "0").rjust(FIGURE - 2)


_EIGHTHS = " ▁▂▃▄▅▆▇█"

NARROWEST, GAP = 14, 3
"""Cells of a tall histogram at least, and between two."""

LOWEST, TALLEST = 2, 7
"""Rows of its bars."""

BESIDE = 4
"""Rows of its name, its axis, its shares, and below them."""

BINS = 10
"""Number of bins of a histogram, one cell each."""

FIGURE = 7
"""Width of a share in cells, including blanks before it."""


def gate_rows(probe: Probe, layer: int, cell: Cell) -> list[GateRow]:
    """The gates of a layer as a probe recorded them.

    Probes of versions that recorded no ranges have bins from 0 to 1 for gates with these bounds, and from -1 to 1 for
    others.

    Args:
        probe: the record.
        layer: index of the layer.
        cell: whose names of gates are used.
    """
    known = {gate: span(traced(cell), gate) for gate in visible(traced(cell))}
    ranges = probe.ranges[layer] if layer < len(probe.ranges) else {}
    rows = []
    for gate, shares in probe.gates[layer].items():
        can_be, seen = known.get(gate, EVERYTHING), ranges.get(gate, ())
        low, high = seen if len(seen) == 2 else SHUT_OPEN if can_be == SHUT_OPEN else (-1.0, 1.0)
        rows.append(GateRow(cell.words.get(gate, gate), shares, (low, high), is_known(can_be) or not seen))
    return rows
