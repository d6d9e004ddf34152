"""A series from a table: which columns, in which order, and what is real in them.

What is done with imperfect tables, and said in the run's notes:

- rows are put into the order of their times, the oldest first; empty rows at the end are left out;
- a missing value is taken to be the last one before it for the network to read, and counts in no loss and no error;
  rows before the first value of every column are left out;
- a column that holds no number, has no name, never changes in the training part, is mostly missing, has no value in a
  held-out part, counts in even steps, or varies by less than float32 can tell beside its size, is left out; if it was
  asked for by name, that is an error unless it is a counter;
- anything else that is not a finite number is an error that names its line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.escaping import split_names
from tuirnn.machine import give_back_freed_memory
from tuirnn.scaling import LARGEST, MAX_COLUMNS, RESOLUTION, Series
from tuirnn.settings.data import DataConfig
from tuirnn.tables import cells
from tuirnn.tables import table as tables
from tuirnn.tables.dialect import Dialect, former
from tuirnn.tables.given import Given
from tuirnn.tables.table import Numbers, Table
from tuirnn.tasks import rows as shapes
from tuirnn.tasks import sources
from tuirnn.tasks.forecast import axis as axes
from tuirnn.tasks.forecast import sentinels
from tuirnn.tasks.forecast.axis import Order
from tuirnn.tasks.forecast.filling import Filled, Real, fill, fill_one
from tuirnn.tasks.forecast.parts import Group, joined, rows_of
from tuirnn.tasks.turned import turned

MOST_MISSING = 0.5
"""Share of missing values from which a column is left out."""

COARSE = 1e-3
"""Steps of float32 that a value may have, as a share of its column's deviation."""

EVEN, LEAST_EVEN = 0.95, 8
"""Share of equal steps that make a column a counter, and how many values it takes to tell."""

EXAMPLES, SAMPLE = 3, 200


@dataclass(frozen=True)
class Points:
    """A series.

    Attributes:
        columns: their names.
        values: [n, F], missing ones filled in with the last before.
        real: which are in the table [n, F]; None: all.
        notes: what was understood, filled in and left out, a line each.
        read: the same for a run's record.
        groups: the series among the rows, one after the other.
    """

    columns: tuple[str, ...]
    values: Series
    real: Real | None
    notes: tuple[str, ...]
    read: dict[str, Any]
    groups: tuple[Group, ...]

    def of(self, groups: Sequence[Group]) -> "Points":
        """The rows of some groups, or of the first of theirs, alone."""
        rows, moved, at = [slice(group.first, group.last) for group in groups], [], 0
        for group in groups:
            size = group.last - group.first
            moved.append(Group(group.name, at, at + size, group.clock))
            at += size
        real = None if self.real is None else joined(self.real, rows)
        return Points(self.columns, joined(self.values, rows), real, self.notes, self.read, tuple(moved))


def new_series(source: sources.Source, config: DataConfig) -> Points:
    """The columns that a new run learns from.

    Raises:
        DataError: no table of numbers, or columns that were asked for and cannot be used.
    """
    wanted = split_names(config.columns)
    table = tables.read(source.data, source.name, sources.given(config, wanted))
    if not wanted and (rows := shapes.sequences(table)) is not None:
        raise DataError(f"{table.name}: {rows.told}; to read the columns as series nevertheless, give --columns")
    if not wanted and (why := turned(table)):
        raise DataError(f"{table.name}: {why}; to read the columns as series nevertheless, give --columns")
    if not (wanted or config.time_column or config.group_column):
        _refuse_samples(table, config)
    found, unfit = _parsed(table, wanted)
    ordered = axes.order(table, config.time_column, config.date_order, _last(table, found), config.group_column)
    of_rows = {table.names[place] for place in ordered.axis.columns} if ordered.axis is not None else set()
    for name in (of_rows | set(axes.group_names(table, config.group_column))) - set(wanted):
        found.pop(name, None)
        unfit.pop(name, None)
    table = table.without_cells()  # they take more memory than all numbers
    give_back_freed_memory()
    ranked = {name: ordered.of(found.pop(name).values) for name in list(found)}
    filled = _judge(ranked, unfit, wanted, config, ordered)
    notes = []
    for name, reason in unfit.items():
        said = f"column '{one_line(name, 60)}' {reason}"
        if name in wanted:
            raise DataError(f"{table.name}: {said}; choose others with --columns")
        notes.append(f"{said}: left out")
    columns = tuple(name for name in wanted or ranked if name not in unfit)
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise DataError(
            f"{table.name} has {len(columns):,} columns to learn from, not 1 to {MAX_COLUMNS:,}: "
            + one_line("; ".join(notes) or "choose some with --columns", 200)
        )
    if columns != filled.columns:
        filled = fill({name: ranked[name] for name in columns}, ordered)
    return _points(table, ordered, filled, notes)


