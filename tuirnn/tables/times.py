"""Dates and times of a table's column, and what their order and steps are."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError, one_line
from tuirnn.tables import cells
from tuirnn.tables.table import Column, Table

Times = npt.NDArray[np.float64]
"""Seconds since 1970 [n], NaN where there is no time."""

DAY = 86_400.0

_CLOCK = (
    r"(?:[T\s,]+(?P<H>\d{1,2})[:.h](?P<M>\d{2})(?:[:.](?P<S>\d{2})(?:[.,](?P<f>\d{1,6})\d*)?)?"
    r"\s*(?P<p>(?i:[ap])?)\.?(?i:m?)\.?)?"
)
_ZONE = r"\s*(?P<z>(?i:z|utc|gmt)|[+-]\d{2}:?\d{2})?"
_HOURS = r"(?P<H>\d{2}):(?P<M>\d{2}):(?P<S>\d{2})"
_WORD = r"(?P<w>\pL{3,})\.?"
_DATES = (
    r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})(?:[-/.](?P<d>\d{1,2}))?" + _CLOCK + _ZONE,
    r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4}|\d{2})" + _CLOCK + _ZONE,  # no country writes months first so
    r"(?P<a>\d{1,2})[-/](?P<b>\d{1,2})[-/](?P<y>\d{4}|\d{2})" + _CLOCK + _ZONE,
    r"(?P<m>\d{1,2})[-/](?P<y>\d{4})",
    r"(?P<y>\d{4})[-\s:/]?(?i:m)(?P<m>\d{1,2})",
    r"(?P<y>\d{4})[-\s:/]?(?i:q)(?P<q>\d)",
    r"(?i:q)(?P<q>[1-4])[-\s/.]*(?P<y>\d{4})",
    r"(?P<q>[1-4])\.?\s?(?i:q)\pL*[-\s/.]*(?P<y>\d{4})",
    r"(?P<y>\d{4})[-\s/]?(?i:w)(?P<k>\d{1,2})",
    r"(?i:k?w)\s?(?P<k>\d{1,2})[-\s/.]+(?P<y>\d{4})",
    r"(?P<y>\d{4})[年년]\s?(?P<m>\d{1,2})[月월](?:\s?(?P<d>\d{1,2})[日일])?",
    r"(?P<d>\d{1,2})[-\s./]+(?:(?i:de)\s)?" + _WORD + r"[-\s./,]*(?:(?i:de)\s)?(?P<y>\d{4}|\d{2})" + _CLOCK + _ZONE,
    _WORD + r"\s*(?P<d>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<y>\d{4})" + _CLOCK + _ZONE,
    r"\pL{3},?\s" + _WORD + r"\s+(?P<d>\d{1,2})\s" + _HOURS + r"\s(?:(?P<z>[+-]\d{4})|\pL{3,4})?\s?(?P<y>\d{4})",
    r"\pL{3},\s(?P<d>\d{1,2})\s" + _WORD + r"\s(?P<y>\d{4})\s" + _HOURS + r"\s(?:(?P<z>[+-]\d{4})|\pL{3,4})",
    _WORD + r"[-\s/](?:(?i:de)\s)?(?P<y>\d{4})",
    r"(?P<y>\d{4})[-\s/]" + _WORD,
)
_COMPACT = (
    r"(?P<y>(?:19|20)\d{2})(?P<m>0[1-9]|1[0-2])(?P<d>\d{2})"
    r"(?:[T ]?(?P<H>\d{2})(?::?(?P<M>\d{2})(?::?(?P<S>\d{2}))?)?)?Z?",
    r"(?P<y>(?:19|20)\d{2})(?P<m>0[1-9]|1[0-2])",
)
_OF_DAY = (
    r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?:(?P<p>(?i:[ap])?)\.?(?i:m?)\.?"
    r"|(?i:uhr|h))",
    r"(?P<H>\d{2})\.(?P<M>\d{2})\.(?P<S>\d{2})",
)

USUAL = re.compile(
    r"(.+[ _])?(date|datum|time|timestamp|datetime|zeit|date.?time|fecha|data)|year|jahr|month|monat|mois|mes|period|"
    r"periode|quarter|quartal|week|woche|day|ds|t|utc.*",
    re.I,
)
"""Names of columns of times."""

MOSTLY = 0.95
"""Share of a column's cells that make it one of times."""

