# ruff: noqa: E501
"""Further files of each kind that people bring: other delimiters, languages, dates, headers, encodings and names."""

import codecs
import datetime
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tuirnn import cli
from tuirnn.cli import REPLACED, _replaced
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tables.encodings import decode
from tuirnn.tables.given import Given
from tuirnn.tables.table import read
from tuirnn.tasks import sources, texts
from tuirnn.tasks.forecast import reading
from tuirnn.tasks.look import Seen, look_at

ROWS = 96
FIRST = datetime.datetime(2019, 3, 4)


def wave(i: int, period: int = 7) -> float:
    return 20 + 5 * math.sin(2 * math.pi * i / period) + (i * 37 % 11) / 10


def comma(text: str) -> str:
    """Signs of numbers as most of Europe writes them."""
    return text.translate(str.maketrans(",.", ".,"))


def at(i: int, form: str, **step: int) -> str:
    return (FIRST + i * datetime.timedelta(**(step or {"days": 1}))).strftime(form)


def table(header: str, row: Callable[[int], str], rows: int = ROWS) -> str:
    return "\n".join([*header.splitlines(), *(row(i) for i in range(rows))]) + "\n"


def seen(path: Path, text: str, encoding: str = "utf-8", **settings: str) -> Seen:
    path.write_bytes(text.encode(encoding))
    return look_at(str(path), settings)


# ── series ───────────────────────────────────────────────────────────────────────

FRENCH = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()  # noqa: SIM905
GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()  # noqa: SIM905
SPANISH = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()  # noqa: SIM905
MONTHLY = "2010-01-01 to 2017-12-01, step 1 month"
WEEKLY = "2014-12-29 to 2016-10-24, step 1 week"

