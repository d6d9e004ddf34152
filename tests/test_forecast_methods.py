"""Forecasting as its users know it: season, naive methods, trends, calendar, groups, intervals; data to cell file."""

import csv
import datetime
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from conftest import Answer, train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.cellfile.contract import CellMetadata
from tuirnn.config import RunConfig
from tuirnn.errors import CellFileError, DataError
from tuirnn.export.exporter import export_run
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.data import run_data
from tuirnn.scaling import Scaling
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tables.times import DAY
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import defaults, season
from tuirnn.tasks.forecast.clock import Clock
from tuirnn.tasks.forecast.data import SeriesData

FIRST = datetime.date(2021, 1, 1)
ROWS = 240
WEEK = (0, 1, 2, 1, 0, 4, 6)


def load(path: Path, rows: list[str], **settings: Any) -> SeriesData:
    path.write_text("\n".join(rows))
    return forecast.load(DataConfig(task="forecast", sources=(str(path),), **settings))


def day(i: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=i)


TREND = ["date,x", *(f"{day(i)},{100 + i + WEEK[i % 7]}" for i in range(ROWS))]
STEADY = ["date,x", *(f"{day(i)},{10 + WEEK[i % 7] + math.sin(i):.3f}" for i in range(ROWS))]
SHOPS = ["shop,date,sold"] + [
    f"{shop},{day(i)},{size + i / 5 + WEEK[i % 7]:.2f}"
    for i in range(120)
    for shop, size in (("a", 20), ("b", 60), ("c", 5))
]  # fmt: skip

# ── times ────────────────────────────────────────────────────────────────────────


def seconds(*days: str) -> npt.NDArray[np.float64]:
    return np.array(days, "M8[s]").astype(np.float64)


