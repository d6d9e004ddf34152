"""Columns without holes: the last value in place of each missing one, and what is real among them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError
from tuirnn.scaling import Series
from tuirnn.tasks.forecast import clock as clocks
from tuirnn.tasks.forecast.axis import Order
from tuirnn.tasks.forecast.parts import Group, end_to_end

LEAST_ROWS = 10
"""Of a series among several."""

Real = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filled:
    """Columns side by side.

    Attributes:
        columns: their names.
        values: [n, F], missing ones filled in with the last before.
        real: which are in the table, [n, F].
        notes: what was filled in and left out, a line each.
        groups: the series among the rows, one after the other.
    """

    columns: tuple[str, ...]
    values: Series
    real: Real
    notes: tuple[str, ...]
    groups: tuple[Group, ...]


def fill(found: Mapping[str, Series], ordered: Order) -> Filled:
    """Fill columns, those of each series by itself; series without a row are left out.

    Args:
        found: the columns by name, each [n] with NaN where there is no value.
        ordered: in which their rows are.
    Raises:
        DataError: no series has enough rows with values.
    """
    if not ordered.groups:
        values, real, notes = fill_one(found)
        group = _group_of(ordered, "", 0, len(ordered.rows), 0, len(values))
        return Filled(tuple(found), values, real, tuple(notes), (group,))
    parts, groups, missing, early, short = [], [], 0, 0, 0
    at = 0
    for name, begin, end in ordered.groups:
        values, real, _ = fill_one({column: of[begin:end] for column, of in found.items()}, empty_is_none=True)
        early, missing = early + end - begin - len(values), missing + int((~real).sum())
        if len(values) < LEAST_ROWS:
            short += 1
            continue
        parts.append((values, real))
        groups.append(_group_of(ordered, name, begin, end, at, len(values)))
        at += len(values)
    if not groups:
        raise DataError(f"each of the {len(ordered.groups):,} series has fewer than {LEAST_ROWS} rows with values")
    notes = []
    if early:
        notes.append(f"{early:,} rows before the first value of every column of their series left out")
    if missing:
        notes.append(
            f"{missing:,} missing values replaced by the last value before, and excluded from losses and errors"
        )
    if short:
        notes.append(f"{short:,} series of fewer than {LEAST_ROWS} rows left out")
    values, real = end_to_end([v for v, _ in parts]), end_to_end([r for _, r in parts])
    return Filled(tuple(found), values, real, tuple(notes), tuple(groups))


def _group_of(ordered: Order, name: str, begin: int, end: int, at: int, rows: int) -> Group:
    """A series whose last `rows` of those from `begin` to `end` are kept, and lie from `at` on."""
    clock = None
    if ordered.axis is not None and rows:
        clock = clocks.of_axis(ordered.axis, ordered.axis.values[ordered.rows[end - rows : end]])
    return Group(name, at, at + rows, clock)


def fill_one(found: Mapping[str, Series], *, empty_is_none: bool = False) -> tuple[Series, Real, list[str]]:
    """The last value in place of each missing one, from the first row on at which every column has had one.

    With `empty_is_none` no row is left where a column has no value at all.
    """
    if not found:
        return np.empty((0, 0)), np.empty((0, 0), bool), []
    values = np.stack(list(found.values()), 1)
    there = ~np.isnan(values)
    if there.all():
        return values, there, []
    if empty_is_none and not there.any(0).all():
        return values[:0], there[:0], []
    first = int(np.argmax(there, 0).max())
    last = np.maximum.accumulate(np.where(there, np.arange(len(values))[:, None], 0))
    values, there = np.take_along_axis(values, last, 0)[first:], there[first:]
    notes = []
    if first:
        notes.append(f"{first:,} rows before the first value of every column left out")
    if missing := int((~there).sum()):
        notes.append(
            f"{missing:,} missing values replaced by the last value before, and excluded from losses and errors"
        )
    return values, there, notes
