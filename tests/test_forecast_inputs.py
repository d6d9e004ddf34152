"""Series as people bring them: times, order, gaps, missing values; nothing invented is learned or judged."""

import dataclasses
import datetime
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import train_small
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.errors import DataError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record, read_status
from tuirnn.runtime.data import run_data
from tuirnn.scaling import Scaling
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import rollout
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.tasks.history import History
from tuirnn.training.losses import SquaredError

ROWS = 60
FIRST = datetime.datetime(2021, 1, 1)


def wave(i: int) -> float:
    return 20 + 10 * math.sin(i / 5)


def dated(form: str, rows: Iterable[int] = range(ROWS), *, hours: int = 24, cell: str = "{x:.2f}") -> list[str]:
    """Rows `time,value`, the time as strftime's `form` writes it."""
    return [f"{(FIRST + datetime.timedelta(hours=hours * i)).strftime(form)},{cell.format(x=wave(i))}" for i in rows]


def load(path: Path, text: str | Iterable[str], **settings: Any) -> SeriesData:
    path.write_text(text if isinstance(text, str) else "\n".join(text))
    return forecast.load(DataConfig(task="forecast", sources=(str(path),), **settings))


def said(data: SeriesData) -> str:
    return " | ".join(data.notes)


EXPECTED = [[round(wave(i), 2)] for i in range(ROWS)]

# ── order, steps, gaps ───────────────────────────────────────────────────────────