SAMPLE = 1_000


@dataclass(frozen=True)
class Axis:
    """The times of a table's rows.

    Attributes:
        name: of the column, or of a date's and a time's.
        columns: where they stand.
        values: seconds since 1970 [n], or years, or counts; NaN where there is none.
        calendar: whether they are seconds since 1970.
    """

    name: str
    columns: tuple[int, ...]
    values: Times
    calendar: bool = True

    def shown(self, row: int) -> str:
        """The time of a row, for people."""
        value = float(self.values[row])
        if not self.calendar:
            return f"{value:g}"
        text = str(np.datetime64(round(value), "s"))
        return text[:10] if text.endswith("T00:00:00") else text.replace("T", " ")


def is_of_times(table: Table, position: int) -> bool:
    """Whether a column's cells are dates."""
    filled = [cell for cell in table.spread(position, SAMPLE) if cells.kind(cell, table.missing) != cells.NOTHING]
    return bool(filled) and sum(map(cells.is_date, filled)) >= MOSTLY * len(filled)


def is_of_day(table: Table, position: int) -> bool:
    """Whether a column's cells are times without a date."""
    filled = [cell for cell in table.spread(position, SAMPLE) if cells.kind(cell, table.missing) != cells.NOTHING]
    return bool(filled) and sum(map(cells.is_time_of_day, filled)) >= MOSTLY * len(filled)


def dates(table: Table, position: int, order: str = "") -> Times:
    """The times of a column of dates.

    Args:
        table: of the column.
        position: where it stands.
        order: of day and month, 'dmy' or 'mdy'; empty: as the dates themselves decide.
    Raises:
        DataError: day and month cannot be told apart.
    """
    column = table.column(position)
    name = table.names[position]
    if (plain := _plain(column)) is not None:
        return plain
    for pattern in (*_DATES, *_COMPACT):
        found = _extracted(column, pattern)
        if found is not None:
            return _seconds(found, f"{table.name}, column '{one_line(name, 60)}'", order)
    return np.full(len(table), np.nan)


def _plain(column: Column) -> Times | None:
    """Times as ISO 8601 writes them, all of them and without a zone: the quick way; None for others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        moments = pc.cast(column, pa.timestamp("us"))
    except pa.ArrowInvalid:
        return None
    return np.asarray(pc.cast(moments, pa.int64()).to_numpy(zero_copy_only=False), np.float64) / 1e6


def times_of_day(table: Table, position: int) -> Times:
    """Seconds since midnight of a column of times."""
    column = table.column(position)
    for pattern in _OF_DAY:
        if (found := _extracted(column, pattern)) is not None:
            return _clock(found)
    return np.full(len(table), np.nan)


Parts = dict[str, npt.NDArray[np.object_]]
"""The parts of each cell by their names; empty where a cell lacks one, None where it is no date."""


def _extracted(column: Column, pattern: str) -> Parts | None:
    """The parts of a column's cells; None where it is not written so."""
    import pyarrow as pa
    import pyarrow.compute as pc

    strings = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
    there = len(strings) - strings.null_count
    tried = strings.drop_null()[:SAMPLE]
    whole = rf"^{pattern}(?:\s+[-–]\s+\d.*)?$"  # of a span of time the begin
    good = pc.sum(pc.match_substring_regex(tried, whole)).as_py() or 0
    if not there or good < MOSTLY * len(tried):
        return None
    found = pc.extract_regex(strings, whole)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return {
        found.type[i].name: pc.struct_field(found, [i]).to_numpy(zero_copy_only=False) for i in range(len(found.type))
    }


