"""A table in columns, parsed by pyarrow; every row that is not as wide as the table is counted and named."""

import codecs
import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.scaling import LARGEST
from tuirnn.tables import cells, encodings, foreign
from tuirnn.tables.dialect import BLANK, NO_DELIMITER, SAMPLE, Dialect, judge
from tuirnn.tables.encodings import Encoding
from tuirnn.tables.given import Given

MOST_ODD = 0.05
"""Share of rows of another width from which a table is refused."""

BLOCK = 2**24
"""Bytes that are parsed at a time."""

SHOWN = 5
"""Lines that a note names."""

Column = Any
"""A `pyarrow.ChunkedArray` of strings; pyarrow has no types."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """A column's numbers.

    Attributes:
        values: [n], NaN where there is none.
        count: how many cells hold one.
        strange: line and text of the first cell that is neither a number nor missing.
    """

    values: Values
    count: int
    strange: tuple[int, str] | None


@dataclass(frozen=True)
class Table:
    """Rows of equal width.

    Attributes:
        name: of the file, for people.
        dialect, encoding: how it is written.
        names: of the columns: the header's, or '1', '2', … where there is none.
        notes: what was left out, a line each.
        missing: cells that stand for no value, in lower case.
    """

    name: str
    dialect: Dialect
    encoding: Encoding
    names: tuple[str, ...]
    notes: tuple[str, ...]
    missing: frozenset[str]
    _columns: tuple[Column, ...] = field(repr=False)
    _odd: tuple[int, ...] = ()
    """Numbers of the rows that are left out, counted from 0 among all."""
    _blank: tuple[int, ...] = ()
    """Numbers of blank lines, counted from 0 after the header."""

    def __len__(self) -> int:
        """Rows."""
        return len(self._columns[0]) if self._columns else 0

    @property
    def named(self) -> bool:
        """Whether its header names its columns."""
        return self.dialect.header

    @property
    def told(self) -> str:
        """What was understood, in a line."""
        said = [f"{len(self):,} rows", f"{len(self.names)} columns", self.dialect.told, self.encoding.told]
        return ", ".join(filter(None, said))

    def without_cells(self) -> "Table":
        """The same table, of which only what was understood can still be read, and its length."""
        import pyarrow as pa

        return replace(self, _columns=(pa.nulls(len(self)),))

    def position(self, column: str) -> int:
        """Where a column stands; raises DataError where there is none of that name."""
        if column not in self.names:
            raise DataError(
                f"{self.name} has no column '{one_line(column, 60)}'; {nearest(column, filter(None, self.names))}"
            )
        return self.names.index(column)

    def cells(self, position: int, rows: slice = slice(None)) -> list[str]:
        """The cells of a column, as they are written."""
        found: list[str] = self._columns[position][rows].to_pylist()
        return found

    def spread(self, position: int, most: int) -> list[str]:
        """So many cells of a column at most, from all over it."""
        return self.cells(position, slice(None, None, max(1, -(-len(self) // most)))) if len(self) else []

    def column(self, position: int) -> Column:
        """A column's cells without blanks around them; null where they stand for no value."""
        import pyarrow as pa
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim_whitespace(self._columns[position])
        gone = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(sorted(self.missing), pa.string()))
        return pc.if_else(gone, pa.scalar(None, pa.string()), trimmed)

    def numbers(self, position: int) -> Numbers:
        """The numbers of a column, as the table writes them.

        Raises:
            DataError: they can be read in two ways.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if (values := self._bare(position)) is not None:
            return Numbers(values, len(values), None)
        kept = self.column(position)
        convention = self.dialect.numbers
        if convention.decimal != ".":
            signed = pc.any(pc.match_substring_regex(kept, r"^[+-]?\d+[.,]\d+$")).as_py()
            convention = convention.certain(self.name) if signed else convention
        try:
            if convention.decimal != ".":
                raise pa.ArrowInvalid
            values = pc.cast(kept, pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            values = pc.cast(_plain(kept, convention), pa.float64()).to_numpy(zero_copy_only=False)
        values = np.asarray(values, np.float64)  # NaN where there is null
        there = kept.is_valid().to_numpy(zero_copy_only=False)
        if numbers := _numeric(self.missing):
            there &= ~np.isin(values, numbers)  # -200 is also -200.0
            values = np.where(there, values, np.nan)
        fits = np.abs(values) <= LARGEST
        strange = np.flatnonzero(there & ~fits)
        first = (self.line(int(strange[0])), str(kept[int(strange[0])])) if len(strange) else None
        return Numbers(np.where(fits, values, np.nan), int(fits.sum()), first)

    def _bare(self, position: int) -> Values | None:
        """The numbers of a column in which every cell is one as programs write them; None: the column is another."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.dialect.numbers.decimal != "." or not len(self) or _numeric(self.missing):
            return None
        try:
            values: Values = pc.cast(self._columns[position], pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            return None
        largest = max(values.max(), -values.min())  # NaN where one of them is
        return values if largest <= LARGEST else None

    def line(self, row: int) -> int:
        """The line of the file that a row ends in, counted from 1."""
        import pyarrow.compute as pc

        number = row
        for odd in self._odd:
            number += odd <= number
        inside = 0
        if self.dialect.quote and self.dialect.delimiter != BLANK:
            for column in self._columns:
                inside += int(pc.sum(pc.count_substring(column[: row + 1], "\n")).as_py() or 0)
        return _line(self.dialect, number, self._blank) + inside


def _numeric(words: Iterable[str]) -> list[float]:
    """Those of some words that are numbers."""
    return [float(word) for word in words if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word)]


