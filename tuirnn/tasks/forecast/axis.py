"""The column of times of a table: found, or as it was named; the rows in its order, and what is to say of its steps."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError, one_line
from tuirnn.escaping import split_names
from tuirnn.tables import cells, times
from tuirnn.tables.table import Table
from tuirnn.tables.times import Axis

PARTS = (
    {"year", "yr", "jahr", "année", "annee", "año", "ano", "anno", "jaar"},
    {"month", "mon", "monat", "mo", "mois", "mes", "mês", "mese", "maand"},
    {"day", "dom", "tag", "dy", "jour", "dia", "día", "giorno", "dag"},
    {"hour", "hr", "stunde", "heure", "hora", "ora", "uur"},
)
"""Names of columns that are a date together."""

QUARTERS = {"quarter", "qtr", "q", "quartal", "trimestre"}
WEEKS = {"week", "kw", "woche", "kalenderwoche", "calendar week", "isoweek", "semaine", "semana", "settimana"}
"""Names of columns that hold quarters or weeks of a year, where there are no months."""

MOST_WITHOUT = 0.05
"""Share of rows without a time from which a table is refused."""

LONG = 1.5
"""Rows for each time from which a table holds several series."""

APART, MOST_TOGETHER, MOST_TRIED, INSTANTS = 0.99, 3, 8, 200
"""Share of rows that columns tell apart from others of their time, how many columns may do so together, how many are
tried for that, and at how many times."""

SECONDS, MILLISECONDS = (1e8, 2e10), (1e11, 2e13)
"""Numbers that a column named as times are holds as seconds, or milliseconds, since 1970."""

SHOWN = 3

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """The rows of a table in the order of time.

    Attributes:
        rows: their numbers.
        axis: of the table; None: it has none, and the rows stay as they are.
        notes: what was found and done.
        last: rows of the table up to the last one with a value.
        step: the usual distance of two rows, for people.
        group: columns that name each row's series together; empty: there is one.
        groups: name of each series and its first and last of `rows`, `last` not among them.
    """

    rows: Rows
    axis: Axis | None
    notes: tuple[str, ...]
    last: int
    step: str = ""
    group: str = ""
    groups: tuple[tuple[str, int, int], ...] = ()

    def of(self, values: times.Times) -> times.Times:
        """A column's values [n] in this order; a view where the rows stay as they are."""
        return values[: self.last] if self.axis is None and not self.groups else values[self.rows]

    @property
    def series(self) -> tuple[tuple[str, int, int], ...]:
        """The groups; all rows as one where there are none."""
        return self.groups or (("", 0, len(self.rows)),)


def order(table: Table, named: str, dates: str, last: int, group: str = "") -> Order:
    """The rows of a table up to its last one with a value, oldest first, one series after the other.

    Args:
        table: to order.
        named: column of times; empty: found out.
        dates: order of day and month; see `times.dates`.
        last: rows that count; what follows is empty.
        group: columns that name each row's series together, as `--columns` writes them; empty: there is one.
    Raises:
        DataError: a table of several series without such a column, or times that cannot be told.
    """
    axis = find(table, named, dates)
    rows = np.arange(last)
    if group:
        return _grouped(table, axis, group, last)
    if axis is None:
        return Order(rows, None, ("no column of times: the rows are assumed to be in order, oldest first",), last)
    missing = np.isnan(axis.values[:last])
    notes = []
    if missing.any():
        if missing.mean() > MOST_WITHOUT:
            line = table.line(int(np.argmax(missing)))
            raise DataError(
                f"{table.name}, line {line}: no time that can be read in '{axis.name}', as in {int(missing.sum()):,} "
                "rows; correct them, or name another column with --time-column"
            )
        notes.append(f"{int(missing.sum()):,} rows without a time in '{axis.name}' left out")
        rows = rows[~missing]
    rows, said = _sorted(table, axis, rows)
    inside = Axis(axis.name, axis.columns, axis.values[rows], axis.calendar)
    if len(rows) < 2:
        return Order(rows, axis, tuple(notes), last)
    steps = times.steps_of(inside)
    told = f"time: column '{axis.name}', {inside.shown(0)} to {inside.shown(len(rows) - 1)}, step {steps.told}"
    notes = [told, *said, *notes]
    if len(steps.gaps):
        shown = ", ".join(inside.shown(int(gap)) for gap in steps.gaps[:SHOWN])
        more = ", …" if len(steps.gaps) > SHOWN else ""
        notes.append(f"{len(steps.gaps):,} gaps, treated as one step: after {shown}{more}")
    if steps.doubles:
        notes.append(f"{steps.doubles:,} rows have the same time as the row before")
    return Order(rows, axis, tuple(notes), last, steps.told)