def _whole(parts: Parts, name: str, otherwise: float = 0.0) -> Times:
    """A part as numbers; NaN where there is no date."""
    if name not in parts:
        size = len(next(iter(parts.values())))
        return np.full(size, otherwise)
    words, places = np.unique(["?" if part is None else part for part in parts[name]], return_inverse=True)
    values = [np.nan if word == "?" else float(word) if word else otherwise for word in words]
    return np.array(values)[places]


def _seconds(parts: Parts, what: str, order: str) -> Times:
    year = _whole(parts, "y")
    year = np.where(year < 70, year + 2000, np.where(year < 100, year + 1900, year))
    of_day = _clock(parts) if "H" in parts else np.zeros(len(year))
    if "k" in parts:
        return of_week(year, _whole(parts, "k"))
    if "a" in parts:
        a, b = _whole(parts, "a"), _whole(parts, "b")
        first = order or _order(a, b, year, of_day, what)
        day, month = (a, b) if first == "dmy" else (b, a)
    elif "w" in parts:
        words, places = np.unique(["" if word is None else word.lower() for word in parts["w"]], return_inverse=True)
        month = np.array([_month(word) for word in words])[places]
        day = _whole(parts, "d", 1.0)
    elif "q" in parts:
        month, day = 3 * _whole(parts, "q") - 2, np.ones(len(year))
    else:
        month, day = _whole(parts, "m", 1.0), _whole(parts, "d", 1.0)
    seconds = midnight(year, month, day) + of_day
    if "z" in parts:
        _refuse_mixed(parts["z"], what)
        zones, places = np.unique(["" if zone is None else zone for zone in parts["z"]], return_inverse=True)
        seconds -= np.array([_offset(zone) for zone in zones])[places]
    return seconds


def _month(word: str) -> float:
    """The month of a name; NaN for other words."""
    return float(cells.MONTHS.get(word[:4], cells.MONTHS.get(word[:3], np.nan)))


