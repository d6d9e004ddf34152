"""CSV and TSV as rows of text, each as long as the header."""

import csv
import io
from dataclasses import dataclass

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.escaping import heading_from_csv


@dataclass(frozen=True)
class Table:
    """A table's first line, and the others with the number of the line each ends in."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    def position(self, column: str) -> int:
        """Where a column stands; raises DataError where there is none of that name."""
        if column not in self.header:
            raise DataError(f"{self.name} has no column '{one_line(column, 60)}'; {nearest(column, self.header)}")
        return self.header.index(column)


def read(text: str, name: str) -> Table:
    """Parse a table. Tabs separate its fields where the first line has one, else semicolons, else commas.

    Raises:
        DataError: quotes that do not close, or a line with more or fewer fields than the first.
    """
    first = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            if row:
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(f"{name} is not a readable table: line {reader.line_num}: {one_line(error)}") from None
    if not rows:
        raise DataError(f"{name} is empty")
    (_, header), *body = rows
    for number, row in body:
        if len(row) != len(header):
            raise DataError(f"{name}, line {number}: {len(row)} fields where the header has {len(header)}")
    return Table(name, tuple(map(heading_from_csv, header)), tuple(body))