def _refuse_samples(table: Table, config: DataConfig) -> None:
    """Raise DataError where rows without times are no points of a series."""
    if (why := shapes.samples(table)) and axes.find(table, "", config.date_order) is None:
        raise DataError(f"{table.name}: {why}")


def known_series(
    table: Table, columns: tuple[str, ...], time: str = "", dates: str = "auto", group: str = ""
) -> Points:
    """The columns that a network knows, by name; by place where the table has no names but as many columns.

    Args:
        table: to read.
        columns: that the network reads.
        time, dates, group: column of times, order of day and month, columns of groups; see `axes.order`.
    Raises:
        DataError: other columns, or cells that are no numbers.
    """
    found = _known_columns(table, columns)
    ordered = axes.order(table, time, dates, _last(table, found), group)
    ranked = {name: ordered.of(found[name].values) for name in columns}
    return _points(table, ordered, fill(ranked, ordered), [])


def former_series(source: sources.Source, columns: tuple[str, ...]) -> Points:
    """The columns of a run that was made before rows were ordered and invented values masked."""
    table = tables.read(source.data, source.name, None, former(source.data))
    found = _known_columns(table, columns)
    values, _, notes = fill_one({name: column.values for name, column in found.items()})
    return Points(columns, values, None, tuple(notes), {}, (Group("", 0, len(values)),))


def read_table(source: sources.Source, given: Given, read: Mapping[str, Any] | None = None) -> Table:
    """A table; `read`: how its run has read it."""
    dialect = Dialect.from_json(read["dialect"]) if read and "dialect" in read else None
    return tables.read(source.data, source.name, given, dialect)


# ── columns ───────────────────────────────────────────────────────────────────


def _known_columns(table: Table, columns: tuple[str, ...]) -> dict[str, Numbers]:
    names = [name.strip() for name in table.names]
    if set(columns) <= set(names):
        places = [names.index(name) for name in columns]
    elif not table.named and len(names) == len(columns):
        places = list(range(len(columns)))
    else:
        has = "columns " + ", ".join(names) if table.named else f"{len(names)} columns without names"
        raise DataError(
            f"{table.name} has {one_line(has, 100)}; this network reads {one_line(', '.join(columns), 100)}"
        )
    found = {}
    for name, place in zip(columns, places, strict=True):
        found[name] = table.numbers(place)
        _refuse_text(table, name, found[name])
    return found


def _parsed(table: Table, wanted: Sequence[str]) -> tuple[dict[str, Numbers], dict[str, str]]:
    """The numbers of the wanted columns, or of all that hold some; and why others do not."""
    names = table.names
    for name in wanted:
        if name not in names:
            raise DataError(f"{table.name} has no column '{one_line(name, 60)}'; {nearest(name, filter(None, names))}")
    if twice := next((name for name in names if name and names.count(name) > 1), ""):
        raise DataError(f"{table.name} has two columns '{one_line(twice, 60)}'; give each a name of its own")
    found: dict[str, Numbers] = {}
    unfit: dict[str, str] = {}
    for place, name in enumerate(names):
        if wanted and name not in wanted:
            continue
        parsed = table.numbers(place)
        if not name:
            unfit[str(place + 1)] = "has no name" if parsed.count else "has neither name nor numbers"
        elif not parsed.count:
            unfit[name] = _no_numbers(table, place)
        elif parsed.count < (1 - MOST_MISSING) * _filled_rows(table, parsed) and parsed.strange is None:
            unfit[name] = "is mostly missing"
        else:
            found[name] = parsed
    for name, parsed in list(found.items()):
        words = parsed.strange is not None and parsed.count < (1 - MOST_MISSING) * len(table)
        if words and name not in wanted:
            unfit[name] = "holds words"
            del found[name]
        else:
            _refuse_text(table, name, parsed)
    return found, unfit


def _no_numbers(table: Table, place: int) -> str:
    """Why a column without numbers has none."""
    seen = [cell for cell in table.spread(place, SAMPLE) if cells.kind(cell, table.missing) != cells.NOTHING]
    if seen and sum(map(cells.is_measure, seen)) >= MOST_MISSING * len(seen):
        return f"holds numbers with units, such as '{one_line(seen[0], 20)}', which must be plain numbers"
    return "holds no numbers"


def _filled_rows(table: Table, parsed: Numbers) -> int:
    """Rows up to the last number of a column: what is empty after it says nothing about the column."""
    return _end(~np.isnan(parsed.values))


