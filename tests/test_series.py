"""Numeric series: tables that are read or refused, their split and normalisation, errors and roll-outs by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, DataError
from tuirnn.escaping import heading_from_csv
from tuirnn.scaling import Scaling
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tables.given import Given
from tuirnn.tasks import sources
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import reading, report, rollout
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.tasks.history import History


def load(path: Path, text: str, **settings: Any) -> SeriesData:
    path.write_text(text)
    return forecast.load(DataConfig(task="forecast", sources=(str(path),), **settings))


# ── tables ───────────────────────────────────────────────────────────────────────


@settings(deadline=None)  # the first table imports pyarrow
@example(values=[(1.0, 2.0, 3.0)] * 8, delimiter=",", names=["'-", "_", "__"])
@example(values=[(1.0, 2.0, 3.0)] * 8, delimiter=",", names=["'-", "-", "__"])
@given(
    values=st.lists(
        st.tuples(*[st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False, width=32))] * 3), min_size=8, max_size=40
    ),
    delimiter=st.sampled_from(",;\t"),
    names=st.lists(
        st.text("abcxyz -_,\"'é", min_size=1, max_size=5).map(str.strip), min_size=3, max_size=3, unique=True
    ),
)
def test_what_is_written_is_read(
    values: list[tuple[float | None, ...]], delimiter: str, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any numbers come back as they were, missing ones as the last before, none for empty rows at the end; or there is
    one clear line."""

    def quoted(cell: object) -> str:
        return '"' + str(cell).replace('"', '""') + '"' if isinstance(cell, str) else "" if cell is None else repr(cell)

    lines = [delimiter.join(map(quoted, row)) for row in (names, *values)]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("\n".join(lines))
    try:
        data = forecast.load(DataConfig(task="forecast", sources=(str(path),)))
    except DataError as error:
        assert "\n" not in str(error)
        return
    read = [heading_from_csv(name) for name in names]  # without the quote that keeps a formula from a spreadsheet
    kept = [read.index(name) for name in data.scaling.columns]
    expected = []
    last: list[float | None] = [None] * 3
    for row in values:
        last = [old if new is None else new for old, new in zip(last, row, strict=True)]
        if all(last[place] is not None for place in kept):
            expected.append([last[place] for place in kept])
    n = len(data.values)
    assert data.values.tolist() == expected[:n]
    assert all(row[place] is None for row in values[len(values) - len(expected) + n :] for place in kept)
    assert np.allclose(data.scaling.mean, data.train.mean(0))
    assert np.allclose(data.scaling.restore(data.scaling.normalise(data.values)), data.values, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(text=st.text("0123456789.,;\t\n\r\"'eE+-naN x_", max_size=300))
def test_no_table_does_worse_than_one_line(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(text.encode())
    try:
        data = forecast.load(DataConfig(task="forecast", sources=(str(path),)))
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert np.isfinite(data.values).all()
        assert np.isfinite(data.scaling.normalise(data.values).astype(np.float32)[: len(data.train)]).all()


def test_a_split_keeps_the_order_of_time_and_fits_on_its_first_part(tmp_path: Path) -> None:
    text = "x\n" + "\n".join(str(i * i) for i in range(100))
    data = load(tmp_path / "t.csv", text, val_fraction=0.2, test_fraction=0.1)
    assert [len(part) for part in (data.train, data.val, data.test)] == [70, 20, 10]
    assert np.concatenate([data.train, data.val, data.test]).tolist() == data.values.tolist()
    assert data.scaling.mean == (np.arange(70.0) ** 2).mean()
    assert data.until("val")[0].tolist() == data.values[:90].tolist()
    assert data.until("test")[1] == 90
    config = DataConfig(task="forecast", sources=(str(tmp_path / "t.csv"),), val_fraction=0.2, test_fraction=0.1)
    former = forecast.load(config, known={key: value for key, value in data.summary().items() if key != "order"})
    assert former.until("test")[0].tolist() == data.values[:80].tolist()  # as runs had it that do not say
    assert former.until("val")[1] == 80
    assert len(load(tmp_path / "t.csv", text, fraction=0.5).values) == 50


NUMBERS = "".join(f"{i % 7},{i % 5}\n" for i in range(30))

BAD = {
    "ragged": ("a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
    "text in a column": ("a,b\n" + NUMBERS + "5,oops\n", r"line 32: 'oops' in column 'b' is not a finite number"),
    "infinite": ("a,b\n" + NUMBERS + "5,inf\n", "line 32: 'inf' in column 'b'"),
    "too large": ("a,b\n" + NUMBERS + "5,1e300\n", "line 32: '1e300' in column 'b'"),
    "no numbers": ("a,b\nx,y\nz,w\n", "0 columns to learn from"),
    "constant": ("a\n" + "3\n" * 30, "column 'a' does not change in the training part"),
    "too fine": ("a\n" + "".join(f"{1e9 + i % 3}\n" for i in range(30)), "less than float32 can resolve"),
    "two of a name": ("a,a\n" + NUMBERS, "two columns 'a'"),
    "too short": ("a\n1\n2\n", "too few to split"),
    "quotes": ('a,b\n"1,2\n', "too few to split"),
    "empty": ("\n", "empty"),
    "binary": ("a\0b", "binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_get_one_clear_line(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / "t.csv", text)
    assert str(caught.value).isprintable()


def test_what_is_left_out_and_filled_in_is_said(tmp_path: Path) -> None:
    rows = [f"day {i},{'' if i in (0, 9) else i % 7},4,{'NA' if i % 3 else i},{i},{i % 5}" for i in range(60)]
    text = "date,a,same,rare,,b\n" + "\n".join(rows)
    data = load(tmp_path / "t.csv", text)
    assert data.scaling.columns == ("a", "b")
    assert data.notes == (
        "t.csv: 60 rows, 6 columns, ',' between fields, a header",
        "no column of times: the rows are assumed to be in order, oldest first",
        "column 'date' holds no numbers: left out",
        "column 'rare' is mostly missing: left out",
        "column '5' has no name: left out",
        "column 'same' does not change in the training part: left out",
        "1 rows before the first value of every column left out",
        "1 missing values replaced by the last value before, and excluded from losses and errors",
        "row 1: a 1, b 1",
        "row 2: a 2, b 2",
        "row 3: a 3, b 3",
        "season: 5 points, by the autocorrelation of the differences (0.43)",
        "scale: level, as the squared error of the last value on the validation part is 1.5 times that of the training "
        "mean",
    )
    assert data.values[8].tolist() == [1.0, 4.0]  # row 9: a is missing, and was 8 % 7
    assert load(tmp_path / "t.csv", text, columns="b, a").scaling.columns == ("b", "a")
    for columns, said in (("same", "does not change"), ("rare", "mostly missing"), ("c", "no column 'c'; known")):
        with pytest.raises(DataError, match=said):
            load(tmp_path / "t.csv", text, columns=columns)


def test_a_table_without_names_has_numbered_columns(tmp_path: Path) -> None:
    data = load(tmp_path / "t.csv", NUMBERS)
    assert data.scaling.columns == ("1", "2")
    assert len(data.values) == 30


def test_other_tables_must_have_the_columns_that_are_known() -> None:
    def read(text: str) -> list[list[float]]:
        table = reading.read_table(sources.Source("t.csv", text.encode()), Given(names=("a", "b")))
        return reading.known_series(table, ("a", "b")).values.tolist()

    assert read("b,c,a\n1,x,2\n3,y,4\n") == [[2, 1], [4, 3]]
    assert read("1,2\n3,4\n") == [[1, 2], [3, 4]]
    for text, said in (
        ("a,c\n1,2\n", "has columns a, c; this network reads a, b"),
        ("1,2,3\n", "has 3 columns without names; this network reads a, b"),
        ("a,b\n1,x\n", "'x' in column 'b' is not a finite number"),
        ("a,b\n,1\n,2\n", "column 'a' holds no numbers"),
    ):
        with pytest.raises(DataError, match=said):
            read(text)


def test_settings_without_a_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tied"):
        RunConfig().replace(task="forecast", tied=True, embed=384)
    assert RunConfig().replace(task="forecast").model.embed == 0
    with pytest.raises(DataError, match="not from 2 sources"):
        forecast.load(DataConfig(task="forecast", sources=("a", "b")))
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="not from a folder of 2 files"):
        forecast.load(DataConfig(task="forecast", sources=(str(tmp_path),)))
    data = load(tmp_path / "c.csv", NUMBERS)
    with pytest.raises(DataError, match="27 rows to train on, fewer than --seq-len 64"):
        data.batches(TrainConfig())


# ── errors and roll-outs, by hand ────────────────────────────────────────────────


class Doubler:
    """Says that each point doubles; forgets nothing and knows nothing."""

    def begin(self, batch: int) -> None:
        self.batch = batch

    def read(self, x: forecast.Series) -> forecast.Series:
        assert x.shape[1] == self.batch
        return 2 * x


@pytest.mark.parametrize("look_back", [0, 3])
def test_figures_by_hand(look_back: int) -> None:
    values = np.stack([np.arange(1.0, 21.0), -np.arange(1.0, 21.0)], 1)  # each step adds 1
    scaling = Scaling(("a", "b"), (0.0, 0.0), (2.0, 4.0))
    history = History("", values, 10, 3)
    found = rollout.measure(
        Doubler(), [history], scaling, look_back=look_back, season=4, naive_mae=np.array([4.0, 2.0])
    )
    network, last, seasonal = (found.errors[method] for method in ("network", "last", "seasonal"))
    t = np.arange(10, 20)  # 2·t is said where t + 1 comes
    assert found.points == 10
    assert np.allclose(network.mse, [((2 * t - (t + 1)) ** 2).mean()] * 2)
    assert np.allclose(network.mae, [np.abs(2 * t - (t + 1)).mean()] * 2)
    assert np.allclose(last.mse, [1.0, 1.0])
    assert np.allclose(seasonal.mse, [16.0, 16.0])  # the value four rows before
    assert np.allclose(found.mase(seasonal), [1.0, 2.0])
    assert found.loss == pytest.approx((network.mse[0] / 4 + network.mse[1] / 16) / 2)
    origins = np.arange(10, 18)
    off = np.stack([2.0**h * origins - (origins + h) for h in (1, 2, 3)])
    assert found.origins == 8
    assert np.allclose(network.rmse[:, 0], np.sqrt((off**2).mean(1)))
    assert np.allclose(network.rollout_rmse[1], np.sqrt((off**2).mean()))
    assert np.allclose(last.rmse[:, 0], [1.0, 2.0, 3.0])
    assert np.allclose(seasonal.rmse[:, 0], [4.0, 4.0, 4.0])
    assert found.horizons == (1, 3)
    assert json.loads(json.dumps(found.to_json()))["columns"]["a"]["rmse"].keys() == {"1", "3"}
    rows = [line.split()[0] for line in report.describe(found).splitlines()[1:]]
    assert rows == ["a", "last", "seasonal", "b", "last", "seasonal"]
    assert "worse than the better naive forecast one step ahead: 2 of 2 columns, the most 'a'" in report.worse(found)[0]