def group_names(table: Table, group: str) -> tuple[str, ...]:
    """The columns that `--group-column` names: one, whatever is in its name, or several with commas between."""
    return (group,) if group in table.names else split_names(group)


def _grouped(table: Table, axis: Axis | None, group: str, last: int) -> Order:
    """The rows of each group together, in the order of time, or of the table where it has no times."""
    named = group_names(table, group)
    columns = [table.cells(table.position(name), slice(0, last)) for name in named]
    cells_of = np.array([" / ".join(row) for row in zip(*columns, strict=True)], dtype=str)
    names, first, label = np.unique(cells_of, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[label]  # groups in the order of their first rows
    values = np.zeros(last) if axis is None else axis.values[:last]
    there = ~np.isnan(values)
    rows = np.flatnonzero(there)[np.lexsort((np.flatnonzero(there), values[there], rank[there]))]
    ends = np.searchsorted(rank[rows], np.arange(len(names)), "right").tolist()
    ordered = names[np.argsort(first)].tolist()
    groups = tuple((str(n), a, b) for n, a, b in zip(ordered, [0, *ends[:-1]], ends, strict=True) if b > a)
    shown = ", ".join(one_line(name, 20) for name, _, _ in groups[:SHOWN]) + (", …" if len(groups) > SHOWN else "")
    notes = [f"{len(groups):,} series, one for each {_quoted(named)}: {shown}"]
    if gone := int((~there).sum()):
        notes.append(f"{gone:,} rows without a time left out")
    if axis is None:
        notes.append("no column of times: the rows of each series are assumed to be in order, oldest first")
        return Order(rows, None, tuple(notes), last, group=group, groups=groups)
    _, begin, end = max(groups, key=lambda one: one[2] - one[1])
    longest = Axis(axis.name, axis.columns, axis.values[rows[begin:end]], axis.calendar)
    if end - begin < 2:
        return Order(rows, axis, tuple(notes), last, group=group, groups=groups)
    steps = times.steps_of(longest)
    notes.append(
        f"time: column '{axis.name}', {longest.shown(0)} to {longest.shown(end - begin - 1)}, step {steps.told}"
    )
    if steps.doubles:
        notes.append(f"{steps.doubles:,} rows of the longest series have the same time as the row before")
    return Order(rows, axis, tuple(notes), last, steps.told, group, groups)


def _quoted(names: tuple[str, ...]) -> str:
    return " and ".join(f"'{one_line(name, 40)}'" for name in names)


def _sorted(table: Table, axis: Axis, rows: Rows) -> tuple[Rows, list[str]]:
    """The rows in the order of time, and what was done."""
    values = axis.values[rows]
    step = np.diff(values)
    rising, falling = bool((step >= 0).all()), bool((step <= 0).all())
    each = len(values) / max(1, len(np.unique(values)))
    if each >= LONG:
        _refuse_long(table, axis, rows, each, in_order=rising or falling)
    if rising:
        return rows, []
    if falling:
        return rows[::-1], ["newest row first: order reversed"]
    if axis.calendar and (back := times.set_back(values)):
        return rows, [f"an hour occurs twice, {back} times, as when summer time ends: the order of rows is kept"]
    return rows[np.argsort(values, kind="stable")], [
        f"{int((step < 0).sum()):,} rows came before older ones: sorted by time"
    ]


def _refuse_long(table: Table, axis: Axis, rows: Rows, each: float, *, in_order: bool) -> None:
    """Raise DataError where rows of several series stand under one another."""
    groups = _groups(table, axis, rows)
    if not groups and in_order:
        return  # a clock that is coarser than the rows
    if not groups:
        raise DataError(
            f"{table.name}: column '{axis.name}' has {each:.3g} rows for each time, and no column tells them apart; "
            "name another column with --time-column, or give one row for each time"
        )
    names = tuple(table.names[place] for place in groups)
    items = dict.fromkeys(zip(*(table.cells(place) for place in groups), strict=True))
    shown = ", ".join(one_line(" ".join(item), 20) for item in itertools.islice(items, SHOWN))
    given = ",".join(f'"{name}"' if "," in name else name for name in names)
    raise DataError(
        f"{table.name} has {each:.3g} rows for each time in '{axis.name}', one for each {_quoted(names)} ({shown}, …): "
        f"several series under one another; train them together with --group-column '{one_line(given, 100)}', or keep "
        "the rows of one"
    )


def _groups(table: Table, axis: Axis, rows: Rows) -> tuple[int, ...]:
    """The columns that tell rows of one time apart, by some of the times; none where there are no such columns.

    Values may do so by accident; what names a series does it with the fewest names, as these are the same at each time.
    """
    instants = np.unique(axis.values[rows], return_inverse=True)[1].astype(np.int64)
    some = np.unique(np.linspace(0, instants.max(), INSTANTS).astype(np.int64))
    rows, instants = (part[np.isin(instants, some)] for part in (rows, instants))
    tried: list[tuple[int, bool, int, Rows]] = []  # different values, numbers, column, value of each row
    for place in range(len(table.names)):
        column = np.array(table.cells(place), dtype=object)[rows]
        items, number = np.unique(column.astype(str), return_inverse=True)
        kinds = {cells.kind(item, table.missing) for item in items[:100]}
        whole = all(item.strip().lstrip("-").isdigit() for item in items[:100])
        named = place not in axis.columns and 2 <= len(items) <= len(rows) // 2
        if named and (cells.TEXT in kinds or whole):
            tried.append((len(items), cells.TEXT not in kinds, place, number.astype(np.int64)))
    tried = sorted(tried, key=lambda one: one[:3])[:MOST_TRIED]
    found: list[tuple[int, int, int, tuple[int, ...]]] = []  # names, columns, numbers among them
    for count in range(1, MOST_TOGETHER + 1):
        for chosen in itertools.combinations(tried, count):
            key = np.zeros(len(rows), np.int64)
            for size, _, _, number in chosen:
                key = np.unique(key * size + number, return_inverse=True)[1].astype(np.int64)
            names = int(key.max()) + 1
            if len(np.unique(instants * names + key)) >= APART * len(rows):
                places = tuple(sorted(place for _, _, place, _ in chosen))
                found.append((names, count, sum(numbers for _, numbers, _, _ in chosen), places))
    return min(found)[-1] if found else ()


# ── finding it ────────────────────────────────────────────────────────────────


def find(table: Table, named: str, dates: str) -> Axis | None:
    """The times of a table's rows; None where no column holds any.

    Raises:
        DataError: the named column holds none, or several columns do.
    """
    order = "" if dates == "auto" else dates
    if named:
        return _named(table, table.position(named), order)
    found = [place for place in range(len(table.names)) if times.is_of_times(table, place)]
    if len(found) > 1:
        usual = [place for place in found if times.USUAL.fullmatch(table.names[place].strip())]
        found = usual if len(usual) == 1 else found
    if len(found) > 1:
        names = ", ".join(f"'{one_line(table.names[place], 40)}'" for place in found)
        raise DataError(f"{table.name}: columns {names} hold times; say which orders the rows with --time-column")
    if found:
        return _of_dates(table, found[0], order)
    return _of_parts(table) or _of_numbers(table)


def _named(table: Table, place: int, order: str) -> Axis:
    if times.is_of_times(table, place):
        return _of_dates(table, place, order)
    if times.is_of_day(table, place):
        return Axis(_name(table, place), (place,), times.times_of_day(table, place))
    values = times.dates(table, place, order)
    if np.isnan(values).all():
        values = table.numbers(place).values
        if np.isnan(values).all():
            raise DataError(f"{table.name}: column '{_name(table, place)}' holds no times; name another --time-column")
        return _of_values(_name(table, place), place, values)
    return Axis(_name(table, place), (place,), values)


def _of_dates(table: Table, place: int, order: str) -> Axis:
    """A column of dates; one of times of day, or of hours, beside it is added where the dates have none."""
    values, name = times.dates(table, place, order), _name(table, place)
    if np.nansum(values % times.DAY):
        return Axis(name, (place,), values)
    clocks = [other for other in range(len(table.names)) if other != place and times.is_of_day(table, other)]
    if len(clocks) == 1:
        values = values + times.times_of_day(table, clocks[0])
        return Axis(f"{name} {_name(table, clocks[0])}", (place, clocks[0]), values)
    for other, title in enumerate(table.names):
        if title.strip().lower() in PARTS[3] and set(hours := table.numbers(other).values) <= set(range(25)):
            return Axis(f"{name} {_name(table, other)}", (place, other), values + 3600 * hours)
    return Axis(name, (place,), values)


def _of_parts(table: Table) -> Axis | None:
    """Columns of years, months, days and hours, or of years and quarters or weeks; the first two at least."""
    names = [name.strip().lower() for name in table.names]
    year, month, day, hour, quarter, week = (
        next((place for place, name in enumerate(names) if name in part), None) for part in (*PARTS, QUARTERS, WEEKS)
    )
    within = next((place for place in (month, quarter, week) if place is not None), None)
    if year is None or within is None:
        return None

    def numbers(place: int | None, otherwise: float) -> times.Times:
        return np.full(len(table), otherwise) if place is None else table.numbers(place).values

    parts = (year, within, day, hour)
    if within == week:
        seconds, parts = times.of_week(numbers(year, np.nan), numbers(week, np.nan)), (year, within, None, None)
    else:
        of_year = numbers(month, np.nan) if month is not None else 3 * numbers(quarter, np.nan) - 2
        seconds = times.midnight(numbers(year, np.nan), of_year, numbers(day, 1.0)) + 3600 * numbers(hour, 0.0)
    columns = tuple(place for place in parts if place is not None)
    if np.isnan(seconds).mean() > MOST_WITHOUT:
        return None
    return Axis(" ".join(_name(table, place) for place in columns), columns, seconds)


def _of_numbers(table: Table) -> Axis | None:
    """A column of numbers that is named as times are and goes one way: years, days as 20210131, seconds since 1970."""
    for place, name in enumerate(table.names):
        if not table.named or not times.USUAL.fullmatch(name.strip()):
            continue
        compact = times.dates(table, place)
        if not np.isnan(compact).all():
            return Axis(_name(table, place), (place,), compact)
        values = table.numbers(place).values
        there = values[~np.isnan(values)]
        step = np.diff(there)
        if len(there) > 1 and ((step > 0).all() or (step < 0).all()):
            return _of_values(_name(table, place), place, values)
    return None


def _of_values(name: str, place: int, values: times.Times) -> Axis:
    """Numbers as times: since 1970 where they are large enough, else counts."""
    scales: dict[tuple[float, float], Callable[[times.Times], times.Times]] = {
        SECONDS: lambda v: v,
        MILLISECONDS: lambda v: v / 1000,
    }
    for (low, high), scaled in scales.items():
        if low < np.nanmin(values) and np.nanmax(values) < high:
            return Axis(name, (place,), scaled(values))
    return Axis(name, (place,), values, calendar=False)


def _name(table: Table, place: int) -> str:
    return one_line(table.names[place], 60)
