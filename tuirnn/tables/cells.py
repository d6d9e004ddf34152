"""What a cell of a table is: missing, a number, a date, or text; and how a table writes its numbers. No library."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tuirnn.errors import DataError, one_line

MISSING = frozenset(
    """
    na n/a n.a. nan null none ? - -- . .. ... * ** #n/a <na> nat nil k.a. n.d. missing #div/0! #value! #ref! #num!
    """.split()  # noqa: SIM905
) | {""}
"""What stands for no value, in lower case."""

SIGNS = "$€£¥%"
"""What may stand around a number and is passed over."""

_AROUND = re.compile(rf"^\s*([+-]?)\s*[{SIGNS}]?\s*(.*?)\s*[{SIGNS}]?\s*$", re.DOTALL)
_NEGATIVE = re.compile(r"\s*(?:\(([^()+-]*\d[^()+-]*)\)|([^()+-]*\d)-)\s*")
"""A number below zero, as accountants and their programs write it."""

_PLAIN = re.compile(r"[+-]?(\d+|\d*[.,]\d+|\d+[.,])([eE][+-]?\d+)?")
_GROUPED = {
    group: re.compile(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+([.,]\d+)?")
    for group, mark in ((",", ","), (".", r"\."), (" ", "[ \u00a0\u202f]"), ("'", "['’]"))
}
BLANKS = " \u00a0\u202f"
"""Blanks that may separate thousands: plain, no-break, narrow."""

MONTHS = {
    beginning: month
    for month, beginnings in enumerate(
        (
            "jan jän ene gen", "feb fev fév", "mar mär mrt maa", "apr abr avr", "may mai mag maj mei", "jun juin giu",
            "jul juil lug", "aug ago aoû aou", "sep set", "oct okt out ott", "nov", "dec dez déc dic",
        ),
        1,
    )
    for beginning in beginnings.split()
}  # fmt: skip
"""How the names of months begin, in languages that write them with Latin letters."""

_MONTH = rf"(?:{'|'.join(MONTHS)})[^\W\d_]*\.?"
_DAY = r"(0?[1-9]|[12]\d|3[01])"
_CLOCK = r"\d{1,2}[:.h]\d{2}([:.]\d{2}([.,]\d+)?)?(\s*[ap]\.?m\.?)?"
_DATE = re.compile(
    rf"""(
    \d{{4}}[-/]\d{{1,2}}                         # 2021-01; 2021.01 is a number like any other
  | \d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}          # 2021-01-31
  | {_DAY}[-/.]{_DAY}[-/.](\d{{4}}|\d{{2}})       # 31.01.2021, 1/31/21
  | (0?[1-9]|1[0-2])[-/]\d{{4}}                   # 1/2021
  | \d{{4}}[-\s:/]?[MQ]\d{{1,2}}                   # 2021M01, 2021Q1
  | Q[1-4][-\s/.]*\d{{4}} | [1-4]\.?\s?Q\w*[-\s/.]*\d{{4}}  # Q1/2021, 1. Quartal 2021
  | \d{{4}}[-\s/]?W\d{{1,2}} | K?W\s?\d{{1,2}}[-\s/.]+\d{{4}}  # 2021-W05, KW 5/2021
  | \d{{4}}[年년]\s?\d{{1,2}}[月월](\s?\d{{1,2}}[日일])?
  | \d{{1,2}}[-\s./]+(de\s)?{_MONTH}[-\s./,]*(de\s)?\d{{2,4}}  # 31 Jan 2021, 31-Jan-21
  | {_MONTH}\s*\d{{1,2}}(st|nd|rd|th)?,?\s+\d{{4}} # Jan 31, 2021
  | [a-z]{{3}},?\s{_MONTH}\s+\d{{1,2}}\s\d\d:\d\d:\d\d\s([+-]\d{{4}}|[A-Z]{{3,4}})?\s?\d{{4}}  # of ctime and mail
  | [a-z]{{3}},\s\d{{1,2}}\s{_MONTH}\s\d{{4}}\s\d\d:\d\d:\d\d\s([+-]\d{{4}}|[A-Z]{{3,4}})
  | {_MONTH}[-\s/](de\s)?\d{{4}} | \d{{4}}[-\s/]{_MONTH}  # Jan 2021, 2021 Jan
  | (19|20)\d{{6}}T\d{{4}}(\d{{2}})?
    )([T\s,]+{_CLOCK})?(\s*(z|utc|gmt|[+-]\d{{2}}:?\d{{2}}))?""",
    re.IGNORECASE | re.VERBOSE,
)
_TIME_OF_DAY = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s*([ap]\.?m\.?|uhr|h))?|[012]\d\.[0-5]\d\.[0-5]\d", re.IGNORECASE
)
_MEASURE = re.compile(r"([A-Z]{2,3}|[^\w\s()+-])?\s?[+-]?[\d.,' ]*\d[ -]?(([^\W\d]|[°µ%*])\S{0,6})?")

_SPAN = re.compile(r"\s+[-–]\s+\d.*$")
"""What follows the begin of a span of time."""

NUMBER, DATE, TEXT, NOTHING = "number", "date", "text", "nothing"

_NUMBERS_IN_WORDS = frozenset(("inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"))


def bare(cell: str) -> str:
    """A cell without blanks and without the signs that may stand around a number; -1.5 where it is (1.5) or 1.5-."""
    if negative := _NEGATIVE.fullmatch(cell):
        return "-" + bare(negative[1] or negative[2])
    found = _AROUND.match(cell)
    return found[1] + found[2] if found else cell.strip()


@lru_cache(maxsize=2**15)  # most cells of a sample are judged several times
def kind(cell: str, missing: frozenset[str] = MISSING) -> str:
    """What a cell is; a number under any convention is one."""
    stripped = cell.strip()
    if stripped.lower() in missing:
        return NOTHING
    if is_number(stripped):
        return NUMBER
    if is_date(stripped) or _TIME_OF_DAY.fullmatch(stripped):
        return DATE
    return TEXT


def is_number(cell: str) -> bool:
    """Whether a cell is a number as some convention writes it."""
    number = bare(cell)
    return bool(_PLAIN.fullmatch(number) or any(group.fullmatch(number) for group in _GROUPED.values())) or (
        number.lower() in _NUMBERS_IN_WORDS
    )


def is_date(cell: str) -> bool:
    """Whether a cell is a date, with or without a time, or a span of time from one date to another."""
    return bool(_DATE.fullmatch(_SPAN.sub("", cell.strip())))


def is_time_of_day(cell: str) -> bool:
    """Whether a cell is a time without a date."""
    return bool(_TIME_OF_DAY.fullmatch(cell.strip()))


def is_measure(cell: str) -> bool:
    """Whether a cell is a number with a unit, such as '18.2 °C', '35.2M' or 'EUR 5', or one grouped in other ways."""
    stripped = cell.strip()
    return kind(stripped) == TEXT and bool(_MEASURE.fullmatch(stripped))


# ── how numbers are written ───────────────────────────────────────────────────


@dataclass(frozen=True)
class Convention:
    """How numbers are written.

    Attributes:
        decimal: '.' or ','; empty: both readings are plausible.
        thousands: what separates groups of three digits: '', ',', '.', ' ' or "'".
        example: a cell that shows it, or that has two readings.
    """

    decimal: str = "."
    thousands: str = ""
    example: str = ""

    def certain(self, name: str) -> "Convention":
        """This convention; raises DataError where there are two."""
        if self.decimal:
            return self
        raise DataError(
            f"{name}: the sign in '{one_line(self.example, 40)}' may begin decimal places or separate thousands; say "
            "which is the decimal sign with --decimal , or --decimal ."
        )


def convention(cells: Iterable[str], *, semicolons: bool = False) -> Convention:
    """How the numbers among some cells are written.

    One sign followed by exactly three digits says nothing by itself; any other number of digits, both signs in one
    number, or one of them twice, says it all.

    Args:
        cells: of the columns that hold numbers.
        semicolons: whether ';' delimits the table, as programs do where ',' is the decimal sign.
    """
    strong: Counter[str] = Counter()  # decimal signs that are certain
    weak: Counter[str] = Counter()  # signs that may be either
    groups: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for cell in cells:
        number = bare(cell)
        if any(ch in number for ch in BLANKS) and _GROUPED[" "].fullmatch(number):
            groups[" "] += 1
        elif ("'" in number or "’" in number) and _GROUPED["'"].fullmatch(number):
            groups["'"] += 1
        number = number.translate(_NO_BLANKS)
        signs = [ch for ch in number if ch in ".,"]
        if not signs:
            continue
        if len(set(signs)) == 2:
            strong[signs[-1]] += 1
            groups[signs[0]] += 1
        elif len(signs) > 1:
            strong[_OTHER[signs[0]]] += 1
            groups[signs[0]] += 1
        else:
            before, after = re.split("[.,]", number.lstrip("+-"))
            certain = len(after) != 3 or not after.isdigit() or not 1 <= len(before) <= 3 or before[0] == "0"
            (strong if certain else weak)[signs[0]] += 1
        shown.setdefault(signs[-1], cell.strip())
    return _judged(strong, weak, groups, shown, semicolons)


def _judged(
    strong: Counter[str], weak: Counter[str], groups: Counter[str], shown: dict[str, str], semicolons: bool
) -> Convention:
    thousands = next((sign for sign in (" ", "'") if groups[sign]), "")
    if len(strong) == 2:
        return Convention("", "", shown.get(",", ""))
    if strong:
        (decimal,) = strong
        other = _OTHER[decimal]
        return Convention(decimal, thousands or (other if groups[other] or weak[other] else ""), shown.get(decimal, ""))
    if not weak:
        return Convention(".", thousands)
    if weak.keys() == {"."} and not semicolons:
        return Convention(".", thousands, shown["."])
    return Convention("", "", shown.get(",", shown.get(".", "")))


_NO_BLANKS = {ord(ch): None for ch in (*BLANKS, "'", "’")}
_OTHER = {".": ",", ",": "."}
