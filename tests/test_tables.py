"""Tables and encodings as people bring them: what is found out, and what is asked."""

import codecs
import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.errors import DataError
from tuirnn.escaping import split_names
from tuirnn.tables import cells, times
from tuirnn.tables.dialect import Dialect, former
from tuirnn.tables.encodings import decode
from tuirnn.tables.given import Given
from tuirnn.tables.table import Table, read

ROWS = 40


def written(header: str, row: str, rows: int = ROWS) -> str:
    """A table whose rows are `row` with its number in place of {i} and a wave in place of {x:…}."""
    body = (row.format(i=i, x=20 + 10 * math.sin(i / 5), day=1 + i % 28, month=1 + i // 28) for i in range(rows))
    return "\n".join([*([header] if header else []), *body]) + "\n"


def table(text: str | bytes, **given: object) -> Table:
    return read(text.encode() if isinstance(text, str) else text, "t.csv", Given(**given))  # type: ignore[arg-type]


# ── encodings ────────────────────────────────────────────────────────────────────

GERMAN = "Müller aß früh süße Brötchen für zwölf Gäste.\n"
RUSSIAN = "Карл у Клары украл кораллы, а Клара у Карла украла кларнет.\n"
POLISH = "Zażółć gęślą jaźń, pchnąć w tę łódź jeża lub ośm skrzyń fig.\n"


@pytest.mark.parametrize(
    ("text", "encoding", "marked"),
    [
        ("plain\n", "utf-8", False),
        (GERMAN, "utf-8", False),
        (GERMAN, "utf-8", True),
        (GERMAN, "utf-16-le", True),
        (GERMAN, "utf-16-be", True),
        (GERMAN, "utf-16-le", False),
        (GERMAN, "utf-32-le", True),
        (GERMAN, "cp1252", False),
        ("müller\nbrückner\n", "cp1252", False),
        ("“so”, she said – 5 €\n", "cp1252", False),
        (RUSSIAN * 4, "cp1251", False),
        (POLISH * 8, "cp1250", False),
    ],
)
def test_encodings_are_found(text: str, encoding: str, marked: bool) -> None:
    data = (codecs.encode("\ufeff", encoding) if marked else b"") + text.encode(encoding)
    found, how, notes = decode(data, "t.txt")
    assert found == text
    assert notes == []
    assert (how.told == "") == (encoding == "utf-8" and not marked)
    again, how, _ = decode(data, "t.txt", encoding)
    assert (again, how.how) == (text, "given")


def test_encodings_that_do_not_fit_are_refused() -> None:
    for data, encoding, said in (
        (b"ab\0\1\2cd\xff", "", "is binary"),
        (GERMAN.encode("utf-16-le"), "utf-8", "is not in the encoding utf-8"),
        (b"\xff\xfea", "", "begins with the byte order mark of utf-16-le"),
        (GERMAN.encode() * 20 + b"caf\xe9\n", "", "except for 1 places, the first in line 21"),
        (b"x", "utf-9", "'utf-9' is unknown"),
    ):
        with pytest.raises(DataError, match=said):
            decode(data, "t.txt", encoding)
    text, _, notes = decode(GERMAN.encode() * 20 + b"caf\xe9\n", "t.txt", "utf-8")
    assert text.endswith("caf�\n")
    assert notes == ["t.txt: 1 bytes have no character in utf-8, read as �"]


# ── dialects ─────────────────────────────────────────────────────────────────────

DIALECTS: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    # text, names, first row
    "commas": (written("a,b", "{i},{x:.2f}"), ("a", "b"), ["0", "20.00"]),
    "semicolons, a comma in the header": (
        written("Datum;Last, kW", "{day:02}.{month:02}.2021;{x:.1f}").replace(".0\n", ",0\n"),
        ("Datum", "Last, kW"),
        ["01.01.2021", "20,0"],
    ),
    "a tab in a quoted heading": (
        written('"text\there",label', "good {i},pos"),
        ("text\there", "label"),
        ["good 0", "pos"],
    ),
    "sep=": ("sep=;\n" + written("a;b", "{i};{x:.2f}"), ("a", "b"), ["0", "20.00"]),
    "pipes": (written("a|b,c", "{i}|{x:.2f}"), ("a", "b,c"), ["0", "20.00"]),
    "blanks": (written("a   b", "{i}  {x:.2f} "), ("a", "b"), ["0", "20.00"]),
    "one column": (written("value", "{x:.2f}"), ("value",), ["20.00"]),
    "one column of decimal commas": (written("value", "{i},5"), ("value",), ["0,5"]),
    "a delimiter at the end of rows": (written("a;b;;", "{i};{x:.2f};;"), ("a", "b", "", ""), ["0", "20.00", "", ""]),
    "a delimiter at the end of rows but the header": (
        written("a,b", "{i},{x:.2f},"),
        ("a", "b", ""),
        ["0", "20.00", ""],
    ),
    "names of rows": (written('"a","b"', '"r{i}",{i},{x:.2f}'), ("", "a", "b"), ["r0", "0", "20.00"]),
    "comments": ("# made by hand\n\n" + written("a,b", "{i},{x:.2f}"), ("a", "b"), ["0", "20.00"]),
    "quoted newlines": (written("text,label", '"one\nand {i}",pos'), ("text", "label"), ["one\nand 0", "pos"]),
    "quoted delimiters": (written("text,label", '"one, and ""{i}""",pos'), ("text", "label"), ['one, and "0"', "pos"]),
    "stray quotes": (
        written("text\tlabel", "word {i}\tpos").replace("word 9\t", '"she said\t').replace("word 30\t", 'it is so"\t'),
        ("text", "label"),
        ["word 0", "pos"],
    ),
    "a quote in a text": (
        written("text,label", '"5"" pipe" of {i},pos'),
        ("text", "label"),
        ['"5"" pipe" of 0', "pos"],
    ),
    "Windows lines": (written("a,b", "{i},{x:.2f}").replace("\n", "\r\n"), ("a", "b"), ["0", "20.00"]),
    "old Macintosh lines": (written("a,b", "{i},{x:.2f}").replace("\n", "\r"), ("a", "b"), ["0", "20.00"]),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_are_found(name: str) -> None:
    text, names, first = DIALECTS[name]
    found = table(text)
    assert found.names == names
    assert [found.cells(place, slice(0, 1))[0] for place in range(len(names))] == first
    assert len(found) == ROWS, "no row is lost"
    assert found.notes == ()
    assert Dialect.from_json(found.dialect.to_json()).told == found.dialect.told
    again = read(text.encode(), "t.csv", known=Dialect.from_json(found.dialect.to_json()))
    assert again.cells(0) == found.cells(0)


@settings(deadline=None)  # the first table imports pyarrow
@given(
    cells_=st.lists(st.tuples(*[st.text("ab ,;\t\n\"'1.é", max_size=8)] * 2), min_size=12, max_size=30),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_is_quoted_properly_comes_back(cells_: list[tuple[str, str]], delimiter: str) -> None:
    quoted = [
        delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [("text", "label"), *cells_]
    ]
    try:
        found = table("\n".join(quoted) + "\n", delimiter=delimiter, header="yes")
    except DataError as error:
        assert "a quote opens here" in str(error)
        return
    assert list(zip(found.cells(0), found.cells(1), strict=True)) == cells_


def test_odd_rows_are_counted_or_refused() -> None:
    text = written("a,b", "{i},{x:.2f}")
    lines = text.splitlines()
    found = table("\n".join([*lines[:10], "7", *lines[10:], "1,2,3"]))
    assert found.notes == ("2 rows left out that do not have 2 fields: line 11, 43",)
    assert len(found) == ROWS
    assert found.line(8) == 10
    assert found.line(9) == 12, "the row after the one that was left out"
    with pytest.raises(DataError, match="line 11: 1 fields where the header has 2; 5 of 45 rows have this fault"):
        table("\n".join([*lines[:10], *["7"] * 5, *lines[10:]]))


def test_a_quote_that_swallows_rows_is_refused() -> None:
    text = written("text,label", "one {i},pos").replace("one 9,", '"she said,').replace("one 20,", 'and so on",')
    text = text.replace("one 30,", '"thirty, or so",')
    with pytest.raises(DataError, match="line 11: a quote opens here and closes in line 22, so that 10 whole rows"):
        table(text)


def test_what_has_two_readings_is_asked() -> None:
    either = written("", "word {i}|and {i};so on")
    with pytest.raises(DataError, match="--delimiter"):
        table(either)
    assert table(either, delimiter=";", header="no").dialect.delimiter == ";"
    for mistake in ("::", '"'):
        with pytest.raises(DataError, match="--delimiter takes one character"):
            table(either, delimiter=mistake)
    assert table(written("a\tb", "{i}\t{x:.1f}"), delimiter="tab").names == ("a", "b")


# ── headers ──────────────────────────────────────────────────────────────────────

HEADERS = {
    "years over decimals": (written("2019,2020", "{x:.3f},{x:.3f}"), True),
    "counts over decimals": (written("0,1", "{x:.3f},{x:.3f}"), True),
    "years over other whole numbers": (written("2019,2020", "{x:.0f},{i}"), True),
    "stations over decimals": (written("10381,10384", "{x:.1f},{x:.1f}"), True),
    "a nameless index": (written(",0", "{i},{x:.2f}"), True),
    "numbers alone": (written("", "{i},{x:.2f}"), False),
    "whole numbers alone": ("".join(f"{i % 7},{i % 5}\n" for i in range(30)), False),
    "labels again": (written("", "pos\tgood {i}") + written("", "neg\tbad {i}"), False),
    "words over labels": (written("quality\tremark", "pos\tgood {i}") + written("", "neg\tbad {i}"), True),
    "dates alone": (written("", "2021-{month:02}-{day:02},{x:.1f}"), False),
    "a word over dates": (written("when,x", "2021-{month:02}-{day:02},{x:.1f}"), True),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_told_from_values(name: str) -> None:
    text, expected = HEADERS[name]
    found = table(text)
    assert found.named == expected
    assert len(found) == len(text.splitlines()) - expected


def test_numbers_that_may_be_names_are_asked() -> None:
    text = written("0,1", "{i},{x:.0f}")
    with pytest.raises(DataError, match="may be names or values; say which with --header yes or --no-header"):
        table(text)
    assert table(text, header="yes").names == ("0", "1")
    assert len(table(text, header="no")) == ROWS + 1
    assert table(text, names=("0",)).named
    assert not table(text, names=("a", "b")).named


# ── numbers ──────────────────────────────────────────────────────────────────────


def numbers(column: Iterable[str], **given: object) -> list[float]:
    text = "a;b\n" + "".join(f"{cell};x\n" for cell in column)
    found = table(text, **given).numbers(0)
    assert found.strange is None, found.strange
    return found.values.tolist()


NUMBERS = {
    "points": (["1.5", "-2", "+3.25", ".5", "1e3"], [1.5, -2, 3.25, 0.5, 1000]),
    "commas": (["1,5", "-2", "3,25", "1,5e3"], [1.5, -2, 3.25, 1500]),
    "German": (["1.234,5", "12,25", "1.234.567", "7"], [1234.5, 12.25, 1234567, 7]),
    "English": (["1,234.5", "12.25", "1,234,567", "7"], [1234.5, 12.25, 1234567, 7]),
    "French": (["1 234,5", "12,25", "1\u202f234\u202f567,0", "1\u00a0000"], [1234.5, 12.25, 1234567, 1000]),
    "Swiss": (["1'234.5", "12.25", "1'234'567", "7"], [1234.5, 12.25, 1234567, 7]),
    "money and shares": (["$1.5", "-$2.25", "3.5 %", "4.25€"], [1.5, -2.25, 3.5, 4.25]),
    "three places, a nought before": (["0,125", "12,250", "1,500"], [0.125, 12.25, 1.5]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read_as_they_are_written(name: str) -> None:
    written_, values = NUMBERS[name]
    assert numbers(written_ * 3) == values * 3


def test_a_sign_before_three_digits_is_asked() -> None:
    either = ["1,234", "5,678", "12,345"]
    with pytest.raises(DataError, match="may begin decimal places or separate thousands; say which"):
        numbers(either)
    assert numbers(either, decimal=",") == [1.234, 5.678, 12.345]
    assert numbers(either, decimal=".") == [1234, 5678, 12345]
    with pytest.raises(DataError, match="--decimal"):
        numbers(["1.234", "5.678"])  # in a table of semicolons
    with pytest.raises(DataError, match="--decimal"):
        numbers(["1,5", "2.5"])


def test_cells_that_are_no_numbers_are_named() -> None:
    found = table("a;b\n1,5;x\n2.5;x\n\n3,5;x\n", decimal=",").numbers(0)
    assert found.strange == (3, "2.5")
    assert found.count == 2
    found = table("a,b\n1,x\ninf,x\n1e300,x\n,x\nNA,x\n", header="yes").numbers(0)
    assert found.strange == (3, "inf")
    assert np.isnan(found.values).tolist() == [False, True, True, True, True]
    assert np.isnan(table("a,b\n1,x\n-200,x\n", missing=("-200",)).numbers(0).values).tolist() == [False, True]


# ── times ────────────────────────────────────────────────────────────────────────

MOMENT = 1_612_137_600.0  # 2021-02-01

DATES = {
    "2021-02-01": 0, "2021/02/01": 0, "2021-02": 0, "2021-02-01T06:30:15": 23_415, "2021-02-01 06:30:15.5Z": 23_415.5,
    "2021-02-01 06:30:00+01:00": 19_800, "13.02.2021": 12 * 86_400, "2/13/2021": 12 * 86_400,
    "2/13/2021 6:30 PM": 12 * 86_400 + 66_600, "2/13/2021 12:30 AM": 12 * 86_400 + 1_800,
    "13.2.21 6:30": 12 * 86_400 + 23_400, "1 Feb 2021": 0, "01-Feb-21": 0, "Feb 1, 2021": 0, "February 1st, 2021": 0,
    "Feb 2021": 0, "2021M02": 0, "2021Q1": -31 * 86_400,
}  # fmt: skip


@pytest.mark.parametrize("written_", DATES)
def test_dates_are_read(written_: str) -> None:
    found = table(f"t;x\n{written_};1\n{written_};2\n")
    assert times.is_of_times(found, 0)
    assert times.dates(found, 0).tolist() == [MOMENT + DATES[written_]] * 2


def test_day_and_month_are_told_apart_or_asked() -> None:
    def found(days: Iterable[str], order: str = "") -> list[float]:
        return times.dates(table("t;x\n" + "".join(f"{day};1\n" for day in days)), 0, order).tolist()

    daily = [f"{day:02}/01/2021" for day in range(1, 13)]
    assert found([*daily, "13/01/2021"])[0] == 1_609_459_200
    with pytest.raises(DataError, match="--date-order dmy or mdy"):
        found(daily)  # twelve days of January, or the first of each month
    assert np.diff(found(daily, "dmy")).tolist() == [86_400] * 11
    assert found(["01/02/2021", "02/02/2021", "05/02/2021", "06/02/2021"], "mdy")[1] > found(["01/02/2021"], "mdy")[0]
    assert np.isnan(found(["30.02.2021", "01.03.2021"])).tolist() == [True, False]


def test_kinds_of_cells() -> None:
    for cell, kind in {
        "": cells.NOTHING, " NA ": cells.NOTHING, "-": cells.NOTHING, "12": cells.NUMBER, "1.234.567,8": cells.NUMBER,
        "12 %": cells.NUMBER, "2021-01-31": cells.DATE, "12:30": cells.DATE, "18.00.00": cells.DATE,
        "1.2.3.4": cells.TEXT, "a1": cells.TEXT, "12 apples": cells.TEXT,
    }.items():  # fmt: skip
        assert cells.kind(cell) == kind, cell


def test_names_with_commas_stand_in_quotes() -> None:
    assert split_names('a, "Load, MW" ,c') == ("a", "Load, MW", "c")
    assert split_names('"say ""so"""') == ('say "so"',)
    assert split_names("") == ()


def test_the_former_dialect_is_judged_by_the_first_line() -> None:
    assert former(b"Datum;Last, kW\n1;2\n").delimiter == ","
    assert former(b"a;b\n1;2\n").names == ("a", "b")
    assert not former(b"1,2\n3,4\n").header