def _plain(kept: Column, convention: cells.Convention) -> Column:
    """Cells as a program writes numbers, null where they are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    signs = re.escape(cells.SIGNS)
    bare = pc.replace_substring_regex(kept, r"^\(([^()+-]*\d[^()+-]*)\)$", r"-\1")  # of accountants
    bare = pc.replace_substring_regex(bare, r"^([^()+-]*\d)-$", r"-\1")
    bare = pc.replace_substring_regex(bare, rf"^(-?)\+?\s*[{signs}]?\s*", r"\1")
    bare = pc.replace_substring_regex(bare, rf"\s*[{signs}]$", "")
    mark = {" ": f"[{cells.BLANKS}]", "'": "['’]"}.get(convention.thousands, re.escape(convention.thousands))
    if mark:
        grouped = pc.match_substring_regex(bare, rf"^-?\d{{1,3}}({mark}\d{{3}})+([{convention.decimal}]\d+)?$")
        bare = pc.if_else(grouped, pc.replace_substring_regex(bare, mark, ""), bare)
    if convention.decimal == ",":
        point = pc.match_substring(bare, ".")  # 1.5 where ',' is the decimal sign is no number
        bare = pc.if_else(point, pa.scalar(None, pa.string()), pc.replace_substring(bare, ",", "."))
    valid = pc.match_substring_regex(bare, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    return pc.if_else(valid, bare, pa.scalar(None, pa.string()))


# ── reading ───────────────────────────────────────────────────────────────────


def read(data: bytes, name: str, given: Given | None = None, known: Dialect | None = None) -> Table:
    """Parse a table.

    Args:
        data: of a CSV file or its like.
        name: of the file, for people.
        given: what a person has said about it; None: nothing.
        known: its dialect, where that was found out before.
    Raises:
        DataError: no table, or one that can be read in two ways.
    """
    given = given or Given()
    encoding = encodings.find(data, name, given.encoding, what="table")
    notes: list[str] = []
    if encoding.name == "utf-8" and encoding.how != "given":
        body, begin = data, encoding.mark
    else:
        text, encoding, notes = encodings.decode(data, name, given.encoding, what="table")
        body, begin = text.encode("utf-8"), 0
    if (zero := body.find(b"\0", begin)) >= 0:
        raise DataError(f"{name} is binary (a zero byte at offset {zero - begin:,}); it is no table")
    if b"\r" in body and b"\n" not in body:
        body = body.replace(b"\r", b"\n")
    end = len(body)
    while end > begin and body[end - 1] in b"\r\n":
        end -= 1
    if known is None and (why := foreign.no_table(_sample(body[begin : min(end, begin + 2**16)]))):
        raise DataError(f"{name} {why}")
    dialect = known or judge(_sample(body[begin : min(end, begin + SAMPLE + 1)]), name, given)
    begin = _after(body, dialect.skip, begin, end)
    quotes = bool(dialect.quote) and body.find(b'"', begin, end) >= 0
    rows = memoryview(body)[begin:end]  # a copy would take as much memory again
    if dialect.delimiter == BLANK:
        rows = memoryview(re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t\r]+", b" ", rows)))
    columns, odd = _parse(rows, name, dialect, quotes)
    blank = _blank_lines(rows) if len(columns) > 1 else ()
    said = _told(odd, blank, name, dialect, len(columns[0]))
    names = dialect.names if dialect.header else tuple(str(place + 1) for place in range(len(dialect.names)))
    missing = cells.MISSING | {word.strip().lower() for word in given.missing}
    table = Table(
        name, dialect, encoding, names, (*notes, *said), missing, columns, tuple(row.number for row in odd), blank
    )
    if quotes:
        _refuse_swallowed(table, columns)
    return table


def _sample(body: bytes) -> str:
    """Whole lines from the beginning."""
    end = len(body) if len(body) <= SAMPLE else body.rfind(b"\n", 0, SAMPLE)
    return codecs.decode(body[: end if end > 0 else SAMPLE], "utf-8", "ignore")


def _after(body: bytes, lines: int, begin: int, end: int) -> int:
    """Where so many lines from `begin` on are over."""
    for _ in range(lines):
        begin = body.find(b"\n", begin, end) + 1 or end
    return begin


@dataclass(frozen=True)
class _Odd:
    """A row of another width: its number from 0, its fields, and whether it is a blank line."""

    number: int
    fields: int
    blank: bool


def _parse(rows: memoryview, name: str, dialect: Dialect, quotes: bool) -> tuple[tuple[Column, ...], list[_Odd]]:
    """Columns of strings, and the rows that do not fit; on all processors unless there are such rows."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    pa.set_memory_pool(pa.system_memory_pool())  # pyarrow's own keeps what was freed
    width = len(dialect.names)
    if not rows:
        return tuple(pa.chunked_array([], pa.string()) for _ in range(width)), []
    labels = [str(place) for place in range(width)]
    odd: list[_Odd] = []

    def handle(row: Any) -> str:
        """Note a row of another width, and leave it out."""
        odd.append(_Odd((row.number or 1) - 1, row.actual_columns, not row.text.strip()))
        return "skip"

    def run(threads: bool, block: int) -> Any:
        """Parse so many bytes at a time; on all processors the numbers of odd rows are not known."""
        odd.clear()
        return arrow.read_csv(
            pa.BufferReader(pa.py_buffer(rows)),
            read_options=arrow.ReadOptions(use_threads=threads, block_size=block, column_names=labels),
            parse_options=arrow.ParseOptions(
                delimiter=dialect.delimiter or NO_DELIMITER,
                quote_char=dialect.quote or False,
                newlines_in_values=quotes,
                ignore_empty_lines=width > 1,
                invalid_row_handler=handle,
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(labels, pa.string()), null_values=[], strings_can_be_null=False
            ),
        )

    try:
        found = run(True, BLOCK)
        if odd:
            found = run(False, BLOCK)
    except pa.ArrowInvalid:
        try:
            found = run(False, len(rows) + 1)  # a field longer than a block
        except pa.ArrowInvalid as error:
            raise DataError(f"{name} is not a readable table: {one_line(error, 120)}") from None
    return tuple(found.columns), list(odd)


