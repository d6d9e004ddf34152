"""Tables whose rows are no points of a series: each has a sequence of numbers, or a few measures, and their class."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuirnn.errors import one_line
from tuirnn.escaping import join_names
from tuirnn.scaling import Series
from tuirnn.tables import cells
from tuirnn.tables.table import Table

LEAST_LONG, LEAST_ROWS = 8, 4
"""Numbers in a row, and rows, from which a table is looked at so."""

SAMPLE = 400
"""Rows that are looked at."""

LEAST_ALIKE = 0.2
"""How alike neighbours in a row are at least; see `alike`."""

LABELS = frozenset(("label", "class", "target", "y", "activity"))
"""Names of columns of classes."""

CLASSES = LABELS | {
    "species", "outcome", "diagnosis", "quality", "survived", "type", "variety", "category", "result", "status",
    "churn", "exited", "default", "fraud",
}  # fmt: skip
"""Names of columns of classes beside a few measures."""

LEAST_SAMPLES, MOST_CLASSES, SHOWN = 40, 20, 8
"""Rows, and most classes, by which measures with a class are told; and columns that a command names."""

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
        if values is not None and alike(values.T) > max(LEAST_ALIKE, 2 * alike(_without_classes(values, labels))):
            name = f"column '{one_line(table.names[at], 40)}'" if table.named else f"column {at + 1}"
            return Rows(name, classes, width - 1)
    return None


def samples(table: Table) -> str:
    """Why each row is a sample of its own, some measures and their class, and what to do; empty for any other table.

    One column holds a few words, or a few whole numbers under a name that classes have; two others at least hold
    numbers, which are not more like those of the rows beside them than any two rows of the class are.
    """
    width = len(table.names)
    if len(table) < LEAST_SAMPLES or width < 3:
        return ""
    numbers = [at for at in range(width) if holds(table, at, cells.NUMBER) and _filled(table, at)]
    numbers = [at for at in numbers if not _counts(table, at)]
    words = [place for place in range(width) if holds(table, place, cells.TEXT)]
    named = [at for at in range(width) if table.named and table.names[at].strip().lower() in CLASSES]
    found = [at for at in (*named, *reversed(words)) if _is_class(table, at, number=at in numbers)]
    measures = [place for place in numbers if not found or place != found[0]]
    if not found or len(measures) < 2:
        return ""
    labels = [cell.strip() for cell in table.cells(found[0], slice(0, SAMPLE))]
    if alike(_without_classes(deviations(table, measures), labels)) > LEAST_ALIKE:
        return ""
    names = [table.names[place] for place in measures if table.names[place]]
    columns = shlex.quote(join_names(names[:SHOWN]))
    classes = len(set(labels))
    return (
        f"each row looks like a sample of its own, {len(measures)} numbers and their class in column "
        f"'{one_line(table.names[found[0]], 40)}' ({classes} different), for neighbouring rows are not alike; no task "
        "learns classes from single numbers (--task classify reads texts; a decision tree or a logistic regression "
        f"suits them); if the rows are in time order nevertheless, give --task forecast --columns {columns}"
    )


def holds(table: Table, place: int, kind: str) -> bool:
    """Whether most filled cells of a column are of a kind; see `cells.kind`."""
    kinds = Counter(cells.kind(cell, table.missing) for cell in table.spread(place, SAMPLE))
    del kinds[cells.NOTHING]
    return 2 * kinds[kind] > kinds.total()


def _filled(table: Table, place: int) -> bool:
    """Whether no more than half of a column is missing."""
    seen = table.spread(place, SAMPLE)
    return 2 * sum(cell.strip().lower() in table.missing for cell in seen) <= len(seen)


def _is_class(table: Table, place: int, *, number: bool) -> bool:
    """Whether a column has few values, whole where they are numbers, each in several rows."""
    seen = [cell.strip() for cell in table.spread(place, SAMPLE)]
    filled = [cell for cell in seen if cell.lower() not in table.missing]
    whole = not number or not any(_is_decimal(cell) for cell in filled)
    return whole and 2 <= len(set(filled)) <= min(MOST_CLASSES, len(filled) // 4)


def _counts(table: Table, place: int) -> bool:
    """Whether a column counts the rows."""
    steps = np.diff([_number(cell) for cell in table.cells(place, slice(0, SAMPLE))])
    return bool(len(steps) and steps[0] and (steps == steps[0]).all())


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


def deviations(table: Table, places: Sequence[int]) -> Series:
    """Neighbouring rows of columns [n, columns], in deviations of each column; what is missing is its mean."""
    values = np.array([[_number(cell) for cell in table.cells(place, slice(0, SAMPLE))] for place in places]).T
    there = np.isfinite(values)
    means = np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1)
    values = np.where(there, values, means) - means
    deviation = values.std(0)
    return np.asarray(np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0), np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return float("nan")


def _without_classes(values: Series, labels: list[str]) -> Series:
    """Rows without the mean of their class, which rows that are sorted by class have in common."""
    _, number = np.unique(labels, return_inverse=True)
    sums = np.zeros((number.max() + 1, values.shape[1]))
    np.add.at(sums, number, values)
    return np.asarray(values - (sums / np.bincount(number)[:, None])[number], np.float64)


def alike(values: Series) -> float:
    """How alike neighbours along the first axis are: 1 where they are equal, 0 where they have nothing in common."""
    spread = float((values**2).mean())
    return 1 - float((np.diff(values, axis=0) ** 2).mean()) / (2 * spread) if spread else 0.0
