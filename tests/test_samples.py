# ruff: noqa: E501
"""Tables of measures with a class, and wide tables with a series in each row: told, with what works."""

import math
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.look import look_at, suited

Draw = random.Random


def rows(header: str, row: Callable[[int, Draw], list[object]], count: int = 150, sign: str = ",") -> str:
    draw = random.Random(7)
    made = [sign.join(map(str, row(at, draw))) for at in range(count)]
    return "\n".join([header, *made] if header else made) + "\n"


def flower(at: int, draw: Draw) -> list[object]:
    """Four measures, whose means depend on the class of the row."""
    return [
        round(draw.gauss(mean + step * (at // 50), 0.3), 1)
        for mean, step in ((5, 0.8), (3.4, -0.2), (1.5, 1.9), (0.3, 0.8))
    ]


KINDS = ("setosa", "versicolor", "virginica")
IRIS = "sepal_length,sepal_width,petal_length,petal_width"
SAMPLES: dict[str, tuple[str, str, str]] = {
    # table, what is told, columns of the command
    "classes in words": (
        rows(IRIS + ",species", lambda i, d: [*flower(i, d), KINDS[i // 50]]), "4 numbers .* 'species' (3 different)", IRIS
    ),
    "classes in numbers": (
        rows("sepal length (cm);sepal width (cm);target", lambda i, d: [*flower(i, d)[:2], i // 50], sign=";"),
        "2 numbers .* 'target' (3 different)", "'sepal length (cm),sepal width (cm)'",
    ),
    "no header": (rows("", lambda i, d: [*flower(i, d), f"Iris-{KINDS[i // 50]}"]), "4 numbers .* '5' (3 different)", "1,2,3,4"),
    "ids first, shuffled": (
        rows("Id,a,b,Species", lambda i, d: [i + 1, *flower(d.randrange(150), d)[:2], d.choice(KINDS)]),
        "2 numbers .* 'Species' (3 different)", "a,b",
    ),
    "several columns of words, missing values": (
        rows("species,island,bill_length_mm,body_mass_g,sex",
             lambda i, d: [d.choice(KINDS), d.choice("ABC"), round(d.gauss(44, 5), 1), d.choice(["NA", 4000 + i % 13, 4100, 4200]), d.choice("mf")]),
        "2 numbers .* 'species' (3 different)", "bill_length_mm,body_mass_g",
    ),
    "decimal commas": (
        rows("Länge;Breite;Art", lambda i, d: [*(str(v).replace(".", ",") for v in flower(i, d)[:2]), KINDS[i // 50]], sign=";"),
        "2 numbers .* 'Art' (3 different)", "Länge,Breite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAMPLES)
def test_measures_with_a_class_are_no_series(kind: str, tmp_path: Path) -> None:
    text, told, columns = SAMPLES[kind]
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    for settings in ({}, {"task": "forecast"}, {"task": "classify"}):
        with pytest.raises(DataError, match=told.replace("(", r"\(").replace(")", r"\)")) as caught:
            look_at(str(path), settings)
    words = shlex.split(str(caught.value).partition("give ")[2])
    assert words[:3] == ["--task", "forecast", "--columns"]
    assert words[3:] == shlex.split(columns)
    assert (
        f"to learn: {', '.join(words[3].split(','))}"
        in look_at(str(path), {"task": "forecast", "columns": words[3]}).notes
    )
    assert "each row looks like a sample of its own" in suited([str(path)], "lm")


def wandering(i: int, draw: Draw, at: list[float] = [0.0, 0.0]) -> list[object]:  # noqa: B006
    at[:] = [0.0, 0.0] if i == 0 else [0.9 * v + draw.gauss(0, 1) for v in at]
    return [round(v, 2) for v in at]


SERIES = {
    "a state in words": rows("temp,hum,label", lambda i, d: [*wandering(i, d), ("sun", "rain", "fog")[i // 20 % 3]]),
    "noise with times": rows("date,a,b,status", lambda i, d: [f"2021-{1 + i // 28:02}-{1 + i % 28:02}", *(round(d.gauss(0, 1), 2) for _ in "ab"), "ok" if i % 7 else "bad"]),
    "noise without classes": rows("a,b,c", lambda i, d: [round(d.gauss(0, 1), 2) for _ in "abc"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", SERIES)
def test_series_with_a_column_of_words_are_series(kind: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(SERIES[kind])
    found = look_at(str(tmp_path / "t.csv"), {})
    assert found.task == "forecast"
    assert found.notes[-1].startswith("to learn: ")


# ── a series in each row ─────────────────────────────────────────────────────────


def sold(i: int, draw: Draw, days: int = 60) -> list[object]:
    """Sales of a week's rhythm, of a size that depends on the row."""
    return [max(0, round((3 + i % 9) * (1 + math.sin(2 * math.pi * t / 7)) + draw.gauss(0, 1))) for t in range(days)]


def names(form: str, first: int = 1, days: int = 60, sign: str = ",") -> str:
    return sign.join(form.format(at) for at in range(first, first + days))


WIDE: dict[str, tuple[str, str]] = {
    # table, what is told
    "M5": (
        rows("id,item_id,dept_id,store_id," + names("d_{}"), lambda i, d: [f"H_{i}_CA", f"H_{i % 20}", "H", "CA", *sold(i, d)], 40),
        "numbered, d_1 to d_60, and column 'id' names the rows",
    ),
    "M4": (
        rows(names('"V{}"', days=61), lambda i, d: [f'"D{i}"', *(str(100 * i + 3 * t) if t < 60 - i % 5 else "" for t in range(60))], 40),
        "numbered, V2 to V61, and column 'V1' names the rows",
    ),
    "weeks of products": (
        rows("Product_Code;" + names("W{}", 0, sign=";"), lambda i, d: [f"P{i}", *sold(i, d)], 40, ";"),
        "numbered, W0 to W59, and column 'Product_Code' names the rows",
    ),
    "numbers name the rows": (
        rows("id," + names("t{}"), lambda i, d: [i, *(50 * (i * 7 % 40) + t for t in range(60))], 40),
        "numbered, t1 to t60, and column 'id' names the rows",
    ),
    "dates": (
        rows("Province,Country,Lat," + names("1/{}/20", days=31), lambda i, d: ["", f"C{i}", i, *sold(i, d, 31)], 40),
        "columns are times, 1/1/20 to 1/31/20",
    ),
    "dates of two names": (
        rows("store,item," + names("2021-01-{:02}", days=31), lambda i, d: [f"S{i % 2}", f"P{i // 2}", *sold(i, d, 31)], 40),
        "columns are times, 2021-01-01 to 2021-01-31",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WIDE)
def test_the_line_that_turns_a_wide_table_round_works(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    text, told = WIDE[kind]
    monkeypatch.chdir(tmp_path)
    Path("wide.csv").write_text(text)
    for settings in ({}, {"task": "forecast"}, {"task": "classify"}):
        with pytest.raises(DataError, match=told) as caught:
            look_at("wide.csv", settings)
    said = re.search(r"in Python (.*), then tuirnn train (.*)", str(caught.value))
    assert said is not None
    exec(said[1], {})
    source, *options = shlex.split(said[2])
    assert options[:3] == ["--task", "forecast", "--group-column"]
    data = forecast.load(DataConfig(task="forecast", sources=(source,), group_column=options[3]))
    assert data.scaling.columns == ("value",)
    assert len(data.groups) == 40
    assert {group.last - group.first for group in data.groups} <= {31, 59, 60}
    assert data.groups[3].name
    assert "each row" in suited(["wide.csv"], "lm")


def test_months_of_years_are_put_under_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    months = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"
    Path("wide.csv").write_text(rows("Year," + months, lambda i, d: [1950 + i, *(12 * i + m for m in range(12))], 30))
    with pytest.raises(DataError, match="Jan to Dec, and each row is a series") as caught:
        look_at("wide.csv", {})
    said = re.search(r"in Python (.*), then tuirnn train long\.csv", str(caught.value))
    assert said is not None
    exec(said[1], {})
    assert forecast.load(DataConfig(task="forecast", sources=("long.csv",))).values[:, 0].tolist() == [*range(360)]


def test_numbered_columns_of_a_series_are_one(tmp_path: Path) -> None:
    def row(i: int, draw: Draw, at: list[float] = [0.0] * 12) -> list[object]:
        at[:] = [0.9 * v + draw.gauss(0, 1) for v in at]
        return [f"run {i} of all", *(round(v + 10 * k, 3) for k, v in enumerate(at))]

    (tmp_path / "t.csv").write_text(rows("key," + names("s{}", days=12), row))
    assert "to learn: s1, s2" in look_at(str(tmp_path / "t.csv"), {"task": "forecast"}).notes[-1]