SERIES: dict[str, tuple[str, list[str]]] = {
    # table, what is told; "to learn" names its columns
    "French months": (
        table("Mois;CA HT;Quantité", lambda i: f"{FRENCH[i % 12]} {2010 + i // 12};{comma(f'{wave(i):.2f}')} €;{i % 5}"),
        ["column 'Mois'", MONTHLY, "to learn: CA HT, Quantité"],
    ),
    "German months": (
        table("Monat;Umsatz EUR", lambda i: f"{GERMAN[i % 12]} {2010 + i // 12};{comma(f'{1e4 + wave(i):,.2f}')} €"),
        ["column 'Monat'", MONTHLY, "'.' between thousands", "to learn: Umsatz EUR"],
    ),
    "Spanish days": (
        table("Fecha|Ventas", lambda i: f"{1 + i % 28} de {SPANISH[i // 28]} de 2021|{comma(f'{wave(i):.1f}')}"),
        ["column 'Fecha', 2021-01-01", "to learn: Ventas"],
    ),
    "months before years": (
        table("Period,Value", lambda i: f"{1 + i % 12:02}/{2010 + i // 12},{wave(i, 12):.1f}"),
        ["column 'Period'", MONTHLY, "to learn: Value"],
    ),
    "months as numbers": (
        table("month\tvalue", lambda i: f"{2010 + i // 12}{1 + i % 12:02}\t{wave(i, 12):.1f}"),
        ["column 'month'", MONTHLY, "to learn: value"],
    ),
    "quarters first": (
        table("Quartal;BIP", lambda i: f"Q{1 + i % 4}/{1990 + i // 4};{comma(f'{wave(i):.1f}')}"),
        ["1990-01-01 to 2013-10-01, step 1 quarter", "to learn: BIP"],
    ),
    "quarters in words": (
        table("Zeit;BIP", lambda i: f"{1 + i % 4}. Quartal {1990 + i // 4};{comma(f'{wave(i):.1f}')}"),
        ["column 'Zeit', 1990-01-01 to 2013-10-01, step 1 quarter", "to learn: BIP"],
    ),
    "weeks of ISO 8601": (
        table("week,visits", lambda i: f"{2015 + (i >= 53)}-W{1 + i % 53:02},{wave(i):.0f}"),
        ["column 'week'", WEEKLY, "to learn: visits"],
    ),
    "weeks and years apart": (
        table("KW;Jahr;Absatz", lambda i: f"{1 + i % 53};{2015 + i // 53};{comma(f'{wave(i):.1f}')}"),
        ["column 'Jahr KW'", WEEKLY, "to learn: Absatz"],
    ),
    "weeks with a word": (
        table("semaine,n", lambda i: f"KW {1 + i % 53}/{2015 + i // 53},{wave(i):.0f}"), [WEEKLY, "to learn: n"]
    ),
    "Chinese days": (
        table("日期,销量", lambda i: f"{at(i, '%Y')}年{int(at(i, '%m'))}月{int(at(i, '%d'))}日,{wave(i):.0f}"),
        ["column '日期', 2019-03-04 to 2019-06-07, step 1 day", "to learn: 销量"],
    ),
    "hours as words": (
        table("Datum;Uhrzeit;NO2", lambda i: f"{at(i, '%d.%m.%Y;%H:%M', hours=1)} Uhr;{comma(f'{wave(i, 24):.1f}')}"),
        ["column 'Datum Uhrzeit', 2019-03-04 to 2019-03-07 23:00:00, step 1 hour", "to learn: NO2"],
    ),
    "hours that tell day and month apart": (
        table("Timestamp,Reading", lambda i: f"{at(i, '%m/%d/%Y %I:%M:%S %p', hours=1)},{wave(i, 24):.2f}"),
        ["2019-03-04 to 2019-03-07 23:00:00, step 1 hour", "to learn: Reading"],
    ),
    "hours as one number": (
        table("station;MESS_DATUM;TT_TU", lambda i: f"44;{at(i, '%Y%m%d%H', hours=1)};{wave(i):>7.1f}"),
        ["column 'MESS_DATUM', 2019-03-04 to 2019-03-07 23:00:00, step 1 hour", "to learn: TT_TU"],
    ),
    "parts of a date": (
        table("Code,Year,Month,Day,Max,Quality", lambda i: f"X1,{at(i, '%Y,%m,%d')},{wave(i):.1f},Y"),
        ["column 'Year Month Day', 2019-03-04 to 2019-06-07, step 1 day", "to learn: Max"],
    ),
    "times of mail": (
        table("sent,size", lambda i: f"{at(i, '%a %b %d %H:%M:%S', hours=6)} +0000 2019,{wave(i):.0f}"),
        ["2019-03-04 to 2019-03-27 18:00:00, step 6 hours", "to learn: size"],
    ),
    "spans of time": (
        table("MTU (CET),Load [MW]",
              lambda i: f"{at(i, '%d.%m.%Y %H:%M', hours=1)} - {at(i + 1, '%d.%m.%Y %H:%M', hours=1)},{wave(i):.0f}"),
        ["column 'MTU (CET)', 2019-03-04 to 2019-03-07 23:00:00, step 1 hour", "to learn: Load [MW]"],
    ),
    "times without signs": (
        table("ts;status;v", lambda i: f"{at(i, '%Y%m%dT%H%M%S', minutes=5)};OK;{wave(i):.1f}"),
        ["column 'ts', 2019-03-04 to 2019-03-04 07:55:00, step 5 minutes", "to learn: v"],
    ),
    "stars for no value": (
        table("date,value", lambda i: f"{at(i, '%Y-%m-%d')},{'*' if i % 9 == 3 else f'{wave(i):.1f}'}"),
        ["11 missing values", "to learn: value"],
    ),
    "no value in German": (
        table("Datum;Wert", lambda i: f"{at(i, '%d.%m.%Y')};{'k.A.' if i % 9 == 3 else comma(f'{wave(i):.1f}')}"),
        ["11 missing values", "to learn: Wert"],
    ),
    "no value of a spreadsheet": (
        table("date;value", lambda i: f"{at(i, '%Y-%m-%d')};{'#DIV/0!' if i % 9 == 3 else f'{wave(i):.1f}'}"),
        ["11 missing values", "to learn: value"],
    ),
    "a line of sums": (
        table("date,sales", lambda i: f"{at(i, '%Y-%m-%d') if i < 95 else 'Total'},{wave(i) if i < 95 else 2000.5:.2f}"),
        ["2019-03-04 to 2019-06-06, step 1 day", "1 rows without a time in 'date' left out"],
    ),
    "titles": (
        table("Monthly report\nmade on 2021-01-01 by X\n\ndate,sales,items", lambda i: f"{at(i, '%Y-%m-%d')},{wave(i):.2f},{i % 7}"),
        ["a header, 2 lines before it left out", "to learn: sales, items"],
    ),
    "one title": (
        table("Umsatz der Filiale\nDatum;Umsatz", lambda i: f"{at(i, '%d.%m.%Y')};{comma(f'{wave(i):.2f}')}"),
        ["1 lines before it left out", "step 1 day", "to learn: Umsatz"],
    ),
    "titles with fields": (
        table("Station;Berlin;;\nLage;52,5;;\nZeit;T;RF;p", lambda i: f"{at(i, '%d.%m.%Y')};{i % 9},5;{i % 7};1{i % 8}"),
        ["to learn: T, RF, p"],
    ),
    "a line of units": (
        table("date,temp,wind\n,degC,m/s", lambda i: f"{at(i, '%Y-%m-%d')},{wave(i):.2f},{i % 9}.5"),
        ["a line of units under it left out (', degC, m/s')", "to learn: temp, wind"],
    ),
    "a line of units of all columns": (
        table("TIMESTAMP;AirTC;RH\nTS;Deg C;%", lambda i: f"{at(i, '%Y-%m-%d %H:%M', hours=1)};{wave(i):.2f};{i % 9}"),
        ["units", "step 1 hour", "to learn: AirTC, RH"],
    ),
    "accountants' negatives": (
        table("date,amount", lambda i: f'{at(i, "%Y-%m-%d")},"{f"(1,0{wave(i):.2f})" if i % 9 == 1 else f"1,0{wave(i):.2f}"}"'),
        ["',' between thousands", "2019-03-05: amount -102", "to learn: amount"],
    ),
    "a minus behind": (
        table("Datum;Betrag", lambda i: f"{at(i, '%d.%m.%Y')};{comma(f'{1000 + wave(i):,.2f}')}{'-' if i % 5 == 1 else ''}"),
        ["decimal ',', '.' between thousands", "2019-03-05: Betrag -1024", "to learn: Betrag"],
    ),
    "shares beside sizes": (
        table('"Date","Price","Vol.","Change %"', lambda i: f'"{at(i, "%b %d, %Y")}","1,1{i % 89 + 10}.25","{i % 9}.25M","0.{i % 7}1%"'),
        ["'Vol.' holds numbers with units, such as '0.25M', which must be plain numbers: left out",
         "to learn: Price, Change %"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SERIES)
def test_series_are_understood(kind: str, tmp_path: Path) -> None:
    text, told = SERIES[kind]
    found = seen(tmp_path / "t.csv", text)
    assert found.task == "forecast"
    for part in told:
        assert part in "\n".join(found.notes), (part, found.notes)


REFUSED: dict[str, tuple[str, str]] = {
    "dates as names": (
        "Province,Country,Lat," + ",".join(at(k, "%-m/%-d/%y") for k in range(40)) + "\n"
        + "".join(f",C{i},{i}.5," + ",".join(str(k * i + 3) for k in range(40)) + "\n" for i in range(30)),
        "its columns are times, 3/4/19 to 4/12/19, and each row is a series",
    ),
    "years as names, under titles": (
        '"Source","World Development",\n\n"Updated","2021-01-21",\n\n"Country","Code","1960","1961","1962","1963"\n'
        + "".join(f'"Land {i}","L{i:02}","{i}.5","{i}.6","{i}.7","{i}.8"\n' for i in range(30)),
        "its columns are times, 1960 to 1963, and each row is a series",
    ),
    "months as names": (
        "product;" + ";".join(f"{2020 + k // 12}-{1 + k % 12:02}" for k in range(24)) + "\n"
        + "".join(f"P{i};" + ";".join(str((i + k) % 9) for k in range(24)) + "\n" for i in range(20)),
        "its columns are times, 2020-01 to 2021-12, and each row is a series",
    ),
    "a year in each row": (
        table("Year," + ",".join(word[:3] for word in GERMAN), lambda i: f"{1900 + i}," + ",".join(f"{wave(i + m)}" for m in range(12))),
        "its columns are times, Jan to Dez, and each row is a series",
    ),
    "currencies before every number": (
        table("Datum;Preis", lambda i: f"{at(i, '%d.%m.%Y')};EUR {wave(i):.2f}"),
        "column 'Preis' holds numbers with units, such as 'EUR 20.00'",
    ),
    "flags behind some numbers": (
        table("date,value", lambda i: f"{at(i, '%Y-%m-%d')},{wave(i):.1f}{' e' if i % 9 == 3 else ''}"),
        "line 5: '.* e' in column 'value' is not a finite number .* declare it as missing with --missing",
    ),
    "below what can be measured": (
        table("date,no2", lambda i: f"{at(i, '%Y-%m-%d')},{'<2.0' if i % 9 == 3 else f'{wave(i):.1f}'}"),
        "line 5: '<2.0' in column 'no2' is not a finite number",
    ),
    "units behind every number": (
        table("date,temp,wind", lambda i: f"{at(i, '%Y-%m-%d')},{wave(i):.1f} °C,{i % 20} km/h"),
        "column 'temp' holds numbers with units, such as '20.0 °C', which must be plain numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_series_is_refused_with_its_reason(kind: str, tmp_path: Path) -> None:
    text, said = REFUSED[kind]
    with pytest.raises(DataError, match=said) as caught:
        seen(tmp_path / "t.csv", text)
    assert "\n" not in str(caught.value)


FULLER = {
    # tables whose later rows have more than the first one; rows that are kept
    "a first value that is missing": ("1.5,,2.5\n" + "".join(f"{i}.5,{i % 7}.25,{i % 5}.75\n" for i in range(9)) + "3,4,5\n" + "2.5,1.5,0.5\n" * 30, 41),
    "a nameless index and a word": (",x,y\n" + "".join(f"2021-01-{1 + i:02},{'error' if i == 4 else i % 5},{i}.5\n" for i in range(28)), 28),
    "an index of numbers": (",x,y\n" + "".join(f"{i},{i % 5}.5,{i % 3}.5\n" for i in range(5)) + "5,4,3\n" + "".join(f"{i},{i % 5}.5,{i % 3}.5\n" for i in range(6, 40)), 40),
}  # fmt: skip


@pytest.mark.parametrize("kind", FULLER)
def test_rows_are_not_taken_for_a_header_under_titles(kind: str) -> None:
    text, rows = FULLER[kind]
    found = read(text.encode(), "t.csv")
    assert (len(found), found.dialect.titles, found.dialect.units) == (rows, 0, "")


# ── texts with classes ───────────────────────────────────────────────────────────


def says(i: int) -> str:
    draw = random.Random(i)
    words = ("free prize call now win cash", "are you home see you at lunch")[i % 2].split()
    return " ".join(draw.choice(words) for _ in range(7)) + f" {i}"


CLASSES: dict[str, tuple[str, str, str]] = {
    # table, text column, label column
    "a constant beside the stars": (
        table("business_id,date,stars,text,type,useful",
              lambda i: f"b{i * 7919:x},{at(i, '%Y-%m-%d')},{1 + i % 5},\"{says(i)}\",review,{i % 3}"),
        "'text'", "'stars'",
    ),
    "no header, times of mail, a constant": (
        table("", lambda i: f'"{4 * (i % 2)}","{1467810369 + i}","Mon Apr 06 22:{i // 2:02}:49 PDT 2009","NO_QUERY","@x {says(i)}"'),
        "5", "1",
    ),
    "German": (
        table("Kommentar;Bewertung", lambda i: f'"{says(i)}; größer";{("gut", "schlecht")[i % 2]}'),
        "'Kommentar'", "'Bewertung'",
    ),
    "French": (
        table("étiquette\ttexte", lambda i: f"{('sport', 'politique')[i % 2]}\t{says(i)} «été»"),
        "'texte'", "'étiquette'",
    ),
    "stars of a shop": (
        table("market\tid\tproduct\tstar_rating\treview_body", lambda i: f"US\tR{i}\tThing {i % 9}\t{1 + i % 5}\t{says(i)}"),
        "'review_body'", "'star_rating'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_texts_and_classes_are_understood(kind: str, tmp_path: Path) -> None:
    text, read, label = CLASSES[kind]
    found = seen(tmp_path / "t.csv", text)
    assert found.task == "classify"
    said = "\n".join(found.notes)
    assert f"text: column {read} (" in said, said
    assert f"label: column {label} (" in said, said


# ── encodings (C1, C3, C4) ───────────────────────────────────────────────────────

CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Žena šla na trh.\n" * 8
POLISH = "Zażółć gęślą jaźń, pchnąć w tę łódź jeża lub ośm skrzyń fig.\n" * 8
RUSSIAN = "Карл у Клары украл кораллы, а Клара у Карла украла кларнет.\n" * 8
WRITTEN = {
    "cp1250": CZECH, "iso8859_2": CZECH, "iso8859-2": POLISH, "koi8_r": RUSSIAN, "cp866": RUSSIAN,
    "cp1253": "Η γρήγορη αλεπού πηδάει πάνω από τον τεμπέλη σκύλο.\n" * 8,
    "cp1254": "Hızlı kahverengi tilki tembel köpeğin üzerinden atlar. Güneş doğdu, çocuklar şarkı söyledi.\n" * 8,
    "cp1255": "השועל החום המהיר קופץ מעל הכלב העצלן ורץ אל תוך היער.\n" * 8,
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 8,
    "gb18030": "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。\n" * 8,
    "euc_kr": "나는 고양이로소이다. 이름은 아직 없다.\n" * 8,
    "iso8859_15": "Voilà l'été où l'œuvre coûte 5 € déjà.\n" * 8,
    "mac_roman": "Voilà l’été où “Noël” coûte – ça va.\n" * 8,
    "utf-16-le": RUSSIAN, "utf-16-be": CZECH,
}  # fmt: skip


@pytest.mark.parametrize("encoding", WRITTEN)
def test_texts_of_other_languages_are_read(encoding: str) -> None:
    text = WRITTEN[encoding]
    found, how, notes = decode(text.encode(encoding), "t.txt")
    assert (found, notes) == (text, [])
    assert how.told


@pytest.mark.parametrize("encoding", WRITTEN)
def test_texts_to_answer_are_read_as_those_of_training(encoding: str) -> None:
    """A file of lines, and the same as a table with another column."""
    lines = WRITTEN[encoding].splitlines()
    read = texts.read(WRITTEN[encoding].encode(encoding), "t.txt", Given())
    assert read.texts == [line.strip() for line in lines]
    assert any("detected" in note for note in read.notes)
    body = "label\ttext\n" + "".join(f"a{i % 2}\t{line}\n" for i, line in enumerate(lines))
    tabled = texts.read(body.encode(encoding), "t.tsv", Given())
    assert tabled.texts == read.texts
    assert "answering column 'text'" in tabled.notes


MARKED = ("utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("encoding", MARKED)
def test_each_file_has_a_mark_of_its_own(encoding: str, tmp_path: Path) -> None:
    """Whatever the others are in; a bad one among them is named."""
    for name, other in (("a.txt", "utf-8"), ("b.txt", encoding), ("c.txt", "cp1252"), ("d.txt", encoding)):
        (tmp_path / name).write_bytes(f"süß {name}\n".encode(other))
    read = sources.load((str(tmp_path),)).read()
    assert read.text.split("\n") == [part for name in "abcd" for part in (f"süß {name}.txt", "")]
    assert "\ufeff" not in read.text
    assert [note.split(":")[0] for note in read.notes] == ["b.txt", "c.txt", "d.txt"]
    (tmp_path / "c.txt").write_bytes(b"\x00\x01\x02\xff")
    with pytest.raises(DataError, match=r"^c\.txt is binary"):
        sources.load((str(tmp_path),)).read()


# ── names with commas and the like (E2) ──────────────────────────────────────────

NAMES = ("Load, MW", 'a "b"', "p; q", "x|y", " c ", "Größe [m²]", "1,5")


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_any_name_can_be_chosen(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    (tmp_path / "t.csv").write_text(
        table(f'date,{quoted},"z, z"', lambda i: f"{at(i, '%Y-%m-%d')},{wave(i):.2f},{i % 7}")
    )
    source = sources.Source("t.csv", (tmp_path / "t.csv").read_bytes())
    points = reading.new_series(source, DataConfig(task="forecast", columns=quoted))
    assert points.columns == (name.strip(),)


# ── terminals (F2) ───────────────────────────────────────────────────────────────

TERMINALS = {"ascii": ("für 5 €", b"f?r 5 ?"), "cp437": ("für 5 €", b"f\x81r 5 ?"), "cp1251": ("für да", b"f?r \xe4\xe0"),
             "shift_jis": ("für 猫", b"f?r \x94L"), "iso8859-2": ("für ő ▁", b"f\xfcr \xf5 ?")}  # fmt: skip


@pytest.mark.parametrize("encoding", TERMINALS)
def test_every_terminal_gets_what_it_can_show_and_is_told_once(
    encoding: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_SAID", set())
    codecs.register_error(REPLACED, _replaced)
    text, shown = TERMINALS[encoding]
    assert text.encode(encoding, REPLACED) == shown
    assert text.encode(encoding, REPLACED) == shown
    said = capsys.readouterr().err
    assert said.count("each character that it lacks is written as '?'") == 1
    assert "charmap" not in said
