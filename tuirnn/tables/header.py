"""Whether the first line of a table holds names or values, and what stands above and below the names."""

import re
from collections.abc import Sequence

from tuirnn.tables import cells

USUAL = frozenset(
    """
    text texts sentence sentences review reviews comment comments message messages content body document tweet sms post
    title headline description question query utterance sequence word name label labels class classes target sentiment
    category categories y x tag topic intent polarity emotion language lang genre type kind id index date datum time
    timestamp datetime year month day hour value values price close open high low volume rating score stars
    """.split()  # noqa: SIM905
)
"""Words that name columns more often than they are values."""

_YEAR = re.compile(r"(1[89]|20)\d{2}")
_WHOLE = re.compile(r"\d+")

MOSTLY = 0.9
"""Share of a column's cells that make it one of numbers or dates."""

MIN_ROWS = 5
"""Fewer rows do not show how far values reach."""

MOST_TITLES, TYPED_ROWS = 20, 200
"""Rows above a table at most, and rows of it that are looked at."""


def has_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool | None:
    """Judge the first line against the others.

    Words over numbers or dates are names. So are the usual ones, and words over columns of few values that do not have
    them. Numbers over numbers are values, unless they are of another form (whole numbers over decimals), or are years
    or count the columns and lie far from the values below.

    Args:
        first: its fields.
        body: fields of the others, all of one length.
    Returns:
        None where both are plausible.
    """
    if not body:
        return any(cells.kind(cell) == cells.TEXT for cell in first)
    columns = list(zip(*body, strict=False))
    kinds = [kind_of(column) for column in columns]
    pairs = list(zip(first, kinds, strict=False))
    over = [(cells.kind(cell), kind) for cell, kind in pairs]
    if any(kind in (cells.NUMBER, cells.DATE) and of == cells.TEXT for of, kind in over):
        return True
    if (cells.DATE, cells.NUMBER) in over:  # times name columns of numbers where a row is a series
        return True
    if not any(first):
        return False
    nameless = any(not cell and all(map(str.strip, column)) for cell, column in zip(first, columns, strict=False))
    if nameless and all(_WHOLE.fullmatch(cell) or not cells.is_number(cell) for cell in first):
        return True  # a column of row numbers has no heading
    if cells.DATE in kinds and any(kind == cells.DATE and cells.kind(cell) == cells.DATE for cell, kind in pairs):
        return False
    if any(kind == cells.NUMBER for kind in kinds):
        numeric = [(cell, column) for (cell, kind), column in zip(pairs, columns, strict=False) if kind == cells.NUMBER]
        return _numeric([cell for cell, _ in numeric], [column for _, column in numeric])
    return _textual(first, columns)


def kind_of(column: Sequence[str]) -> str:
    """What at least nine tenths of a column's cells are."""
    kinds = [kind for cell in column if (kind := cells.kind(cell)) != cells.NOTHING]
    for kind in (cells.NUMBER, cells.DATE):
        if kinds and kinds.count(kind) >= MOSTLY * len(kinds):
            return kind
    return cells.TEXT


def _textual(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool | None:
    """A table of words: a label stands in its column again, a heading does not."""
    few = [
        (cell, {value.strip() for value in column})
        for cell, column in zip(first, columns, strict=False)
        if cell and len({value.strip() for value in column}) <= max(2, len(column) // 2)
    ]
    if any(cell in values for cell, values in few):
        return False
    if any(cell.casefold() in USUAL for cell in first):
        return True
    return True if few else None


def _numeric(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool | None:
    """Numbers over numbers; see `has_header`."""
    if not first or not all(_WHOLE.fullmatch(cell) for cell in first) or len(set(first)) < len(first):
        return False
    values = [[cell.strip() for cell in column if cells.is_number(cell)] for column in columns]
    if all(sum("." in cell or "," in cell for cell in column) >= MOSTLY * len(column) for column in values):
        return True
    numbers = list(map(int, first))
    named = numbers in ([*range(len(first))], [*range(1, len(first) + 1)]) or all(1800 <= n <= 2100 for n in numbers)
    far = all(_is_far(number, column) for number, column in zip(numbers, values, strict=True))
    if len(values[0]) < MIN_ROWS or not (named or far):
        return False
    if len(first) == 1:
        return None if named and far else False
    return True if named and far else None


def _is_far(number: int, column: Sequence[str]) -> bool:
    """Whether a number lies outside a column's values by more than their range."""
    plain = [float(cell) for cell in column if re.fullmatch(r"[+-]?\d+(\.\d*)?", cell)]
    if not plain:
        return False
    low, high = min(plain), max(plain)
    return not low - (high - low) <= number <= high + (high - low)


def titles_above(rows: Sequence[Sequence[str]], width: int) -> int:
    """How many rows stand above the header: those with fewer filled fields than the first row of names.

    A header that is one field shorter than the rows, whose first fields name them, is none of these.

    Args:
        rows: fields of each.
        width: how many most of them have.
    """
    most = sum(map(bool, map(str.strip, rows[0]))) if rows else 0
    for at, row in enumerate(rows[: MOST_TITLES + 1]):
        filled = [cell.strip() for cell in row]
        if sum(map(bool, filled)) <= most:
            continue
        most = sum(map(bool, filled))
        body = [row for row in rows[at + 1 :] if len(row) == width][:TYPED_ROWS]
        if at and len(row) == width > 1 and len(body) > 1 and _are_names(filled, body) and has_header(filled, body):
            return at
    return 0


def _are_names(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether a row has words and, but for years, nothing that its columns have."""
    kinds = [(cells.kind(cell), kind_of(column)) for cell, column in zip(first, zip(*body, strict=False), strict=False)]
    values = [
        cell
        for cell, (kind, of) in zip(first, kinds, strict=False)
        if kind == of != cells.TEXT and not _YEAR.fullmatch(cell)
    ]
    return not values and any(kind == cells.TEXT for kind, _ in kinds)


def are_units(body: Sequence[Sequence[str]]) -> bool:
    """Whether the first row under a header has words, and no values, in the columns of numbers and dates."""
    if len(body) <= MIN_ROWS:
        return False
    typed = [
        cells.kind(cell)
        for cell, column in zip(body[0], zip(*body[1:], strict=False), strict=False)
        if kind_of(column) != cells.TEXT
    ]
    return cells.TEXT in typed and set(typed) <= {cells.TEXT, cells.NOTHING}