@pytest.mark.parametrize(
    ("told", "before", "after"),
    [
        ("1 day", ("2020-02-27", "2020-02-28"), ("2020-02-29", "2020-03-01")),
        ("1 month", ("2020-11-15", "2020-12-15"), ("2021-01-15", "2021-02-15", "2021-03-15")),
        ("1 month", ("2020-12-31", "2021-01-31"), ("2021-02-28", "2021-03-31", "2021-04-30")),
        ("1 quarter", ("2020-07-01", "2020-10-01"), ("2021-01-01", "2021-04-01")),
        ("1 year", ("2019-02-28", "2020-02-28"), ("2021-02-28", "2022-02-28")),
        ("1 working day", ("2021-01-07", "2021-01-08"), ("2021-01-11", "2021-01-12")),
        ("1 hour", ("2020-12-31T22", "2020-12-31T23"), ("2021-01-01T00", "2021-01-01T01")),
    ],
)
def test_times_go_on_as_the_calendar_does(told: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    clock = Clock("t", seconds(*before), True, told)
    assert clock.following(len(after)).tolist() == seconds(*after).tolist()


def test_the_calendar_that_is_read_depends_on_step_and_length() -> None:
    hours = Clock("t", 3600.0 * np.arange(24 * 40), True, "1 hour")
    assert hours.periods(24 * 40) == ((DAY, DAY / 2, 7 * DAY, 7 * DAY / 2, 7 * DAY / 3), ["hour of day", "day of week"])
    assert hours.periods(30) == ((), [])  # no day is seen twice
    months = Clock("t", 30.44 * DAY * np.arange(100), True, "1 month")
    assert months.periods(100)[1] == ["time of year"]
    assert Clock("t", np.arange(1700.0, 2000.0), False, "1").periods(300) == ((), [])


def test_decimals_are_no_months(tmp_path: Path) -> None:
    rows = ["year,quarter,gdp", *(f"{1960 + i // 4},{1 + i % 4},{1700.1 + i:.1f}" for i in range(60))]
    data = load(tmp_path / "t.csv", rows)
    assert data.scaling.columns == ("gdp",)
    assert "time: column 'year quarter', 1960-01-01 to 1974-10-01, step 1 quarter" in data.notes


# ── seasons ──────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=25)
@given(points=st.integers(3, 30), seed=st.integers(0, 1000))
def test_a_season_is_found(points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=points)
    shape = (shape - shape.mean()) / shape.std()
    values = np.tile(shape, 12)[:, None] + rng.normal(0, 0.05, (12 * points, 1)) + np.arange(12 * points)[:, None] / 50
    found, _ = season.find([values], None)
    assert found % points == 0 or season._autocorrelation(values, 4 * points)[found] > 0.7


@settings(deadline=None, max_examples=25)
@given(n=st.integers(4, 150), share=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
def test_the_autocorrelation_is_that_of_its_definition(n: int, share: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, 3))
    steps = np.diff(values, axis=0) - np.diff(values, axis=0).mean(0)
    for lag, found in enumerate(season._autocorrelation(values, max(1, int(share * (n - 2))))):
        products = (steps[: n - 1 - lag] * steps[lag:]).sum(0) / (n - 1 - lag)
        assert np.isclose(found, np.mean(products / steps.var(0)), atol=1e-9)


def test_noise_has_no_season_and_the_calendar_goes_first() -> None:
    rng = np.random.default_rng(0)
    assert season.find([rng.normal(size=(500, 1)).cumsum(0)], None)[0] == 1
    values = np.resize(np.array(WEEK, float), 700)[:, None] + rng.normal(0, 0.3, (700, 1))
    found, told = season.find([values], Clock("t", DAY * np.arange(700.0), True, "1 day"))
    assert found == 7
    assert "a week" in told


@given(n=st.integers(1, 40), points=st.integers(1, 15), origin=st.integers(0, 39), ahead=st.integers(1, 30))
def test_seasonal_naive_by_a_loop(n: int, points: int, origin: int, ahead: int) -> None:
    values = np.arange(float(n + ahead))[:, None]
    origin = min(origin, n)
    rows = origin + np.arange(ahead)
    found = season.seasonal(values, rows, np.full(ahead, origin), points)[:, 0]
    for row, value in zip(rows, found, strict=True):
        back = row
        while back >= origin:
            back -= points
        assert (value == back) if back >= 0 else np.isnan(value)


# ── scales ───────────────────────────────────────────────────────────────────────


def test_the_scale_follows_the_validation_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trend, steady = load(tmp_path / "trend.csv", TREND), load(tmp_path / "steady.csv", STEADY)
    assert trend.scaling.reads == "difference"
    assert "lie outside the training part's range" in trend.notes[-1]
    assert steady.scaling.steps == ()
    walk = np.random.default_rng(0).normal(size=ROWS).cumsum() % 9
    rows = ["x", *(f"{value:.3f}" for value in 20 * np.sin(np.arange(ROWS) / 9) + walk / 9)]
    waves = load(tmp_path / "waves.csv", rows)
    assert waves.scaling.reads == "level"
    assert waves.scaling.steps
    assert load(tmp_path / "trend.csv", TREND, scale="level").scaling.steps == ()
    for data in (trend, steady, waves):
        assert Scaling.from_json(json.loads(json.dumps(data.summary()))) == data.scaling
        x, y = data.network_rows(data.groups[0], 0, 50)
        before = np.concatenate([data.values[:1], data.values[:49]])
        assert np.allclose(data.scaling.answered(y[1:], data.values[:49]), data.values[1:50], rtol=1e-4, atol=1e-4)
        assert np.allclose(x[:, :1], data.scaling.fed(np.hstack([data.values[:50], x[:, 1:]]), before)[:, :1])
        monkeypatch.setattr(forecast, "PIECE", 7)
        for first, last in ((0, 50), (3, 24), (49, 50)):
            for whole, part in zip((x, y), data.network_rows(data.groups[0], first, last), strict=True):
                assert part.tobytes() == whole[first:last].tobytes()
        monkeypatch.undo()


@pytest.fixture(scope="module")
def trend(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A network that reads differences and the day of the week."""
    folder = tmp_path_factory.mktemp("trend")
    (folder / "t.csv").write_text("\n".join(TREND))
    return train_small(
        folder / "runs", "trend", folder / "t.csv", task="forecast", cell="gru", hidden=16, lr=0.02, steps=150,
        eval_every=50, batch_size=16, seq_len=16, batches="random", every_step=True, dropout=0.0, horizon=10,
        test_fraction=0.1,
    )  # fmt: skip


def test_a_host_needs_zeros_and_raw_values(trend: RunPaths) -> None:
    """States of the shapes that the file names, carried by its state map; the first point has none before it."""
    cell, data = export_run(trend), run_data(trend)
    assert isinstance(data, SeriesData)
    session = onnxruntime.InferenceSession(cell.data)
    meta = session.get_modelmeta().custom_metadata_map
    states = json.loads(meta["tuirnn.state_map"])
    assert states == {"h_out": "h_in", "before_out": "before_in"}
    shapes = {one.name: [size if isinstance(size, int) else 1 for size in one.shape] for one in session.get_inputs()}
    state = {name: np.zeros(shapes[name], np.float32) for name in states.values()}
    periods = np.array(json.loads(meta["tuirnn.normalisation"])["periods"])
    made = []
    for i, value in enumerate(data.values[:230, 0]):
        angles = 2 * np.pi * DAY * (seconds(str(day(i + 1)))[0] / DAY) / periods
        x = np.float32([[value, *np.stack([np.sin(angles), np.cos(angles)], 1).ravel()]])
        y, *after = session.run(["y", *states], {"x": x, **state})
        state = dict(zip(states.values(), after, strict=True))
        made.append(float(y[0, 0]))
    errors = np.array(made[150:]) - data.values[151:231, 0]
    assert np.abs(errors).mean() < 0.5 * np.abs(np.diff(data.values[150:231, 0])).mean()
    assert state["before_in"].tolist() == [[data.values[229, 0], 1.0]]


def test_a_trend_goes_on(trend: RunPaths, answer: Callable[..., Answer]) -> None:
    done = answer("predict", "trend", "--horizon", "60", "--runs", str(trend.root.parent), "--json")
    values = json.loads(done.out)
    truth = [100 + i + WEEK[i % 7] for i in range(ROWS, ROWS + 60)]
    assert np.abs(np.array(values["forecast"])[:, 0] - truth).max() < 25  # the last value would be 60 off
    assert values["times"][:2] == [str(day(ROWS)), str(day(ROWS + 1))]
    low, point, high = (np.array(values[key]) for key in ("low", "forecast", "high"))
    assert (low < point).all()
    assert (point < high).all()
    eval_ = json.loads(answer("eval", "trend", "--origins", "5", "--runs", str(trend.root.parent), "--json").out)
    assert (eval_["origins"], eval_["season"], eval_["on"]) == (5, 7, "its test split")
    assert eval_["columns"]["x"].keys() >= {"mase", "seasonal_mse", "naive_mse", "network_mse", "by", "covered"}
    assert eval_["mase"] == pytest.approx(eval_["columns"]["x"]["mae"] / 1.0 / run_naive_mae(trend), rel=1e-6)
    text = answer("eval", "trend", "--runs", str(trend.root.parent)).out
    assert "MASE" in text
    assert "90% intervals contain" in text


def run_naive_mae(paths: RunPaths) -> float:
    """By the definition: the mean of |x(t) - x(t-7)| on the training part."""
    values = [100 + i + WEEK[i % 7] for i in range(ROWS * 8 // 10)]
    return float(np.mean([abs(values[i] - values[i - 7]) for i in range(7, len(values))]))


def test_metadata_of_trends(trend: RunPaths) -> None:
    strings = export_run(trend).metadata.to_strings()
    assert CellMetadata.from_strings(strings).to_strings() == strings
    normalisation = json.loads(strings["tuirnn.normalisation"])
    for key, value in (
        ("normalisation", json.dumps({**normalisation, "reads": "level"})),  # the state map says otherwise
        ("normalisation", json.dumps({**normalisation, "steps": []})),
        ("normalisation", json.dumps({**normalisation, "periods": [0]})),
        ("normalisation", json.dumps({**normalisation, "reads": 3})),
        ("calibration", "{}"),
    ):
        with pytest.raises(CellFileError):
            CellMetadata.from_strings({**strings, f"tuirnn.{key}": value})


def test_a_table_without_dates_is_refused(trend: RunPaths, answer: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x\n" + "\n".join(str(i) for i in range(50)))
    done = answer("predict", "trend", str(tmp_path / "t.csv"), "--runs", str(trend.root.parent))
    assert done.code == 2
    assert "no column of dates, and this network reads the calendar" in done.err


# ── groups ───────────────────────────────────────────────────────────────────────


def test_series_are_split_and_cut_each_of_its_own(tmp_path: Path) -> None:
    data = load(tmp_path / "t.csv", SHOPS, group_column="shop", test_fraction=0.1)
    assert [group.name for group in data.groups] == ["a", "b", "c"]
    assert data.lengths("train") == [96] * 3
    assert data.lengths("test") == [12] * 3
    assert [history.first for history in data.held("test", 5)] == [108] * 3
    assert "3 series, one for each 'shop': a, b, c" in data.notes
    lows = {"a": 20, "b": 60, "c": 5}
    for group in data.groups:
        part = data.values[group.first : group.last, 0]
        assert part.min() >= lows[group.name]
        assert part.max() < lows[group.name] + 31
    for mode in ("random", "windows"):
        batches = data.batches(TrainConfig(batches=mode, seq_len=20, batch_size=16))
        for _ in range(30):
            batches.next()
            assert all(start // 96 == (start + 20) // 96 for start in batches.starts.tolist())  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="a stream reads one series"):
        data.batches(TrainConfig(seq_len=20))
    with pytest.raises(DataError, match="train them together with --group-column 'shop'"):
        load(tmp_path / "t.csv", SHOPS)


def test_each_group_is_forecast(tmp_path: Path, answer: Callable[..., Answer]) -> None:
    (tmp_path / "t.csv").write_text("\n".join(SHOPS))
    where = ("--runs", str(tmp_path / "runs"))
    done = answer("train", str(tmp_path / "t.csv"), "--task", "forecast", "--group-column", "shop", "--name", "shops",
                  "--steps", "20", "--eval-every", "10", "--hidden", "8", *where)  # fmt: skip
    assert done.code == 0, done.err
    assert "chosen for these data: --dropout 0.1" in done.out
    rows = list(csv.DictReader(io.StringIO(answer("predict", "shops", "--horizon", "3", *where).out)))
    assert [row["group"] for row in rows] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert [row["date"] for row in rows[:3]] == [str(day(120 + i)) for i in range(3)]
    assert abs(float(rows[3]["sold"]) - 84) < 20
    found = json.loads(answer("eval", "shops", "--json", *where).out)
    assert (found["series"], found["points"]) == (3, 36)
    given = json.loads(answer("predict", "shops", str(tmp_path / "t.csv"), "--horizon", "3", "--json", *where).out)
    assert [float(np.float32(one["forecast"][0][0])) for one in given["series"]] == [
        pytest.approx(float(row["sold"]), abs=0.05001) for row in rows[::3]
    ]


# ── defaults ─────────────────────────────────────────────────────────────────────


def test_settings_suit_the_length_and_yield_to_what_is_given(tmp_path: Path) -> None:
    data = load(tmp_path / "t.csv", STEADY)
    chosen = defaults.suited(data, {})
    assert (chosen["hidden"], chosen["batches"], chosen["every_step"], chosen["horizon"]) == (32, "random", True, 12)
    assert RunConfig().replace(**chosen).train.patience == 20
    given = {"hidden": 7, "steps": 30, "batches": "windows"}
    kept = defaults.suited(data, given)
    assert not kept.keys() & {"hidden", "steps", "batches", "every_step", "patience"}
