"""Numbers that seem to stand for no value: they occur again and again, far from all others of their column."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tuirnn.errors import one_line
from tuirnn.scaling import Series

CODES = frozenset((-200.0, -1.0, -9.0, -32768.0, 32767.0, 65535.0, -2147483648.0, 2147483647.0, 1e20, -1e20))
"""Numbers that often stand for no value, beside those of one digit again and again, such as -999 or 99.9."""

SMALL = 10.0
"""Codes below it may be values, unless their column has many others."""

_REPDIGIT = re.compile(r"-?(9{2,}(\.9+)?|([78])\3{2,})")

LEAST, MOST = 3, 8
"""How often a suspicious number occurs at least, and how many numbers at either end of a column may be codes."""

SAMPLE = 4_096
"""Values of a long column among which its ends are sought."""

SHOWN = 3
"""Columns that a note names."""

Counts = npt.NDArray[np.int_]


def is_code(value: float) -> bool:
    """Whether a number often stands for no value, wherever it occurs."""
    return value in CODES or _REPDIGIT.fullmatch(spelled(value)) is not None


def spelled(value: float) -> str:
    """A number as `--missing` takes it."""
    return f"{value:.15g}"


def suspected(values: Series) -> list[tuple[float, int]]:
    """The numbers of a column that may stand for no value, and how often each occurs.

    An extreme that occurs `LEAST` times is suspicious if it lies farther from the others than they do from one another.
    A usual code is already if it lies farther than their deviation, or is negative where they are not.

    Args:
        values: that are in the table, [n].
    """
    numbers, counts = np.unique(_outer(values), return_counts=True)
    if not _codes(numbers, counts) and _apart(numbers, counts, len(values)) is None:
        return []
    numbers, counts = np.unique(values, return_counts=True)
    codes = _codes(numbers, counts)
    others, often = np.delete(numbers, codes), np.delete(counts, codes)
    found = [(float(numbers[at]), int(counts[at])) for at in codes if _is_far(float(numbers[at]), others, often)]
    while (at := _apart(others, often, len(values))) is not None:
        found.append((float(others[at]), int(often[at])))
        others, often = np.delete(others, at), np.delete(often, at)
    return found


def _outer(values: Series) -> Series:
    """The lowest and the highest values, `MOST` different ones of each at least: few where there are many [n]."""
    some = np.unique(values[:: max(1, len(values) // SAMPLE)])
    if len(some) <= 2 * MOST:
        return values
    return np.asarray(values[(values <= some[MOST - 1]) | (values >= some[-MOST])])


def _codes(numbers: Series, counts: Counts) -> list[int]:
    """Places of usual codes among the first and the last of a column's different numbers."""
    ends = {*range(min(MOST, len(numbers))), *range(max(0, len(numbers) - MOST), len(numbers))}
    return [at for at in sorted(ends) if counts[at] >= LEAST and is_code(float(numbers[at]))]


def _apart(numbers: Series, counts: Counts, rows: int) -> int | None:
    """The end, 0 or -1, that occurs again and again farther from the other numbers than they lie from one another."""
    if len(numbers) <= 2:
        return None
    low, high = numbers[1] - numbers[0], numbers[-1] - numbers[-2]
    at, gap, rest = (0, low, numbers[-1] - numbers[1]) if low > high else (-1, high, numbers[-2] - numbers[0])
    return at if LEAST <= counts[at] < rows / 2 and gap > rest else None


def _is_far(code: float, others: Series, often: Counts) -> bool:
    """Whether a code lies outside a column's other numbers, each of which occurs so often, and far from them."""
    if len(others) < 2 or others[0] <= code <= others[-1] or (abs(code) < SMALL and len(others) <= SMALL):
        return False
    deviation = float(np.sqrt(np.cov(others, fweights=often, ddof=0)))
    gap = float(max(others[0] - code, code - others[-1]))
    return gap > deviation or (code <= -SMALL and float(others[0]) >= 0)


def notes(columns: Sequence[str], values: Series, real: npt.NDArray[np.bool_]) -> list[str]:
    """A line for each suspicious number, the last one with what to do.

    Args:
        columns: their names.
        values: [n, F].
        real: which are in the table, [n, F].
    """
    where: dict[float, list[tuple[str, int]]] = {}
    for name, column, there in zip(columns, values.T, real.T, strict=True):
        for value, count in suspected(column if there.all() else column[there]):
            where.setdefault(value, []).append((f"'{one_line(name, 60)}'", count))
    lines = []
    for value, found in where.items():
        names = ", ".join(name for name, _ in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        of = f"column {names}" if len(found) == 1 else f"columns {names}{more}"
        times = sum(count for _, count in found)
        lines.append(f"{of}: {spelled(value)} occurs {times:,} times, far from all other values")
    if lines:
        stands = "it stands" if len(lines) == 1 else "these stand"
        lines[-1] += f"; if {stands} for no value, give --missing={','.join(map(spelled, where))}"
    return lines
