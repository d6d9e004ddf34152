"""Tables that a first guess reads wrong: sequences in rows, items under one another, codes for no value."""

import csv
import datetime
import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tables import table as tables
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import sentinels
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.tasks.look import look_at
from tuirnn.tasks.rows import sequences

ROWS = 60
DAYS = [str(datetime.date(2021, 1, 4) + datetime.timedelta(days=at)) for at in range(400)]


def wave(at: int, noise: random.Random) -> float:
    return 20 + 10 * math.sin(at / 5) + noise.gauss(0, 1)


def load(path: Path, text: str, **settings: object) -> SeriesData:
    path.write_text(text)
    return forecast.load(DataConfig(task="forecast", sources=(str(path),), **settings))  # type: ignore[arg-type]


# ── a sequence in each row ───────────────────────────────────────────────────────


def shaped(kind: str, rows: int = ROWS, long: int = 24) -> str:
    """Sine waves of two or three frequencies, a row each, with their classes."""
    noise = random.Random(3)
    words = ("walk", "run", "sit")

    def row(at: int) -> list[float]:
        return [math.sin(t / (2 + at % 3)) + noise.gauss(0, 0.1) for t in range(long)]

    made = [(at % 3, row(at)) for at in range(rows)]
    match kind:
        case "UCR":
            return "".join("\t".join([str(1 + c), *(f"{v:.5f}" for v in x)]) + "\n" for c, x in made)
        case "UCR of 2015":
            return "".join(f"{c},{','.join(f'{v:.6g}' for v in x)}\n" for c, x in sorted(made))
        case "UCR of 2002":
            return "".join("  " + "  ".join(f"{v:.7e}" for v in (1 + c, *x)) + "\n" for c, x in made)
        case "classes -1 and 1":
            return "".join("\t".join([str(2 * min(c, 1) - 1), *(f"{v:.5f}" for v in x)]) + "\n" for c, x in made)
        case "words last":
            return "".join(f"{','.join(f'{v:.4f}' for v in x)},{words[c]}\n" for c, x in made)
        case "pixels":
            head = ",".join(["label", *(f"pixel{t}" for t in range(long))])
            return head + "\n" + "".join(f"{c},{','.join(str(round(90 + 50 * v)) for v in x)}\n" for c, x in made)
        case "attributes, the class last":
            head = ";".join([*(f"att{t + 1}" for t in range(long)), "target"])
            return head + "\n" + "".join(f"{';'.join(f'{v:.4f}' for v in x)};{words[c]}\n" for c, x in made)
    raise ValueError(kind)


KINDS = ("UCR", "UCR of 2015", "UCR of 2002", "classes -1 and 1", "words last", "pixels", "attributes, the class last")


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_in_rows_are_no_series_and_no_texts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(shaped(kind))
    further = "; to read the columns as series nevertheless, give --columns"
    for settings, end in (({}, further), ({"task": "forecast"}, further), ({"task": "classify"}, "")):
        with pytest.raises(DataError, match=r"sequence of 24 numbers .* write its numbers as letters") as caught:
            look_at(str(path), settings)
        assert str(caught.value).endswith("'Sequences of numbers'" + end)
    wanted = "pixel3" if kind == "pixels" else "att3" if kind.startswith("att") else "3"
    assert f"to learn: {wanted}" in look_at(str(path), {"task": "forecast", "columns": wanted}).notes


