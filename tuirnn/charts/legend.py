"""The names of the lines of a chart: as many rows as they need, and shorter where these are too many.

Every line that is drawn has its name; lines whose names do not fit are left out, and how many is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tuirnn.charts.plot import Series
from tuirnn.text import visible_line

SHORTEST = 6
"""Characters that are left of a name at least."""

GAP = 3
"""Cells between two entries."""


@dataclass(frozen=True)
class Entry:
    """A name with the mark of its line before it."""

    mark: str
    name: str
    style: str

    @property
    def width(self) -> int:
        """Cells that it takes."""
        return len(self.name) + (2 if self.mark else 0)


@dataclass(frozen=True)
class Legend:
    """Rows of entries, and the series that may be drawn: those that are named in it, and those without a name."""

    rows: tuple[tuple[Entry, ...], ...]
    series: tuple[Series, ...]


def lay_out(series: Sequence[Series], width: int, rows: int) -> Legend:
    """Name as many series as fit into so many rows of `width` cells, the first ones first.

    Args:
        series: those that share a name are one entry.
        width: cells.
        rows: at most; without any, nothing is named, and only the first line is drawn.
    """
    names = list(dict.fromkeys(one.name for one in series if one.name))
    for count in range(len(names), 0, -1):
        more = f"+{len(names) - count} more" if count < len(names) else ""
        widest = max(map(len, names))
        for longest in range(widest, min(SHORTEST, widest) - 1, -1):
            short = [_shortened(visible_line(name), longest) for name in names[:count]]
            if len(set(short)) < count:
                break  # names that look alike name nothing
            laid = _rows(_entries(series, dict(zip(names, short, strict=False)), more), width)
            if laid is not None and len(laid) <= rows:
                known = set(names[:count])
                return Legend(laid, tuple(one for one in series if not one.name or one.name in known))
    first = names[:1]
    return Legend((), tuple(one for one in series if not one.name or one.name in first))


def _entries(series: Sequence[Series], names: dict[str, str], more: str) -> list[Entry]:
    """One for each name: the mark of the last series that has it."""
    found = {one.name: Entry(one.mark or "━", names[one.name], one.style) for one in series if one.name in names}
    return [*found.values(), *([Entry("", more, "label")] if more else [])]


def _rows(entries: Sequence[Entry], width: int) -> tuple[tuple[Entry, ...], ...] | None:
    """The entries one after the other, a new row where one is full; None where one alone is too wide."""
    if any(entry.width > width for entry in entries):
        return None
    rows: list[list[Entry]] = [[]]
    for entry in entries:
        if rows[-1] and _wide([*rows[-1], entry]) > width:
            rows.append([])
        rows[-1].append(entry)
    return tuple(map(tuple, rows))


def _wide(row: Sequence[Entry]) -> int:
    return sum(entry.width for entry in row) + GAP * (len(row) - 1)


def _shortened(name: str, longest: int) -> str:
    """A name with its middle left out: beginnings and ends tell runs apart."""
    if len(name) <= longest:
        return name
    begin = longest // 2
    return f"{name[:begin]}…{name[len(name) - (longest - begin - 1) :]}"
