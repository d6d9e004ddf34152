"""The dialect of a table: delimiter, quotes, header and numbers, judged by how consistent its lines are under each.

A delimiter is good where it gives every line the same number of fields and the fields are numbers, dates, or text
without another delimiter. Quotes are quotes where fields that begin with one also end with one; else they are text.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from tuirnn.errors import DataError, one_line
from tuirnn.escaping import heading_from_csv
from tuirnn.tables import cells
from tuirnn.tables.given import Given
from tuirnn.tables.header import are_units, has_header, titles_above

DELIMITERS = (",", ";", "\t", "|")
BLANK = " "
"""Any number of blanks or tabs between two numbers."""

NO_DELIMITER = "\x1f"
"""Stands in no text: what parsers are told to separate the fields of one column by."""

NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": BLANK, "blank": BLANK, "pipe": "|"}
"""Words that --delimiter takes."""

SAMPLE = 2**19
"""Characters at the beginning of a table that its dialect is judged by."""

OVER_LINES = 0.2
"""Share of the rows whose fields go over several lines from which on quotes are taken for quotes."""

TYPED_ROWS = 200
"""Rows, spread over the sample, whose cells are looked at."""

_SEP_LINE = re.compile(r'"?sep=(.|\\t)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'\s*"(?:[^"]|"")*"\s*')

_KEYS = ("delimiter", "quote", "decimal", "thousands", "names", "skip")

Row = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: between fields; empty: one column; `BLANK`: any blanks.
        quote: '"', or empty where quotes are text.
        numbers: how numbers are written.
        names: of the columns, as its header has them; empty strings where it has none.
        header: whether a line of it holds the names.
        skip: lines before the first row.
        titles: how many of these stand before the table.
        units: the line under the header, where it says in what the columns are measured.
    """

    delimiter: str
    quote: str
    numbers: cells.Convention
    names: tuple[str, ...]
    header: bool
    skip: int
    titles: int = 0
    units: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a run's record."""
        return {
            "delimiter": self.delimiter,
            "quote": self.quote,
            "decimal": self.numbers.decimal,
            "thousands": self.numbers.thousands,
            "header": self.header,
            "skip": self.skip,
            "names": list(self.names),
            **({"titles": self.titles} if self.titles else {}),
            **({"units": self.units} if self.units else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Dialect":
        """Read what `to_json` wrote; raises DataError for anything else."""
        delimiter, quote, decimal, thousands, names, skip = (value.get(key) for key in _KEYS)
        good = delimiter in ("", BLANK) or (isinstance(delimiter, str) and len(delimiter) == 1)
        good = good and quote in ("", '"') and decimal in ("", ".", ",") and thousands in ("", ".", ",", " ", "'")
        if not (good and isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise DataError("the record of how a table was read is damaged; start a new run")
        if type(skip) is not int or not 0 <= skip < SAMPLE:
            raise DataError("the record of how a table was read is damaged: lines before the first row")
        numbers = cells.Convention(str(decimal), str(thousands))
        titles, units = value.get("titles", 0), value.get("units", "")
        if type(titles) is not int or not isinstance(units, str):
            raise DataError("the record of how a table was read is damaged: what stands above and below its header")
        return cls(str(delimiter), str(quote), numbers, tuple(names), value.get("header") is True, skip, titles, units)

    @property
    def told(self) -> str:
        """For people, in a few words."""
        words = {"": "one column", "\t": "tabs between fields", BLANK: "blanks between fields"}
        said = [words.get(self.delimiter, f"'{self.delimiter}' between fields")]
        if not self.quote:
            said.append("quotes are text")
        if self.numbers.decimal == ",":
            said.append("decimal ','")
        if self.numbers.thousands:
            said.append(f"'{self.numbers.thousands}' between thousands")
        said.append("a header" if self.header else "no header")
        if self.titles:
            said.append(f"{self.titles} lines before it left out")
        if self.units:
            said.append(f"a line of units under it left out ('{one_line(self.units, 40)}')")
        return ", ".join(said)


@dataclass(frozen=True)
class _Reading:
    """A sample under one delimiter and one meaning of quotes."""

    delimiter: str
    quote: str
    rows: list[Row]
    ends: list[int]
    """Lines of the sample up to the end of each row."""

    @cached_property
    def width(self) -> int:
        """The commonest number of fields."""
        return Counter(map(len, self.rows)).most_common(1)[0][0] if self.rows else 0

    @cached_property
    def consistency(self) -> float:
        """Share of the rows that have it."""
        return sum(len(row) == self.width for row in self.rows) / max(1, len(self.rows))

    @cached_property
    def clean(self) -> float:
        """Mean over the cells after the first line: 1 for a number, date or nothing, less for text."""
        rows = self.rows[1:][:: max(1, len(self.rows) // TYPED_ROWS)] or self.rows
        others = [each for each in DELIMITERS if each != self.delimiter]
        values = [
            1.0 if cells.kind(cell) != cells.TEXT else 0.3 if any(other in cell for other in others) else 0.6
            for row in rows
            for cell in row
        ]
        return sum(values) / max(1, len(values))


@lru_cache(maxsize=2)  # the beginning that a task is chosen by is read again for the task
def judge(sample: str, name: str, given: Given) -> Dialect:
    """The dialect of a table.

    Args:
        sample: whole lines from its beginning.
        name: of the table, for errors.
        given: what is known.
    Raises:
        DataError: no lines, or two readings that are equally plausible.
    """
    lines = sample.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skip, delimiter = _preamble(lines, given)
    body = lines[skip:]
    if not any(line.strip() for line in body):
        raise DataError(f"{name} is empty")
    reading = _best(body, name, delimiter)
    above = titles_above(reading.rows, reading.width) if given.header != "no" else 0
    titles = reading.ends[above - 1] if above else 0
    if titles:
        reading = _best(body[titles:], name, reading.delimiter)
    dialect = _described(reading, name, given)
    return replace(dialect, skip=skip + titles + dialect.skip, titles=titles)


def former(data: bytes, *, header: bool | None = None) -> Dialect:
    """The dialect as it was judged before: by the first line alone.

    Args:
        data: of the table, UTF-8.
        header: whether there is one; None: unless the first line holds numbers alone.
    """
    text = codecs.decode(data, "utf-8-sig")
    first = text.lstrip("\n").split("\n", 1)[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    row = next((row for row in reader if row), [])
    kinds = {cells.kind(cell) for cell in row}
    has = header if header is not None else not any(row) or not kinds <= {cells.NUMBER, cells.NOTHING}
    names = tuple(heading_from_csv(cell) for cell in row) if has else ("",) * len(row)
    return Dialect(delimiter, '"', cells.Convention(), names, has, reader.line_num if has else 0)


def _preamble(lines: list[str], given: Given) -> tuple[int, str]:
    """How many lines stand before the table, and the delimiter where it is known."""
    delimiter = NAMES.get(given.delimiter.lower(), given.delimiter)
    if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
        raise DataError(f"--delimiter takes one character, or {', '.join(NAMES)}, not '{one_line(delimiter, 20)}'")
    skip = 0
    if found := _SEP_LINE.fullmatch(lines[0]):
        skip, delimiter = 1, delimiter or found[1].replace("\\t", "\t")
    while skip < len(lines) and (not lines[skip].strip() or lines[skip].startswith("#")):
        skip += 1
    return skip, delimiter


# ── delimiter and quotes ──────────────────────────────────────────────────────


def _best(lines: list[str], name: str, delimiter: str) -> _Reading:
    """The reading under which the lines are most consistent."""
    if delimiter:
        return _unmixed(lines, delimiter)
    found = [reading for each in DELIMITERS if (reading := _unmixed(lines, each)).width > 1]
    found.append(_unmixed(lines, ""))
    if (blanks := _split(lines, BLANK)).width > 1 and blanks.consistency > 0.95 and blanks.clean > 0.99:
        found.append(blanks)
    scores = {reading.delimiter: _score(reading) for reading in found}
    ranked = sorted(found, key=lambda reading: -scores[reading.delimiter])
    best, *others = ranked
    for other in others:
        near = scores[other.delimiter] > 0.98 * scores[best.delimiter] and other.delimiter not in ("", BLANK)
        if near and best.delimiter and min(best.consistency, other.consistency) > 0.95:
            raise DataError(
                f"{name} can be read with {best.delimiter!r} or {other.delimiter!r} between its fields; say which with "
                "--delimiter"
            )
    return best


def _unmixed(lines: list[str], delimiter: str) -> _Reading:
    """The lines under a delimiter, with quotes as quotes or as text."""
    plain = _split(lines, delimiter)
    if delimiter == BLANK or not any('"' in line for line in lines):
        return plain
    quoted = _quoted(lines, delimiter)
    if quoted is None or plain.consistency > quoted.consistency:
        return replace(plain, quote="")
    if plain.consistency < quoted.consistency:
        return quoted
    fields = [field for row in plain.rows for field in row if field.lstrip().startswith('"')]
    good = sum(_QUOTED.fullmatch(field) is not None for field in fields)
    quotes = len(quoted.rows) == len(plain.rows) and good >= 4 * (len(fields) - good)
    return quoted if quotes or _in_lines(quoted, lines) else replace(plain, quote="")


def _in_lines(quoted: _Reading, lines: list[str]) -> bool:
    """Whether many quoted fields go over several lines and every quote is one: where it closes, the field ends."""
    several = sum(any("\n" in field for field in row) for row in quoted.rows)
    if several < OVER_LINES * len(quoted.rows):
        return False
    text = io.StringIO("\n".join(lines), newline="")
    reader = csv.reader(text, delimiter=quoted.delimiter or NO_DELIMITER, strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error:
        return reader.line_num >= len(lines)  # the sample ends within a field
    return True


def _split(lines: list[str], delimiter: str) -> _Reading:
    """A line a row; quotes mean nothing."""
    rows, ends = [], []
    for end, line in enumerate(lines, 1):
        if line.strip() or (delimiter == "\t" and delimiter in line):  # tabs alone are a row of empty fields
            rows.append(line.split() if delimiter == BLANK else line.split(delimiter) if delimiter else [line])
            ends.append(end)
    return _Reading(delimiter, '"', rows, ends)


def _quoted(lines: list[str], delimiter: str) -> _Reading | None:
    """Rows whose quoted fields may hold delimiters and newlines; None where that cannot be read."""
    rows, ends = [], []
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter or NO_DELIMITER)
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
                ends.append(reader.line_num)
    except csv.Error:
        return None
    return _Reading(delimiter, '"', rows, ends)


def _score(reading: _Reading) -> float:
    """How good a reading is, 0 to 1: consistent, its cells typed, its first line as long as the others."""
    score = reading.consistency**2 * reading.clean
    if reading.delimiter == BLANK:
        return 0.95 * score
    if not reading.delimiter:
        heading = reading.rows[0][0]
        names = cells.kind(heading) == cells.TEXT and any(each in heading for each in DELIMITERS)
        return score * (0.4 if names else 1.0 if score == 1.0 else 0.7)
    first, width = len(reading.rows[0]), reading.width
    fits = first == width or (first == width - 1 and (_last_is_empty(reading) or _counts(reading)))
    return score * (1.0 if fits else 0.5)


def _last_is_empty(reading: _Reading) -> bool:
    return all(not row[-1].strip() for row in reading.rows[1:] if len(row) == reading.width)


def _counts(reading: _Reading) -> bool:
    """Whether the first fields are names of rows: all different."""
    firsts = [row[0] for row in reading.rows[1:]]
    return len(firsts) > 1 and len(set(firsts)) == len(firsts)


# ── header and numbers ────────────────────────────────────────────────────────


def _described(reading: _Reading, name: str, given: Given) -> Dialect:
    rows, width = reading.rows, reading.width
    first = rows[0]
    shorter = len(first) == width - 1 and width > 1 and len(rows) > 1
    body = [row for row in rows[1:] if len(row) == width]
    header = _decided(first, body, name, given) if not shorter else given.header != "no"
    names = tuple(heading_from_csv(cell.strip()) for cell in first) if header else ()
    if shorter and header:  # the names of the rows have no heading, or every row ends with a delimiter
        names = (*names, "") if _last_is_empty(reading) else ("", *names)
    names = (*names, *("" for _ in range(width - len(names))))[: max(width, len(names))]
    numbers = _numbers(body if header else [first, *body], reading.delimiter)
    if given.decimal:
        thousands = numbers.thousands or ("." if given.decimal == "," else "," if reading.delimiter != "," else "")
        numbers = cells.Convention(given.decimal, "" if thousands == given.decimal else thousands)
    units = header and not shorter and are_units(body[: TYPED_ROWS + 1])
    skip = reading.ends[units] if header else 0
    return Dialect(
        reading.delimiter, reading.quote, numbers, names, header, skip, units=", ".join(body[0]) if units else ""
    )


def _decided(first: Row, body: list[Row], name: str, given: Given) -> bool:
    """Whether the first line is a header."""
    if given.header != "auto":
        return given.header == "yes"
    stripped = [heading_from_csv(cell.strip()) for cell in first]
    if given.names and set(given.names) <= set(stripped):
        return True
    found = has_header(stripped, body[:: max(1, len(body) // (5 * TYPED_ROWS))])
    if found is None and given.names:
        return False
    if found is None:
        raise DataError(
            f"{name}: its first line, {one_line(', '.join(stripped), 60)}, may be names or values; say which with "
            "--header yes or --no-header"
        )
    return found


def _numbers(rows: Sequence[Row], delimiter: str) -> cells.Convention:
    """How the numbers of mostly numeric columns are written."""
    chosen = rows[:: max(1, len(rows) // (10 * TYPED_ROWS))]
    numeric: list[str] = []
    for column in zip(*chosen, strict=False):
        kinds = [cells.kind(cell) for cell in column]
        good = [cell for cell, kind in zip(column, kinds, strict=True) if kind == cells.NUMBER]
        if len(good) >= 0.8 * max(1, len(kinds) - kinds.count(cells.NOTHING)):
            numeric += good
    return cells.convention(numeric, semicolons=delimiter == ";")