def _refuse_text(table: Table, name: str, parsed: Numbers) -> None:
    """Raise DataError for the first cell that is neither a number nor missing."""
    if parsed.strange is not None:
        line, cell = parsed.strange
        raise DataError(
            f"{table.name}, line {line}: '{one_line(cell, 40)}' in column '{one_line(name, 60)}' is not a finite "
            "number such as -1.5; correct it, declare it as missing with --missing, or choose other columns with "
            "--columns"
        )
    if not parsed.count:
        raise DataError(f"{table.name}: column '{one_line(name, 60)}' holds no numbers")


def _last(table: Table, found: Mapping[str, Numbers]) -> int:
    """Rows up to the last one with a number; all of them where there is none."""
    if not found:
        return len(table)
    there = np.zeros(len(table), bool)
    for column in found.values():
        there |= ~np.isnan(column.values)
    return _end(there)


def _end(there: Real) -> int:
    """Rows up to the last that is there [n]; all of them where none is."""
    return len(there) - int(np.argmax(there[::-1])) if len(there) else 0


def _judge(
    ranked: dict[str, Series], unfit: dict[str, str], wanted: Sequence[str], config: DataConfig, ordered: Order
) -> Filled:
    """Note in `unfit` which columns nothing can be learned from; returns those that count nothing, filled."""
    _, begin, end = max(ordered.series, key=lambda one: one[2] - one[1])
    counters = [name for name, column in ranked.items() if name not in wanted and _counts(column[begin:end])]
    if len(counters) < len(ranked):  # a series that rises evenly may still be all that there is to learn
        unfit.update(dict.fromkeys(counters, "counts in even steps, as a row number or a time does"))
    rest = {name: column for name, column in ranked.items() if name not in unfit}
    filled = fill(rest, ordered)
    groups = tuple(group.shortened(config, group.first) for group in filled.groups)
    for name, column, there in zip(rest, filled.values.T, filled.real.T, strict=True):
        train = joined(column, rows_of(groups, "train", config))
        held = [joined(there, rows_of(groups, which, config)) for which in ("val", "test")]
        if reason := _useless(train):
            unfit[name] = reason
        elif any(len(part) and not part.any() for part in held):
            unfit[name] = "has no value in a held-out part"
    return filled


def _counts(column: Series) -> bool:
    """Whether a column goes one way in steps that are nearly all equal."""
    steps = np.diff(column[~np.isnan(column)])
    if len(steps) + 1 < LEAST_EVEN or not ((steps > 0).all() or (steps < 0).all()):
        return False
    usual = float(np.median(steps))
    return float(np.mean(np.abs(steps - usual) <= 1e-6 * abs(usual))) >= EVEN


def _useless(train: Series) -> str:
    """Why nothing can be learned from a column's training part [n]; empty where something can."""
    if len(train) < 2:
        return ""  # too short altogether, which is said elsewhere
    std, largest = float(train.std()), float(np.abs(train).max())
    if train.min() == train.max():
        return "does not change in the training part"
    if largest * RESOLUTION > COARSE * std or std * LARGEST < 1:
        return f"varies by {std:.3g} around {float(train.mean()):.3g}, less than float32 can resolve"
    return ""


# ── values ────────────────────────────────────────────────────────────────────


def _points(table: Table, ordered: Order, filled: Filled, unfit: list[str]) -> Points:
    """The chosen columns with everything that is to be said."""
    columns, values, real, groups = filled.columns, filled.values, filled.real, filled.groups
    notes = [f"{table.name}: {table.told}", *ordered.notes, *table.notes]
    if empty := len(table) - ordered.last:
        notes.append(f"{empty:,} empty rows at the end left out")
    notes += [*unfit, *filled.notes, *sentinels.notes(columns, values, real)]
    examples = []
    for row in range(min(EXAMPLES, len(values))):
        shown = ", ".join(f"{one_line(name, 24)} {v:.6g}" for name, v in zip(columns, values[row], strict=True))
        clock = groups[0].clock
        when = clock.shown(clock.values[row : row + 1])[0] if clock and row < len(clock.values) else f"row {row + 1}"
        examples.append(f"{when}: {one_line(shown, 100)}")
    notes += examples
    read = {
        "dialect": table.dialect.to_json(),
        "encoding": table.encoding.name,
        "rows": len(table),
        "time_column": ordered.axis.name if ordered.axis else "",
        "group_column": ordered.group,
        "step": ordered.step,
        "notes": notes,
        "examples": examples,
    }
    return Points(columns, values, None if real.all() else real, tuple(notes), read, groups)
