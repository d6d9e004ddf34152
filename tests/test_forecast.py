"""Forecasting: tables of numbers, their normalisation, errors and roll-outs, and the road from a table to CSV."""

import datetime
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import train_small
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors

from tuirnn.cellfile.contract import CellMetadata
from tuirnn.config import RunConfig, load_recipe
from tuirnn.errors import CellFileError, ConfigError, DataError
from tuirnn.escaping import heading_from_csv
from tuirnn.export.exporter import export_network, export_run
from tuirnn.export.network import read_network
from tuirnn.export.options import CellOptions
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.runtime.data import run_data
from tuirnn.runtime.opened import opened
from tuirnn.runtime.session import CellSession
from tuirnn.scaling import Scaling
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tables.dialect import Given
from tuirnn.tasks import sources
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import prediction as runtime
from tuirnn.tasks.forecast import reading, rollout
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.training import launch
from tuirnn.training.learner import build_model
from tuirnn.training.tasks.forecast import ModelReader

CPU = torch.device("cpu")
FIRST = datetime.date(2026, 1, 1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two columns of numbers of very different size, one of dates, one that never changes."""
    path = tmp_path_factory.mktemp("series") / "plant.csv"
    rows = ["date,power,valve,none"]
    rows += [
        f"{FIRST + datetime.timedelta(days=i)},{1e5 + 2e4 * math.sin(i / 5):.1f},{1e-4 * math.cos(i / 5):.9f},7"
        for i in range(400)
    ]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def plant(table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A GRU that carries its state along the plant's series."""
    return train_small(
        tmp_path_factory.mktemp("runs"), "plant", table, task="forecast", cell="gru", hidden=16, layers=2, lr=0.02,
        steps=40, eval_every=20, checkpoint_every=20, batch_size=8, dropout=0.0, test_fraction=0.2, horizon=30,
    )  # fmt: skip


@pytest.fixture(scope="module")
def windows(plant: RunPaths, table: Path) -> RunPaths:
    """The same from windows of five points."""
    return train_small(
        plant.root.parent, "windows", table, task="forecast", cell="rnn", hidden=16, lr=0.02, steps=40, eval_every=20,
        checkpoint_every=20, batch_size=8, dropout=0.0, batches="windows", seq_len=5, horizon=20, columns="valve,power",
    )  # fmt: skip


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
    assert [len(part) for part in (data.train, data.test, data.val)] == [70, 10, 20]
    assert np.concatenate([data.train, data.test, data.val]).tolist() == data.values.tolist()
    assert data.scaling.mean == (np.arange(70.0) ** 2).mean()
    assert data.until("test")[0].tolist() == data.values[:80].tolist()
    assert data.until("val")[1] == 80
    assert len(load(tmp_path / "t.csv", text, fraction=0.5).values) == 50


NUMBERS = "".join(f"{i % 7},{i % 5}\n" for i in range(30))

BAD = {
    "ragged": ("a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
    "text in a column": ("a,b\n" + NUMBERS + "5,oops\n", r"line 32: 'oops' in column 'b' is not a finite number"),
    "infinite": ("a,b\n" + NUMBERS + "5,inf\n", "line 32: 'inf' in column 'b'"),
    "too large": ("a,b\n" + NUMBERS + "5,1e300\n", "line 32: '1e300' in column 'b'"),
    "no numbers": ("a,b\nx,y\nz,w\n", "0 columns to learn from"),
    "constant": ("a\n" + "3\n" * 30, "column 'a' does not change in the training part"),
    "too fine": ("a\n" + "".join(f"{1e9 + i % 3}\n" for i in range(30)), "less than float32 tells apart"),
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
        "no column of times: the rows are taken to be in order, the oldest first",
        "column 'date' holds no numbers: left out",
        "column 'rare' is mostly missing: left out",
        "column '5' has no name: left out",
        "column 'same' does not change in the training part: left out",
        "1 rows before the first value of every column left out",
        "1 missing values taken to be the last one before, and counted in no loss or error",
        "row 1: a 1, b 1",
        "row 2: a 2, b 2",
        "row 3: a 3, b 3",
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
    found = rollout.measure(Doubler(), values, 10, scaling, look_back=look_back, horizon=3)
    t = np.arange(10, 20)  # 2·t is said where t + 1 comes
    assert found.points == 10
    assert np.allclose(found.mse, [((2 * t - (t + 1)) ** 2).mean()] * 2)
    assert np.allclose(found.mae, [np.abs(2 * t - (t + 1)).mean()] * 2)
    assert np.allclose(found.naive_mse, [1.0, 1.0])
    assert found.loss == pytest.approx((found.mse[0] / 4 + found.mse[1] / 16) / 2)
    origins = np.arange(10, 18)
    off = np.stack([2.0**h * origins - (origins + h) for h in (1, 2, 3)])
    assert found.origins == 8
    assert np.allclose(found.rmse[:, 0], np.sqrt((off**2).mean(1)))
    assert np.allclose(found.rollout_rmse[1], np.sqrt((off**2).mean()))
    assert np.allclose(found.naive_rmse[:, 0], [1.0, 2.0, 3.0])
    assert found.horizons == (1, 3)
    assert json.loads(json.dumps(found.to_json()))["columns"]["a"]["rmse"].keys() == {"1", "3"}
    assert "last" in rollout.describe(found)


# ── from a table to a network to a file ──────────────────────────────────────────


@pytest.mark.parametrize("name", ["plant", "windows"])
def test_the_cell_file_forecasts_as_the_trained_network(name: str, request: pytest.FixtureRequest) -> None:
    """One definition of the figures, two readers: PyTorch in batches, ONNX Runtime step by step, in raw units."""
    run: RunPaths = request.getfixturevalue(name)
    record, data = read_record(run), run_data(run)
    assert isinstance(data, SeriesData)
    model = build_model(record.config, data).eval()
    model.load_state_dict(load_tensors(checkpoint.load(run).files[checkpoint.MODEL]))
    back, values, first = forecast.look_back(record.config.train), *data.until("val")
    with torch.no_grad():
        ours = rollout.measure(
            ModelReader(model, data.scaling, CPU), values, first, data.scaling, look_back=back, horizon=20
        )
    cell = export_run(run)
    assert (cell.metadata.look_back, cell.metadata.scaling) == (back, data.scaling)
    theirs = runtime.measure(opened(cell, "plant", "cpu"), values, first, horizon=20)
    std = np.array(data.scaling.std)
    assert np.abs((ours.forecast - theirs.forecast) / std).max() < 1e-4
    assert theirs.mse == pytest.approx(ours.mse, rel=1e-3)
    status = read_status(run)
    if status.best_step == status.step:
        assert status.val_loss == pytest.approx(ours.loss, rel=1e-6)
    assert ours.loss < 0.5 * ours.overall(((values[first:] - values[first:].mean(0)) ** 2).mean(0))


def test_raw_in_raw_out(plant: RunPaths) -> None:
    """As a host would use it: plain onnxruntime, the data's own units, the state carried by the state map."""
    cell = export_run(plant)
    session = onnxruntime.InferenceSession(cell.data)
    meta = session.get_modelmeta().custom_metadata_map
    assert meta["tuirnn.task"] == "forecast"
    assert json.loads(meta["tuirnn.normalisation"])["columns"] == ["power", "valve"]
    data = run_data(plant)
    assert isinstance(data, SeriesData)
    h = np.zeros((2, 1, 16), np.float32)
    for point in data.values[:300]:
        y, h = session.run(["y", "h_out"], {"x": point[None].astype(np.float32), "h_in": h})
    assert np.abs(y[0] - runtime.go_on(opened(cell, "plant", "cpu"), data.values[:300], 1)[0]).max() < 1e-2
    assert 5e4 < y[0, 0] < 1.5e5
    assert abs(y[0, 1]) < 3e-4


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_other_precisions_are_weighed(precision: str, plant: RunPaths) -> None:
    network = read_network(plant)
    cell = export_network(network, CellOptions(precision=precision), max_loss_increase=0.1)
    assert cell.metadata.loss is not None
    assert abs(cell.metadata.loss.nats - cell.metadata.loss.nats_fp32) < 0.1
    CellSession(cell, device="cpu")


def test_metadata_round_trip_and_damage(plant: RunPaths) -> None:
    cell = export_run(plant)
    strings = cell.metadata.to_strings()
    again = CellMetadata.from_strings(strings)
    assert again.to_strings() == strings
    assert (again.scaling, again.test, again.val_mse) == (
        cell.metadata.scaling,
        cell.metadata.test,
        cell.metadata.val_mse,
    )
    assert "tuirnn.vocab" not in strings
    for key, value in (
        ("normalisation", "{}"),
        ("normalisation", '{"columns": ["a", "b"], "mean": [0, 0], "std": [1, 0]}'),
        ("normalisation", '{"columns": ["a"], "mean": [NaN], "std": [1]}'),
        ("look_back", "-1"),
        ("test_vector", '{"x": [[1]], "y": [1, 2], "atol": 1e-4}'),
        ("test_vector", '{"x": [[1, NaN]], "y": [1, 2], "atol": 1e-4}'),
        ("task", "lm"),
    ):
        with pytest.raises(CellFileError):
            CellMetadata.from_strings({**strings, f"tuirnn.{key}": value})


def test_what_an_evaluation_leaves(plant: RunPaths) -> None:
    (*_, val) = [r for r in LogTail(plant.metrics).read() if r["split"] == "val"]
    assert {"loss", "mae", "rollout_rmse", "naive_loss", "rmse_1", "rmse_10", "rmse_30"} <= val.keys()
    (*_, sample) = [r for r in LogTail(plant.samples).read() if r["kind"] == "forecast"]
    assert sample["columns"] == ["power", "valve"]
    assert np.array(sample["truth"]).shape == np.array(sample["forecast"]).shape == (30, 2)
    status = read_status(plant)
    assert (status.figure("mae"), status.figure("rollout_rmse")) == (val["mae"], val["rollout_rmse"])
    assert read_record(plant).data["columns"] == ["power", "valve"]
    assert len(LogTail(plant.probes).read()[-1]["gradient"][0]) == 16


def test_only_the_last_step_of_windows_counts(plant: RunPaths, windows: RunPaths) -> None:
    from tuirnn.training.tasks.forecast import make_loss

    outputs, targets = torch.zeros(4, 2, 1), torch.arange(8.0).view(4, 2, 1)
    for run, expected in ((plant, float((targets**2).mean())), (windows, (36 + 49) / 2)):
        loss = make_loss(read_record(run).config, run_data(run), torch.device("cpu"))
        assert float(loss(outputs, targets)) == expected


def test_resumed_forecasters_have_the_same_bits_and_keep_their_normalisation(table: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"task": "forecast", "steps": 24, "checkpoint_every": 7, "horizon": 5}
    whole = train_small(tmp_path, "whole", table, **settings)

    class Crash(BaseException):
        pass

    def crash(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 17:
            raise Crash

    with pytest.raises(Crash):
        launch.start(read_record(whole).config, tmp_path, "killed", crash)
    killed = RunPaths(tmp_path / "killed")
    launch.resume(killed, {}, lambda event: None)
    assert (
        checkpoint.load(killed, "last").files[checkpoint.MODEL]
        == checkpoint.load(whole, "last").files["model.safetensors"]
    )
    more = tmp_path / "more.csv"
    more.write_text("valve,power\n" + "".join(f"{i % 3},{i % 5}\n" for i in range(100)))
    launch.resume(killed, {"steps": 30, "sources": (str(more),)}, lambda event: None)
    changes = [event for event in LogTail(killed.events).read() if event["event"] == "changes"]
    assert changes[-1]["data"]["std"] == read_record(whole).data["std"]
    more.write_text("a,power\n1,2\n")
    with pytest.raises(DataError, match="this network reads power, valve"):
        launch.resume(killed, {"steps": 40, "sources": (str(more),)}, lambda event: None)


def test_the_recipe_learns_the_sine(tmp_path: Path) -> None:
    """A slice of the recipe: a tenth of its steps."""
    config = load_recipe("sincos").config.replace(epochs=0.0, steps=150, eval_every=150, warmup=10, horizon=50)
    launch.start(config.replace(device="cpu"), tmp_path, "sincos", lambda event: None)
    cell = export_run(RunPaths(tmp_path / "sincos"))
    data = run_data(RunPaths(tmp_path / "sincos"))
    assert isinstance(data, SeriesData)
    figures = runtime.measure(opened(cell, "sincos", "cpu"), *data.until("test"), horizon=50)
    assert figures.mse.max() < 1e-3 < figures.naive_mse.min()
    assert figures.rollout_rmse.max() < 0.3 < figures.naive_rollout_rmse.min()


# ── commands and screens ─────────────────────────────────────────────────────────


def test_the_commands(plant: RunPaths, table: Path, environment: dict[str, str], tmp_path: Path) -> None:
    def tuirnn(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tuirnn", *arguments, "--runs", str(plant.root.parent)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = tuirnn("predict", "plant", str(table), "--horizon", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "power,valve"
    assert len(done.stdout.splitlines()) == 6
    chart = tuirnn("predict", "plant", "--chart", "--horizon", "20", "-o", str(tmp_path / "x.csv"),
                   "--plot", str(tmp_path / "x.svg"))  # fmt: skip
    assert "power: 20 points after row 400" in chart.stdout, chart.stderr
    assert "⠉" in chart.stdout
    assert (tmp_path / "x.csv").read_text().splitlines()[1:6] == done.stdout.splitlines()[1:]
    assert b"<svg" in (tmp_path / "x.svg").read_bytes()[:500]
    figures = json.loads(tuirnn("eval", "plant", "--json").stdout)
    assert figures["on"] == "its test split"
    assert figures["columns"].keys() == {"power", "valve"}
    (tmp_path / "short.csv").write_text("power,valve\n1,2\n")
    for mistake in (
        ["predict", "plant", str(tmp_path / "none.csv")],
        ["predict", "plant", "--file", "x"],
        ["eval", "plant", "--text", str(tmp_path / "short.csv")],
        ["generate", "plant"],
        ["export", "plant", "--c"],
    ):
        done = tuirnn(*mistake)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), (mistake, done.stderr)