def of_week(year: Times, week: Times) -> Times:
    """Seconds since 1970 at the begin of weeks as ISO 8601 counts them: the first has the fourth of January."""
    fourth = midnight(year, np.ones(len(year)), np.full(len(year), 4.0))
    monday = fourth - (fourth // DAY + 3) % 7 * DAY
    return np.where((week >= 1) & (week <= 53), monday + 7 * DAY * (week - 1), np.nan)


def _refuse_mixed(zones: npt.NDArray[np.object_], what: str) -> None:
    """Raise DataError where some times have a zone and others none: these could be of any."""
    none = sum(zone is not None and not zone for zone in zones)
    some = sum(bool(zone) for zone in zones)
    if none and some:
        raise DataError(
            f"{what}: {some:,} times have a zone such as +01:00 and {none:,} have none; give all of them one, or none"
        )


def _offset(zone: str) -> float:
    if not zone or zone[0] not in "+-":
        return 0.0
    digits = zone[1:].replace(":", "")
    return (60.0 * int(digits[:2]) + int(digits[2:])) * (-60.0 if zone[0] == "-" else 60.0)


def midnight(year: Times, month: Times, day: Times) -> Times:
    """Seconds since 1970 at the begin of days; NaN for days that no calendar has."""
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (year >= 1) & (year <= 9999)
    y, m, d = (np.where(good, part, 1).astype(np.int64) for part in (year, month, day))
    months = (y - 1970).astype("M8[Y]").astype("M8[M]") + (m - 1).astype("m8[M]")
    days = months.astype("M8[D]") + (d - 1).astype("m8[D]")
    good &= days.astype("M8[M]") == months
    return np.where(good, days.astype(np.int64) * DAY, np.nan)


def _clock(parts: Parts) -> Times:
    hour, half = _whole(parts, "H"), parts.get("p")
    if half is not None:
        words, places = np.unique(["" if word is None else word.lower() for word in half], return_inverse=True)
        afternoon, morning = (words == "p")[places], (words == "a")[places]
        hour = np.where(afternoon & (hour < 12), hour + 12, np.where(morning & (hour == 12), 0, hour))
    seconds = 3600 * hour + 60 * _whole(parts, "M") + _whole(parts, "S")
    if "f" in parts:
        words, places = np.unique(["" if word is None else word for word in parts["f"]], return_inverse=True)
        seconds += np.array([float(f"0.{word or 0}") for word in words])[places]
    return seconds


def _order(a: Times, b: Times, year: Times, of_day: Times, what: str) -> str:
    """Which of two numbers is the day: the one above 12, else the one that gives even steps."""
    first, second = bool((a > 12).any()), bool((b > 12).any())
    if first != second:
        return "dmy" if first else "mdy"
    if not first:
        steps = {"dmy": midnight(year, b, a) + of_day, "mdy": midnight(year, a, b) + of_day}
        even = [order for order, times in steps.items() if _is_even(times)]
        if len(even) == 1:
            return even[0]
    raise DataError(f"{what}: no date shows whether day or month comes first; say so with --date-order dmy or mdy")


def _is_even(times: Times) -> bool:
    """Whether times go one way in steps of one length, or of months."""
    steps = np.diff(times[~np.isnan(times)])
    if len(steps) < 2:
        return False
    steps = steps if steps[0] > 0 else -steps
    low, high = float(steps.min()), float(steps.max())
    return low > 0 and (low == high or (low >= 28 * DAY and high <= 31 * DAY))


HOUR = 3600.0


def set_back(values: Times) -> int:
    """How many times a clock is set back by an hour in times that otherwise rise; 0 where they fall in other ways.

    A local clock shows an hour twice when summer time ends: rows in that order are in order.
    """
    steps = np.diff(values)
    rising = steps[steps > 0]
    if not len(rising):
        return 0
    usual = float(np.median(rising))
    back = steps < 0
    return int(back.sum()) if usual < HOUR and np.allclose(steps[back], usual - HOUR, atol=usual / 100) else 0


# ── order and steps ───────────────────────────────────────────────────────────

_UNITS = ((7 * DAY, "week"), (DAY, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))
_CALENDAR = ((28, 31, "1 month"), (90, 92, "1 quarter"), (365, 366, "1 year"))


@dataclass(frozen=True)
class Steps:
    """The distances between times in order.

    Attributes:
        told: the usual one, for people.
        gaps: where a longer one begins, row numbers.
        doubles: how many times are the same as the one before.
    """

    told: str
    gaps: npt.NDArray[np.int64]
    doubles: int


def steps_of(axis: Axis) -> Steps:
    """The steps of an axis in order, at least two rows."""
    steps = np.diff(axis.values)
    doubles = int((steps == 0).sum())
    positive = steps[steps > 0]
    if not len(positive):
        return Steps("no step", np.empty(0, np.int64), doubles)
    lengths, counts = np.unique(np.round(positive, 6), return_counts=True)
    usual = float(lengths[counts.argmax()])
    longest, told = 1.5 * usual, _told(usual, axis.calendar)
    if axis.calendar:
        for low, high, words in _CALENDAR:
            if low * DAY <= usual <= high * DAY and np.mean((positive >= low * DAY) & (positive <= high * DAY)) > 0.8:
                longest, told = (high + 1) * DAY, words
        if usual == DAY and _skips_weekends(axis.values):
            longest, told = 3 * DAY, "1 working day"
    return Steps(told, np.flatnonzero(steps > longest), doubles)


def _skips_weekends(values: Times) -> bool:
    """Whether no time is on a Saturday or Sunday, over two weeks at least."""
    weekday = (np.floor(values[~np.isnan(values)] / DAY).astype(np.int64) + 3) % 7  # 0: Monday
    return len(weekday) >= 10 and bool((weekday < 5).all())


def _told(step: float, calendar: bool) -> str:
    if not calendar:
        return f"{step:g}"
    for length, word in _UNITS:
        if step % length == 0:
            count = round(step / length)
            return f"{count} {word}{'s' * (count > 1)}"
    return f"{step:g} seconds"
