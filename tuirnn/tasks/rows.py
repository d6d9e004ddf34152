"""Tables whose rows are no points of a series: a sequence of numbers in each row, and its class."""

import re
from dataclasses import dataclass

import numpy as np

from tuirnn.errors import one_line
from tuirnn.scaling import Series
from tuirnn.tables import cells
from tuirnn.tables.table import Table

LEAST_LONG, LEAST_ROWS = 8, 4
"""Numbers in a row, and rows, from which a table is looked at so."""

SAMPLE = 400
"""Rows that are looked at."""

LEAST_ALIKE = 0.2
"""How alike neighbours in a row are at least; see `_alike`."""

LABELS = frozenset(("label", "class", "target", "y", "activity"))
"""Names of columns of classes."""

LEAST_TIMES = 3
"""Columns with times for names from which a table is taken to be turned."""

MONTH_LENGTH = 10
"""Letters of a month's name at most."""

_YEAR = re.compile(r"(?:1[89]|20)\d{2}")
_NUMBERED = re.compile(r"(.*?)[-_ .]?(\d+)")


@dataclass(frozen=True)
class Rows:
    """Sequences of numbers, a row each.

    Attributes:
        label: the column of their classes, for people.
        classes: how many there are in the rows looked at.
        length: of a sequence.
    """

    label: str
    classes: int
    length: int

    @property
    def told(self) -> str:
        """What the table looks like, and what can be done, in a line."""
        return (
            f"each row looks like a sequence of {self.length:,} numbers with its class in {self.label} "
            f"({self.classes} different), as tables of the UCR archive have them; no task learns the class of such a "
            "sequence as it is: write its numbers as letters for --task classify, as docs/classification.md shows "
            "under 'Sequences of numbers'"
        )


def sequences(table: Table) -> Rows | None:
    """Whether each row is a sequence of numbers with a class: None for any other table.

    The first or the last column has few values, each in several rows; the others hold numbers, and have no names of
    their own; neighbours in a row are alike, and neighbours in a column are not but for their classes, as they would be
    in a series.
    """
    width = len(table.names)
    if width <= LEAST_LONG or len(table) < LEAST_ROWS:
        return None
    for at in (0, width - 1):
        others = [place for place in range(width) if place != at]
        if table.named and not (_is_label(table, at) and _are_numbered([table.names[place] for place in others])):
            continue
        labels = [_plain(cell.strip()) for cell in table.cells(at, slice(0, SAMPLE))]
        classes = len({_plain(cell.strip()) for cell in table.spread(at, SAMPLE)})
        if not 2 <= classes <= len(labels) // 2 or any(_is_decimal(label) for label in labels):
            continue
        values = _values(table, others)
        if values is not None and _alike(values.T) > max(LEAST_ALIKE, 2 * _alike(_without_classes(values, labels))):
            name = f"column '{one_line(table.names[at], 40)}'" if table.named else f"column {at + 1}"
            return Rows(name, classes, width - 1)
    return None


def turned(table: Table) -> str:
    """Why each row is a series of its own, where the names of most columns are times; empty for any other table.

    Years alone may name columns that are series, unless words or keys name the rows.
    """
    if not table.named or len(table.names) < LEAST_TIMES:
        return ""
    months = [place for place, name in enumerate(table.names) if _is_month(name)]
    dates = [place for place, name in enumerate(table.names) if cells.is_date(name) or _YEAR.fullmatch(name.strip())]
    dates = months if len(months) == 12 else dates
    others = [place for place in range(len(table.names)) if place not in dates]
    whole = dates == months or any(cells.is_date(table.names[place]) for place in dates)
    named = any(len({*(seen := table.spread(place, SAMPLE))}) == len(seen) for place in others)
    if len(dates) < max(LEAST_TIMES, len(others)) or not (whole or (others and named)):
        return ""
    first, last = (one_line(table.names[place], 20) for place in (dates[0], dates[-1]))
    return (
        f"its columns are times, {first} to {last}, and each row is a series; a table needs a row for each time: turn "
        "it round, in pandas with table.melt(id_vars=...)"
    )


def _is_month(name: str) -> bool:
    """Whether a name is that of a month, or its beginning."""
    word = name.strip().lower().rstrip(".")
    return word.isalpha() and len(word) <= MONTH_LENGTH and (word[:4] in cells.MONTHS or word[:3] in cells.MONTHS)


def _is_label(table: Table, place: int) -> bool:
    return table.names[place].strip().lower() in LABELS


def _are_numbered(names: list[str]) -> bool:
    """Whether names are one word with numbers that rise by one, such as 'pixel0', 'pixel1', or numbers alone."""
    found = [_NUMBERED.fullmatch(name.strip()) for name in names]
    parts = [(one[1], int(one[2])) for one in found if one is not None]
    first = parts[0] if parts else ("", 0)
    return len(parts) == len(names) and parts == [(first[0], first[1] + at) for at in range(len(names))]


def _plain(label: str) -> str:
    """A label without the decimals of a whole number: 1.0000000e+00 is 1."""
    try:
        return f"{float(label):g}"
    except ValueError:
        return label


def _is_decimal(label: str) -> bool:
    return cells.is_number(label) and not _plain(label).lstrip("-").isdigit()


def _values(table: Table, places: list[int]) -> Series | None:
    """The numbers of columns, neighbouring rows [n, columns], each column in its own deviations; None for others."""
    found = []
    for place in places:
        try:
            found.append([float(cell) for cell in table.cells(place, slice(0, SAMPLE))])
        except ValueError:
            return None
    values = np.array(found).T  # [n, columns]
    if not np.isfinite(values).any(0).all():
        return None
    values = np.where(np.isfinite(values), values, np.nanmean(values, 0))  # shorter sequences end with NaN
    deviation = values.std(0)
    scaled = np.divide(values - values.mean(0), deviation, out=np.zeros_like(values), where=deviation > 0)
    return np.asarray(scaled, np.float64)


def _without_classes(values: Series, labels: list[str]) -> Series:
    """Rows without the mean of their class, which rows that are sorted by class have in common."""
    _, number = np.unique(labels, return_inverse=True)
    sums = np.zeros((number.max() + 1, values.shape[1]))
    np.add.at(sums, number, values)
    return np.asarray(values - (sums / np.bincount(number)[:, None])[number], np.float64)


def _alike(values: Series) -> float:
    """How alike neighbours along the first axis are: 1 where they are equal, 0 where they have nothing in common."""
    spread = float((values**2).mean())
    return 1 - float((np.diff(values, axis=0) ** 2).mean()) / (2 * spread) if spread else 0.0
