"""Tables whose rows are series, a column for each time: told, with the lines that turn them round."""

import re
import shlex
from collections.abc import Sequence

from tuirnn.errors import one_line
from tuirnn.escaping import join_names
from tuirnn.tables import cells
from tuirnn.tables.dialect import BLANK
from tuirnn.tables.table import Table
from tuirnn.tasks.rows import LEAST_ALIKE, LEAST_LONG, SAMPLE, alike, deviations, holds

LEAST_TIMES = 3
"""Columns with times for names from which a table is taken to be turned."""

MONTH_LENGTH = 10
"""Letters of a month's name at most."""

_YEAR = re.compile(r"(?:1[89]|20)\d{2}")
_NUMBERED = re.compile(r"(.*?)[-_ .]?(\d+)")
_KEYS = re.compile(r"(.*[-_ ])?(id|key|code|sku|item|product|store|series|shop|customer|user|name)s?", re.IGNORECASE)
"""Names of columns that name rows, though they hold numbers."""


def turned(table: Table) -> str:
    """Why each row is a series of its own, and what to do; empty for any other table.

    The names of most columns are times; years alone may name columns that are series, unless words or keys name the
    rows. Or they are numbered, such as d_1, d_2 and so on, a column of keys names the rows, and rows are not more like
    the ones beside them than their numbers are, as the rows of a series would be.
    """
    if not table.named or len(table.names) < LEAST_TIMES:
        return ""
    return _by_times(table) or _by_numbers(table)


def _by_times(table: Table) -> str:
    months = [place for place, name in enumerate(table.names) if _is_month(name)]
    dates = [place for place, name in enumerate(table.names) if cells.is_date(name) or _YEAR.fullmatch(name.strip())]
    dates = months if len(months) == 12 else dates
    others = [place for place in range(len(table.names)) if place not in dates]
    whole = dates == months or any(cells.is_date(table.names[place]) for place in dates)
    named = any(_all_differ(table, place) for place in others)
    if len(dates) < max(LEAST_TIMES, len(others)) or not (whole or (others and named)):
        return ""
    first, last = (one_line(table.names[place], 20) for place in (dates[0], dates[-1]))
    way = _year_after_year(table, others) if dates == months else _one_under_another(table, others)
    return (
        f"its columns are times, {first} to {last}, and each row is a series; a table needs a row for each time: {way}"
    )


def _by_numbers(table: Table) -> str:
    run = _numbered(table.names)
    while run and not holds(table, run[0], cells.NUMBER):
        run = run[1:]  # R numbers a column of names with the others
    others = [place for place in range(len(table.names)) if place not in run]
    if len(run) < max(LEAST_LONG, 2 * len(others)) or len(table) < 2:
        return ""
    keys = [place for place in others if _all_differ(table, place)]
    words = [place for place in keys if not holds(table, place, cells.NUMBER) and not holds(table, place, cells.DATE)]
    numbers = [
        place for place in keys if holds(table, place, cells.NUMBER) and _KEYS.fullmatch(table.names[place].strip())
    ]
    if not words and not numbers:
        return ""
    values = deviations(table, run[:SAMPLE])
    along, down = alike(values.T), alike(values)
    if down > max(LEAST_ALIKE, 2 * along) or (not words and along <= max(LEAST_ALIKE, 2 * down)):
        return ""
    first, last, key = (one_line(table.names[place], 20) for place in (run[0], run[-1], (words or numbers)[0]))
    return (
        f"its columns are numbered, {first} to {last}, and column '{key}' names the rows, so each row looks like a "
        f"series; a table needs a row for each time: {_one_under_another(table, others, (words or numbers)[:1])}"
    )


# ── what to do ────────────────────────────────────────────────────────────────


def _one_under_another(table: Table, others: Sequence[int], keys: Sequence[int] = ()) -> str:
    """Lines that put the series under one another, with the columns that name each."""
    keys = (
        keys or [place for place in others if _all_differ(table, place) and not holds(table, place, cells.NUMBER)][:1]
    )
    keys = keys or [place for place in others if not holds(table, place, cells.NUMBER)] or others
    names = [table.names[place] for place in keys]
    left = [table.names[place] for place in others if place not in keys]
    read = _read(table) + f".drop(columns={left})" * bool(left) + ".reset_index(names='row')" * (not names)
    names = names or ["row"]
    return (
        f"in Python {read}.melt({names}, var_name='step').to_csv('long.csv', index=False), then tuirnn train long.csv "
        f"--task forecast --group-column {shlex.quote(join_names(names))}"
    )


def _year_after_year(table: Table, others: Sequence[int]) -> str:
    """Lines that put the months of all years under one another."""
    left = [table.names[place] for place in others]
    rows = _read(table) + f".drop(columns={left})" * bool(left)
    return (
        f"in Python {rows}.stack().to_csv('long.csv', index=False, header=['value']), then tuirnn train long.csv "
        "--task forecast; its rows must be in the order of time"
    )


def _read(table: Table) -> str:
    dialect = table.dialect
    said = {
        "sep": r"\s+" if dialect.delimiter == BLANK else dialect.delimiter,
        "decimal": dialect.numbers.decimal,
        "skiprows": dialect.titles,
        "encoding": table.encoding.name,
    }
    usual = {"sep": ",", "decimal": ".", "skiprows": 0, "encoding": "utf-8"}
    further = "".join(f", {name}={value!r}" for name, value in said.items() if value and value != usual[name])
    return f"import pandas; pandas.read_csv({table.name!r}{further})"


# ── names and cells ───────────────────────────────────────────────────────────


def _is_month(name: str) -> bool:
    """Whether a name is that of a month, or its beginning."""
    word = name.strip().lower().rstrip(".")
    return word.isalpha() and len(word) <= MONTH_LENGTH and (word[:4] in cells.MONTHS or word[:3] in cells.MONTHS)


def _numbered(names: Sequence[str]) -> list[int]:
    """The last columns, as many as are one word with numbers that rise by one."""
    found: list[int] = []
    after: tuple[str, int] | None = None
    for place in range(len(names) - 1, -1, -1):
        one = _NUMBERED.fullmatch(names[place].strip())
        if one is None or (after is not None and (one[1], int(one[2]) + 1) != after):
            break
        after = (one[1], int(one[2]))
        found.append(place)
    return found[::-1]


def _all_differ(table: Table, place: int) -> bool:
    seen = table.spread(place, SAMPLE)
    return len(set(seen)) == len(seen)