IN_ORDER: dict[str, tuple[list[str], str]] = {
    # rows, what is told
    "in order": (dated("%Y-%m-%d"), "2021-01-01 to 2021-03-01, step 1 day"),
    "newest first": (dated("%Y-%m-%d")[::-1], "newest row first: order reversed"),
    "newest first, German": (dated("%d.%m.%Y")[::-1], "newest row first: order reversed"),
    "newest first, American": (dated("%m/%d/%Y")[::-1], "2021-01-01 to 2021-03-01, step 1 day"),
    "shuffled": ([dated("%Y-%m-%d")[7 * i % ROWS] for i in range(ROWS)], "rows came before older ones: sorted by time"),
    "hours": (dated("%Y-%m-%dT%H:%M:%SZ", hours=1), "step 1 hour"),
    "seconds since 1970": (dated("%s", hours=1), "step 1 hour"),
    "days as numbers": (dated("%Y%m%d"), "step 1 day"),
    "day names in English": (dated("%d-%b-%Y"), "step 1 day"),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_rows_are_put_into_the_order_of_time(name: str, tmp_path: Path) -> None:
    rows, told = IN_ORDER[name]
    data = load(tmp_path / "t.csv", ["date,x", *rows])
    assert data.scaling.columns == ("x",)
    assert data.values.tolist() == EXPECTED
    assert data.read["time_column"] == "date"
    assert told in said(data)
    assert json.loads(json.dumps(data.summary()))["read"] == data.read


def test_steps_of_the_calendar(tmp_path: Path) -> None:
    months = [f"{2000 + i // 12}-{1 + i % 12:02},{wave(i):.2f}" for i in range(ROWS)]
    assert "step 1 month" in said(load(tmp_path / "t.csv", ["month,x", *months]))
    years = [f"{1950 + i},{wave(i):.2f}" for i in range(ROWS)]
    data = load(tmp_path / "t.csv", ["YEAR,x", *years[::-1]])
    assert "time: column 'YEAR', 1950 to 2009, step 1 |" in said(data)
    assert data.values.tolist() == EXPECTED
    working = [i for i in range(2 * ROWS) if (FIRST + datetime.timedelta(days=i)).weekday() < 5]
    assert "step 1 working day" in said(data := load(tmp_path / "t.csv", ["Date,x", *dated("%Y-%m-%d", working)]))
    assert "gaps" not in said(data)
    parts = [f"{2000 + i // 12},{1 + i % 12},{wave(i):.2f}" for i in range(ROWS)]
    data = load(tmp_path / "t.csv", ["year,month,x", *parts[::-1]])
    assert "time: column 'year month', 2000-01-01 to 2004-12-01, step 1 month" in said(data)
    assert data.scaling.columns == ("x",)


def test_gaps_and_doubles_are_told(tmp_path: Path) -> None:
    rows = dated("%Y-%m-%d")
    data = load(tmp_path / "t.csv", ["date,x", *rows[:10], *rows[13:20], rows[19], *rows[20:]])
    assert "1 gaps, treated as one step: after 2021-01-10" in said(data)
    assert "1 rows have the same time as the row before" in said(data)
    assert len(data.values) == ROWS - 2
    clock = dated("%d.%m.%Y %H:%M", hours=1)
    data = load(
        tmp_path / "t.csv", ["date,x", *clock[:20], clock[19], *clock[21:]]
    )  # an hour twice, the next one missing
    assert "1 rows have the same time" in said(data)
    assert len(data.values) == ROWS


def test_a_date_and_a_time_of_day_are_one_time(tmp_path: Path) -> None:
    rows = [
        f"{FIRST + datetime.timedelta(hours=6 * i):%d/%m/%Y;%H.%M.%S};" + f"{wave(i):.2f}".replace(".", ",")
        for i in range(ROWS)
    ]
    data = load(tmp_path / "t.csv", ["Date;Time;CO(GT);;", *(row + ";;" for row in rows), *[";;;;"] * 20])
    assert "time: column 'Date Time', 2021-01-01 to 2021-01-15 18:00:00, step 6 hours" in said(data)
    assert "20 empty rows at the end left out" in said(data)
    assert data.values.tolist() == EXPECTED


LONG: dict[str, tuple[Callable[[int, str], str], str]] = {
    "shops": (lambda i, shop: f"{shop},2021-01-{1 + i:02},{wave(i) + len(shop):.2f}", "shop"),
    "numbers of shops": (lambda i, shop: f"{len(shop)},2021-01-{1 + i:02},{wave(i):.2f}", "shop"),
}


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("name", LONG)
def test_several_series_under_one_another_are_refused(name: str, by_time: bool, tmp_path: Path) -> None:
    row, group = LONG[name]
    places = [(i, shop) for i in range(28) for shop in ("a", "bb", "ccc")]
    rows = [row(i, shop) for i, shop in (places if by_time else sorted(places, key=lambda place: place[1]))]
    with pytest.raises(DataError, match=f"3 rows for each time in 'date', one for each '{group}'"):
        load(tmp_path / "t.csv", ["shop,date,sold", *rows])


def test_times_that_cannot_be_told_are_asked(tmp_path: Path) -> None:
    rows = [f"2021-01-{1 + i % 28:02},2021-02-{1 + i % 28:02},{wave(i):.2f}" for i in range(28)]
    with pytest.raises(DataError, match="'made', 'sent' hold times; say which orders the rows with --time-column"):
        load(tmp_path / "t.csv", ["made,sent,x", *rows])
    assert load(tmp_path / "t.csv", ["made,sent,x", *rows], time_column="sent").read["time_column"] == "sent"
    with pytest.raises(DataError, match="no column 'send'; did you mean 'sent'"):
        load(tmp_path / "t.csv", ["made,sent,x", *rows], time_column="send")
    with pytest.raises(DataError, match="'x' holds no times"):
        load(tmp_path / "t.csv", ["y,x", *(f"{wave(i):.2f},word" for i in range(28))], time_column="x")
    ambiguous = [f"{1 + i:02}/01/2021,{wave(i):.2f}" for i in range(12)]
    with pytest.raises(DataError, match="--date-order dmy or mdy"):
        load(tmp_path / "t.csv", ["date,x", *ambiguous])
    assert "step 1 month" in said(load(tmp_path / "t.csv", ["date,x", *ambiguous], date_order="mdy"))
    assert "no column of times" in said(load(tmp_path / "t.csv", ["x", *(f"{wave(i):.2f}" for i in range(ROWS))]))


# ── dialects ─────────────────────────────────────────────────────────────────────


def swapped(text: str) -> str:
    return text.replace(",", ";").replace(".", ",")


READ: dict[str, str] = {
    "years as a header": "\n".join(["2019,2020", *(f"{wave(i):.3f},{wave(i + 3):.3f}" for i in range(ROWS))]),
    "a comma in the header": "\n".join(["Datum;Last, kW", *map(swapped, dated("%Y-%m-%d", cell="{x:.1f}"))]),
    "a comma in a quoted header": "\n".join(['date,"Load, MW"', *dated("%Y-%m-%d")]),
    "sep=": "\n".join(["sep=;", "Datum;Last", *map(swapped, dated("%Y-%m-%d"))]),
    "thousands": "\n".join(["date,x", *(row.replace(",", ',"1,0') + '"' for row in dated("%Y-%m-%d"))]),
    "tabs": "\n".join(["date\tx", *(row.replace(",", "\t") for row in dated("%Y-%m-%d"))]),
    "blanks": "\n".join(["x   y", *(f"{wave(i):8.3f}   {wave(i + 3):8.3f}" for i in range(ROWS))]),
}


@pytest.mark.parametrize("name", READ)
def test_dialects(name: str, tmp_path: Path) -> None:
    data = load(tmp_path / "t.csv", READ[name])
    assert len(data.values) == ROWS
    places = 3 if "." in READ[name] and name in ("years as a header", "blanks") else 1 if "header" in name else 2
    expected = [round(wave(i) + 1000 * (name == "thousands"), places) for i in range(ROWS)]
    assert np.abs(data.values[:, 0] - expected).max() < 0.06


def test_columns_with_commas_can_be_chosen(tmp_path: Path) -> None:
    text = ['date,"Load, MW","Price, €"', *(row + f",{i % 7}" for i, row in enumerate(dated("%Y-%m-%d")))]
    assert load(tmp_path / "t.csv", text).scaling.columns == ("Load, MW", "Price, €")
    assert load(tmp_path / "t.csv", text, columns='"Price, €"').scaling.columns == ("Price, €",)


COUNTERS = {
    "row numbers": "n,x\n" + "".join(f"{i},{wave(i):.2f}\n" for i in range(ROWS)),
    "tens": "n,x\n" + "".join(f"{1000 - 10 * i},{wave(i):.2f}\n" for i in range(ROWS)),
    "a clock of half seconds": "elapsed,x\n" + "".join(f"{i / 2},{wave(i):.2f}\n" for i in range(ROWS)),
    "nearly even": "n,x\n" + "".join(f"{i + (i > 30)},{wave(i):.2f}\n" for i in range(ROWS)),
}


@pytest.mark.parametrize("name", COUNTERS)
def test_counters_are_left_out_with_a_note(name: str, tmp_path: Path) -> None:
    data = load(tmp_path / "t.csv", COUNTERS[name])
    assert data.scaling.columns == ("x",)
    assert "counts in even steps, as a row number or a time does: left out" in said(data)
    asked = COUNTERS[name].split(",", 1)[0]
    assert load(tmp_path / "t.csv", COUNTERS[name], columns=f"{asked},x").scaling.columns == (asked, "x")


def test_a_series_that_rises_evenly_is_learned_where_there_is_no_other(tmp_path: Path) -> None:
    rows = [row.split(",")[0] + f",{i}.5" for i, row in enumerate(dated("%Y-%m-%d"))]
    data = load(tmp_path / "t.csv", ["date,a", *rows[::-1]])
    assert data.values[:, 0].tolist() == [i + 0.5 for i in range(ROWS)]


# ── missing values ───────────────────────────────────────────────────────────────


def test_empty_rows_at_the_end_are_no_points(tmp_path: Path) -> None:
    text = ["a;b;;", *(f"{wave(i):.2f};{i % 7};;" for i in range(ROWS)), *[";;;"] * 30]
    data = load(tmp_path / "t.csv", text)
    assert len(data.values) == ROWS
    assert "30 empty rows at the end left out" in said(data)
    assert data.real is None


def test_invented_values_are_neither_learned_nor_judged(tmp_path: Path) -> None:
    text = ["a,b", *(f"{'' if i % 4 == 1 else round(wave(i), 2)},{i % 7}" for i in range(ROWS))]
    data = load(tmp_path / "t.csv", text, val_fraction=0.2, scale="level")
    assert data.real is not None
    assert data.real[:, 0].tolist() == [i % 4 != 1 for i in range(ROWS)]
    assert "15 missing values replaced by the last value before, and excluded from losses and errors" in said(data)
    batches = data.batches(TrainConfig(batches="windows", seq_len=5, batch_size=4))
    for _ in range(20):
        x, y, _ = batches.next()
        assert np.isfinite(x).all()
        assert (y[:-1] == x[1:])[~np.isnan(y[:-1])].all()
        assert np.isnan(y).any()
        assert not np.isnan(y[..., 1]).any()


class Wrong:
    """Says 0 where a value is real, and something wild where it is invented."""

    def __init__(self, real: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.real = real

    def begin(self, batch: int) -> None:
        self.row = 0

    def read(self, x: forecast.Series) -> forecast.Series:
        return np.zeros_like(x)


def test_errors_leave_invented_values_out() -> None:
    values = np.array([[1.0], [2.0], [2.0], [2.0], [5.0], [6.0]])
    real = np.array([[True], [True], [False], [False], [True], [True]])
    scaling, history = Scaling(("a",), (0.0,), (1.0,)), History("", values, 1, 2, real=real)
    found = rollout.measure(Wrong(real), [history], scaling, look_back=1)
    assert found.network.mse.tolist() == [(4 + 25 + 36) / 3]
    assert found.errors["last"].mae.tolist() == [(1 + 3 + 1) / 3]
    everything = rollout.measure(Wrong(real), [dataclasses.replace(history, real=None)], scaling, look_back=1)
    assert everything.network.mse.tolist() == [(4 + 4 + 4 + 25 + 36) / 5]


@pytest.mark.parametrize("every_step", [False, True])
def test_the_loss_leaves_invented_values_out(every_step: bool) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(5, 4, 2, requires_grad=True), torch.randn(5, 4, 2)
    gone = torch.rand(5, 4, 2) < 0.4
    loss = SquaredError(every_step, gaps=True)
    with_gaps = targets.masked_fill(gone, torch.nan)
    part = slice(None) if every_step else slice(4, None)
    expected = (outputs - targets)[part][~gone[part]].square().mean()
    torch.testing.assert_close(loss(outputs, with_gaps), expected)
    loss(outputs, with_gaps).backward()
    assert outputs.grad is not None
    assert (outputs.grad[gone] == 0).all()
    halves = [with_gaps[:, :1], with_gaps[:, 1:]]
    whole = sum(
        loss(outputs[:, at], half) * loss.weight(half.numpy())
        for at, half in zip((slice(0, 1), slice(1, 4)), halves, strict=True)
    )
    torch.testing.assert_close(whole / loss.weight(with_gaps.numpy()), expected)
    nothing = torch.full_like(targets, torch.nan)
    assert loss(outputs, nothing).item() == 0
    assert loss.weight(nothing.numpy()) > 0


SENTINELS = {"air quality": (-200, 9), "weather": (-9999, 5), "a full scale": (9999.9, 4)}


@pytest.mark.parametrize("name", SENTINELS)
def test_suspicious_extremes_are_named(name: str, tmp_path: Path) -> None:
    value, times = SENTINELS[name]
    cells = [value if i % 7 == 3 and i // 7 < times else round(wave(i), 2) for i in range(ROWS)]
    text = ["a,b", *(f"{cell},{i % 7}" for i, cell in enumerate(cells))]
    data = load(tmp_path / "t.csv", text)
    assert f"column 'a': {value:g} occurs {times} times, far from all other values" in said(data)
    assert "column 'b'" not in said(data)
    data = load(tmp_path / "t.csv", text, missing=f"{value:g}")
    assert data.real is not None
    assert int((~data.real).sum()) == times
    assert abs(data.values[:, 0]).max() < 31


def test_a_column_without_a_held_out_value_is_left_out(tmp_path: Path) -> None:
    text = ["a,b", *(f"{wave(i):.2f},{i % 7 if i < 50 else ''}" for i in range(ROWS))]
    data = load(tmp_path / "t.csv", text)
    assert data.scaling.columns == ("a",)
    assert "column 'b' has no value in a held-out part: left out" in said(data)


# ── a run, and the tables that it goes on from ───────────────────────────────────


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A forecaster of a German table, the newest row first, with gaps in a column."""
    folder = tmp_path_factory.mktemp("power")
    rows = [f"{row};{i % 7 if i % 5 else ''}" for i, row in enumerate(map(swapped, dated("%Y-%m-%d", range(300))))]
    (folder / "p.csv").write_text("\n".join(["Datum;Last, kW;Rest", *rows[::-1]]), encoding="utf-16")
    return train_small(
        folder / "runs", "power", folder / "p.csv", task="forecast", hidden=8, steps=10, eval_every=5, horizon=5,
        dropout=0.0, every_step=True,
    )  # fmt: skip


def test_a_run_keeps_how_its_table_was_read(power: RunPaths) -> None:
    read = read_record(power).data["read"]
    assert (read["time_column"], read["encoding"], read["step"]) == ("Datum", "utf-16-le", "1 day")
    assert (read["dialect"]["delimiter"], read["dialect"]["decimal"]) == (";", ",")
    data = run_data(power)
    assert isinstance(data, SeriesData)
    assert data.values[:3, 0].tolist() == [21.99, 23.89, 25.65]  # the first row with both values
    assert data.real is not None
    assert math.isfinite(read_status(power).val_loss)


def test_predict_and_eval_read_as_training_does(power: RunPaths, tmp_path: Path) -> None:
    def asked(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--runs", str(power.root.parent)])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in words else done

    rows = [f"{row},{i % 7}" for i, row in enumerate(dated("%Y-%m-%d", range(300)))]
    header = 'Datum,"Last, kW",Rest'
    (tmp_path / "up.csv").write_text("\n".join([header, *rows]))
    (tmp_path / "down.csv").write_text("\n".join([header, *rows[::-1]]))
    up, down = (asked("predict", "power", str(tmp_path / f"{name}.csv"), "--json") for name in ("up", "down"))
    assert up == down
    german = "\n".join(["Datum|Last, kW|Rest", *(row.replace(",", "|").replace(".", ",") for row in rows)])
    (tmp_path / "pipes.csv").write_text(german)
    assert asked("predict", "power", str(tmp_path / "pipes.csv"), "--json") == up
    done = asked("eval", "power", "--text", str(tmp_path / "down.csv"))
    assert "newest row first: order reversed" in done.stderr
    assert asked("eval", "power", "--json")["mse"] > 0