def _blank_lines(rows: memoryview) -> tuple[int, ...]:
    """Numbers of blank lines; none where fields hold newlines, so that lines are no rows."""
    if not re.search(rb"^\r?\n|\n\r?\n", rows) or re.search(b'"', rows):
        return ()
    return tuple(number for number, line in enumerate(bytes(rows).split(b"\n")) if line in (b"", b"\r"))


def _line(dialect: Dialect, number: int, blank: Iterable[int]) -> int:
    """The line, counted from 1, of the row of a number among all."""
    for line in blank:
        number += line <= number
    return dialect.skip + 1 + number


def _told(odd: list[_Odd], blank: Iterable[int], name: str, dialect: Dialect, rows: int) -> list[str]:
    """What is said of rows of another width; raises DataError where they are many."""
    wrong = [row for row in odd if not row.blank]
    lines = [_line(dialect, row.number, blank) for row in wrong]
    if len(wrong) > MOST_ODD * (rows + len(wrong)):
        has = f"{wrong[0].fields} fields where the {'header' if dialect.header else 'table'} has {len(dialect.names)}"
        raise DataError(f"{name}, line {lines[0]}: {has}; {len(wrong):,} of {rows + len(wrong):,} rows have this fault")
    said = []
    if wrong:
        shown = ", ".join(map(str, lines[:SHOWN])) + (", …" if len(lines) > SHOWN else "")
        noun = "row" if len(wrong) == 1 else "rows"
        said = [f"{len(wrong):,} {noun} left out that do not have {len(dialect.names)} fields: line {shown}"]
    return said


def _refuse_swallowed(table: Table, columns: Iterable[Column]) -> None:
    """Raise DataError where a cell holds whole lines of the table: a quote opens that was meant as text."""
    import pyarrow.compute as pc

    dialect = table.dialect
    for column in columns:
        found = pc.indices_nonzero(pc.match_substring(column, "\n")).to_pylist()
        for row in found:
            inner = str(column[row]).split("\n")[1:-1]
            whole = [line for line in inner if _fields(line, dialect) == len(dialect.names)]
            if whole and len(whole) == len(inner) and (dialect.delimiter == "\t" or len(whole) > 2):
                end = table.line(row)
                raise DataError(
                    f"{table.name}, line {end - len(inner) - 1}: a quote opens here and closes in line {end}, so that "
                    f"{len(inner):,} whole rows are inside one field; remove the quote, or close it"
                )


def _fields(line: str, dialect: Dialect) -> int:
    """How many fields a line has."""
    return len(next(csv.reader([line], delimiter=dialect.delimiter or NO_DELIMITER), []))