def many_columns(kind: str) -> str:
    """A series in many columns, the first of which repeats itself."""
    noise, at, lines = random.Random(4), [0.0] * 12, []
    for row in range(200):
        at = [0.95 * v + noise.gauss(0, 1) for v in at]
        first = {"a weekday": row % 7, "a state": row // 37 % 4, "a word": ("on", "off")[row // 20 % 2]}[kind]
        lines.append(",".join([str(first), *(f"{v * (k + 1) + 100 * k:.3f}" for k, v in enumerate(at))]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["a weekday", "a state", "a word"])
def test_a_series_in_many_columns_is_one(kind: str, tmp_path: Path) -> None:
    assert sequences(tables.read(many_columns(kind).encode(), "t.csv")) is None
    assert "2" in load(tmp_path / "t.csv", many_columns(kind)).scaling.columns


def test_the_way_that_the_documents_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (Path(__file__).parent.parent / "docs" / "classification.md").read_text(encoding="utf-8")
    code = re.search(r"### Sequences of numbers.*?```python\n(.*?)```", document, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    Path("table.tsv").write_text(shaped("UCR"))
    exec(code[1], {})
    seen = look_at("letters.csv", {})
    assert seen.task == "classify"
    assert "3 classes: 1 20, 2 20, 3 20" in seen.notes
    with open("letters.csv", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert {len(text) for text in texts} == {24}
    assert set("".join(texts)) <= set("abcdefghijkl")


# ── several series under one another ─────────────────────────────────────────────


def sold(header: str, row: str, *, by_date: bool) -> str:
    """Two stores with three items each, 40 days; `row` is a format of date, store, item, sales."""
    noise = random.Random(5)
    places = [(s, i, d) for s in range(2) for i in range(3) for d in range(40)]
    places = sorted(places, key=lambda place: place[2]) if by_date else places
    lines = [row.format(d=DAYS[d], s=s + 1, i=i + 11, v=round(30 * s + 9 * i + wave(d, noise))) for s, i, d in places]
    return "\n".join([header, *lines]) + "\n"


LONG = {
    "numbers": ("date,store,item,sales", "{d},{s},{i},{v}", "store,item"),
    "words": ("store;day;product;sold", "S{s};{d};P{i};{v}", "store,product"),
    "the family first": ("family,store_nbr,date,onpromotion,sales", "F{i},{s},{d},0,{v}.5", "family,store_nbr"),
    "a comma in a name": ('date,"store, no",item,sales', "{d},{s},{i},{v}", '"store, no",item'),
}


@pytest.mark.parametrize("by_date", [False, True])
@pytest.mark.parametrize("kind", LONG)
def test_what_tells_items_apart_is_said(kind: str, by_date: bool, tmp_path: Path) -> None:
    header, row, group = LONG[kind]
    text = sold(header, row, by_date=by_date)
    with pytest.raises(DataError, match=r"6 rows for each time") as caught:
        load(tmp_path / "t.csv", text)
    assert f"train them together with --group-column '{group}'" in str(caught.value)
    data = load(tmp_path / "t.csv", text, group_column=group)
    assert len(data.groups) == 6
    assert [group.last - group.first for group in data.groups] == [40] * 6
    assert data.read["group_column"] == group
    assert data.scaling.columns[-1] in ("sales", "sold")


def test_items_of_stores_are_trained_and_gone_on_from(tmp_path: Path, answer: Callable[..., Answer]) -> None:
    (tmp_path / "t.csv").write_text(sold(*LONG["numbers"][:2], by_date=True))
    words = ("--hidden", "8", "--steps", "5", "--eval-every", "5", "--name", "a")
    done = answer("train", "t.csv", "--task", "forecast", "--group-column", "store,item", *words)
    assert done.code == 0, done.err
    assert "6 series, one for each 'store' and 'item': 1 / 11, 1 / 12, 1 / 13, …" in done.out
    own, table = (
        json.loads(answer("predict", "a", *more, "--horizon", "3", "--json").out)["series"] for more in ((), ("t.csv",))
    )
    assert own == table
    assert [one["group"] for one in own] == [f"{s} / {i}" for s in (1, 2) for i in (11, 12, 13)]


@pytest.mark.parametrize("name", ["hr", "Hour", "hour"])
def test_days_and_hours_are_one_time(name: str, tmp_path: Path) -> None:
    noise = random.Random(6)
    first = int(name == "Hour")  # some count hours from 1 to 24
    rows = [f"{DAYS[at // 24]},{first + at % 24},{wave(at, noise):.1f}" for at in range(24 * 10)]
    data = load(tmp_path / "t.csv", "\n".join([f"dteday,{name},cnt", *rows]))
    assert f"time: column 'dteday {name}', 2021-01-04" in " ".join(data.notes)
    assert "step 1 hour" in " ".join(data.notes)
    assert data.scaling.columns == ("cnt",)


# ── codes for no value ───────────────────────────────────────────────────────────

CODES: dict[str, tuple[list[tuple[str, int]], float]] = {
    # cells that stand for no value, each in every so many rows; what the others are multiplied by
    "air quality": ([("-200", 9)], 1),
    "as pandas writes it": ([("-200.0", 9)], 1),
    "nearly all": ([("-200", 1)], 10),
    "far values that deviate more": ([("-200", 7)], 20),
    "weather": ([("-999", 9)], 1),
    "weather, a point": ([("-99.9", 9)], 5),
    "9999": ([("9999", 11)], 5),
    "several": ([("9999.9", 10), ("-999", 7)], 1),
    "one behind the other": ([("-9999", 12), ("-999", 7), ("-99.9", 11)], 1),
    "sevens and eights": ([("-7777", 12), ("-8888", 7)], 1),
    "integers of 16 bits": ([("-32768", 12)], 100),
    "any other number": ([("-1234.5", 12)], 1),
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_for_no_value_are_named(kind: str, tmp_path: Path) -> None:
    codes, scale = CODES[kind]
    noise = random.Random(7)
    cells = [f"{scale * wave(at, noise):.2f}" for at in range(300)]
    for code, every in codes:
        cells = [code if at % every == every // 2 and (every > 1 or at % 8) else cell for at, cell in enumerate(cells)]
    text = "a,b\n" + "".join(f"{cell},{wave(at, noise):.2f}\n" for at, cell in enumerate(cells))
    said = " | ".join(load(tmp_path / "t.csv", text).notes)
    given = re.search(r"if (?:it stands|these stand) for no value, give --missing=(\S+)", said)
    assert given is not None, said
    assert {float(word) for word in given[1].split(",")} == {float(code) for code, _ in codes}
    assert "'b'" not in said
    again = load(tmp_path / "t.csv", text, missing=given[1])
    assert not any("--missing" in note for note in again.notes)
    if "a" in again.scaling.columns:
        assert again.real is not None
        assert (~again.real[:, 0]).sum() == sum(cell in dict(codes) for cell in cells[len(cells) - len(again.values) :])
    else:
        assert "column 'a' is mostly missing: left out" in again.notes


ORDINARY = {
    "percentages": lambda noise: float(min(99, max(0, round(noise.gauss(85, 15))))),
    "rain": lambda noise: max(0.0, round(noise.gauss(-2, 4), 1)),
    "counts of a few": lambda noise: float(noise.randrange(4)),
    "-1, 0 and 1": lambda noise: float(noise.randrange(3) - 1),
    "a rating": lambda noise: float(noise.choice([1, 2, 3, 4, 5, 9])),
    "heights of 99": lambda noise: float(round(noise.gauss(99, 3))),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_numbers_are_not_suspected(kind: str) -> None:
    noise = random.Random(8)
    assert sentinels.suspected(np.array([ORDINARY[kind](noise) for _ in range(500)])) == []


@given(
    st.lists(st.floats(-50, 50).map(lambda v: round(v, 2)), min_size=30, max_size=60, unique=True), st.integers(3, 9)
)
def test_what_is_named_is_there_as_often_as_is_said(values: list[float], times: int) -> None:
    found = sentinels.suspected(np.array(values + [-9999.0] * times))
    assert found[0] == (-9999.0, times)
    assert sentinels.suspected(np.array(values)) == []


@given(st.integers(0, 2**32), st.sampled_from([-9999.0, -1.0, 99.9, 700.0, 7.0]), st.integers(0, 6))
def test_a_long_column_is_judged_as_by_all_of_its_values(seed: int, code: float, times: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(rng.integers(-9, 9), 5, 6_000).round(1), [code] * times])
    rng.shuffle(values)
    found = sentinels.suspected(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentinels, "SAMPLE", len(values))
        patch.setattr(sentinels, "_outer", lambda column: column)
        assert found == sentinels.suspected(values)


def test_numbers_are_missing_however_they_are_written(tmp_path: Path) -> None:
    text = "a;b\n" + "".join(
        f"{('1,5', '-200', '-200,0', '2,5', '-2,0e2', '3,5', '4,5')[at % 7]};{at % 7},5\n" for at in range(50)
    )
    data = load(tmp_path / "t.csv", text, missing="-200")
    assert data.real is not None
    assert (~data.real[:, 0]).sum() == 21
    assert set(data.values[:, 0]) == {1.5, 2.5, 3.5, 4.5}


# ── to quality ───────────────────────────────────────────────────────────────────


def messages(header: str, row: str) -> str:
    """200 texts of two kinds with words of their own among common ones; `row` is a format of label and text."""
    noise = random.Random(9)
    own = {
        "spam": ["free", "prize", "win", "cash", "claim", "now"],
        "ham": ["lunch", "home", "later", "see", "you", "soon"],
    }
    common = ["the", "a", "to", "and", "we", "it", "is", "for", "call", "with", "on", "at"]
    lines = [header] if header else []
    for at in range(200):
        label = ("spam", "ham")[at % 2]
        words = [noise.choice(own[label] if noise.random() < 0.4 else common) for _ in range(9)]
        lines.append(row.format(label=label, text=" ".join(words), at=at))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [("SMSSpam.tsv", "", "{label}\t{text} {at}"), ("IMDB.csv", "review,sentiment", '"{text}, {at}",{label}')],
)
def test_a_table_of_texts_is_learned(
    name: str, header: str, row: str, tmp_path: Path, answer: Callable[..., Answer]
) -> None:
    (tmp_path / name).write_text(messages(header, row))
    small = (
        "--tokens",
        "word",
        "--hidden",
        "16",
        "--embed",
        "16",
        "--steps",
        "60",
        "--eval-every",
        "30",
        "--lr",
        "0.02",
    )
    done = answer("train", name, "--task", "classify", *small, "--name", "a")
    assert done.code == 0, done.err
    found = json.loads(answer("eval", "a", "--json").out)
    assert found["accuracy"] >= 0.9
    assert found["accuracy"] > found["majority_accuracy"] + 0.3
