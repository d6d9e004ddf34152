"""Tables in the shape of public ones, as a person would bring them; made here, small."""

import math
import random
from collections.abc import Callable
from datetime import datetime, timedelta

ROWS = 60


def _words(rng: random.Random, kind: int) -> str:
    own = (("free prize call now win cash", "are you home see you at lunch")[kind]).split()
    return " ".join(rng.choice(own) for _ in range(6))


def _days(number: int, form: str, **step: int) -> list[str]:
    first = datetime(2021, 1, 4)
    return [(first + number * timedelta(**(step or {"days": 1}))).strftime(form) for number in range(number)]


def _wave(at: int, period: int = 7) -> float:
    return 20 + 5 * math.sin(2 * math.pi * at / period) + (at * 37 % 11) / 10


def spam() -> str:
    """SMS Spam Collection: a tab, no header, the label first; quotes are text."""
    rng = random.Random(1)
    rows = [f"{('spam', 'ham')[at % 2]}\t{_words(rng, at % 2)}" for at in range(ROWS)]
    rows[5] = 'ham\t"are you home see you'
    return "\n".join(rows) + "\n"


def reviews() -> str:
    """IMDB reviews: quoted texts with commas, quotes, tags and line breaks; the sentiment last."""
    rng = random.Random(2)
    kinds = ("positive", "negative")
    rows = [f'"{_words(rng, at % 2)}, {at} ""so"" <br /><br />\nthe end",{kinds[at % 2]}' for at in range(ROWS)]
    return "review,sentiment\n" + "\n".join(rows) + "\n"


def air_quality() -> str:
    """Air Quality (UCI): ';', decimal comma, date and time apart with dots, -200 for missing, two empty columns at the
    end, and rows of nothing."""
    days = zip(_days(ROWS, "%d/%m/%Y", hours=11), _days(ROWS, "%H.00.00", hours=11), strict=True)
    rows = []
    for at, (day, hour) in enumerate(days):
        co = "-200" if at % 9 == 4 else f"{_wave(at) / 10:.1f}"
        rows.append(f"{day};{hour};" + f"{co};{round(_wave(at, 24) * 50)};{_wave(at, 24):.1f};;".replace(".", ","))
    return "Date;Time;CO(GT);PT08.S1(CO);T;;\n" + "\n".join(rows) + "\n" + ";;;;;;\n" * 4


def household() -> str:
    """Household power (UCI): ';', points as decimals, '?' for missing, day first."""
    days = zip(_days(ROWS, "%d/%m/%Y", hours=7), _days(ROWS, "%H:%M:%S", hours=7), strict=True)
    rows = [f"{day};{hour};" + ("?;?" if at % 13 == 5 else f"0.{at * 37 % 900:03};{230 + _wave(at) / 10:.3f}")
            for at, (day, hour) in enumerate(days)]  # fmt: skip
    return "Date;Time;Global_reactive_power;Voltage\n" + "\n".join(rows) + "\n"


def stocks() -> str:
    """Prices as exchanges list them: newest first, dollar signs, thousands in quotes, weekends missing."""
    first, rows = datetime(2021, 1, 4), []
    for at in range(ROWS):
        day = first + timedelta(days=at + 2 * (at // 5))
        close = 1180 + 3 * _wave(at)
        rows.append(f'{day:%m/%d/%Y},"${close:,.2f}","{1_000_000 + at * 7919 % 4001:,}","${close - 3:,.2f}"')
    return "Date,Close/Last,Volume,Open\n" + "\n".join(reversed(rows)) + "\n"


def weather() -> str:
    """Daily weather: an index without a name, ISO dates, an empty cell, -9999 for missing."""
    rows = [f"{at},{day},{'' if at == 7 else '-9999' if at % 17 == 3 else f'{_wave(at):.1f}'},{_wave(at, 30) - 5:.1f}"
            for at, day in enumerate(_days(ROWS, "%Y-%m-%d"))]  # fmt: skip
    return ",date,tmax,tmin\n" + "\n".join(rows) + "\n"


def ucr() -> str:
    """The UCR archive: a class number, then the points of a series, tabs, no header."""
    rows = ["\t".join([str(1 + at % 2), *(f"{math.sin(t / (2 + at % 2)) + at % 7 / 50:.5f}" for t in range(24))])
            for at in range(ROWS)]  # fmt: skip
    return "\n".join(rows) + "\n"


def sales() -> str:
    """Long format: a row for each shop and day."""
    rows = [f"{day},{shop},{_wave(at + 3 * number):.0f}" for at, day in enumerate(_days(30, "%Y-%m-%d"))
            for number, shop in enumerate(("north", "south", "west"))]  # fmt: skip
    return "date,store,sales\n" + "\n".join(rows) + "\n"


def german() -> str:
    """A German spreadsheet's export: ';', dots between thousands, decimal comma, day first with dots, umlauts."""
    rows = [f"{day};{1000 + 17 * _wave(at):,.2f};{round(_wave(at, 30))}".translate(str.maketrans(",.", ".,")).replace(
        day.replace(".", ","), day) for at, day in enumerate(_days(ROWS, "%d.%m.%Y"))]  # fmt: skip
    return "Datum;Erlös in €;Stück\n" + "\n".join(rows) + "\n"


def french() -> str:
    """A French one: ';', narrow blanks between thousands, decimal comma, day first with slashes."""
    rows = [f"{day};{1000 + 17 * _wave(at):,.2f}".replace(",", "\u202f").replace(".", ",")
            for at, day in enumerate(_days(ROWS, "%d/%m/%Y"))]  # fmt: skip
    return "Date;Chiffre d'affaires\n" + "\n".join(rows) + "\n"


TABLES: dict[str, tuple[Callable[[], str], str]] = {
    "spam.tsv": (spam, "utf-8"), "reviews.csv": (reviews, "utf-8"), "air.csv": (air_quality, "utf-8"),
    "power.csv": (household, "utf-8"), "stocks.csv": (stocks, "utf-8"), "weather.csv": (weather, "utf-8"),
    "ucr.tsv": (ucr, "utf-8"), "sales.csv": (sales, "utf-8"), "umsatz.csv": (german, "cp1252"),
    "ventes.csv": (french, "utf-8-sig"),
}  # fmt: skip
"""Name of a file -> its content, and its encoding."""
