"""Forecasting: from a table of numbers to a trained network, its cell file and its forecasts as CSV."""

import datetime
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import Answer, train_small
from safetensors.torch import load as load_tensors

from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cli.series import to_csv
from tuirnn.config import load_recipe
from tuirnn.errors import CellFileError, ConfigError, DataError
from tuirnn.export.exporter import export_network, export_run
from tuirnn.export.network import read_network
from tuirnn.export.options import CellOptions
from tuirnn.runlog.answers import outlook_in
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.runtime.data import run_data
from tuirnn.runtime.opened import opened
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.forecast import data as forecast
from tuirnn.tasks.forecast import prediction as runtime
from tuirnn.tasks.forecast import rollout
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.tasks.history import Forecast, History
from tuirnn.training import launch
from tuirnn.training.events import Event
from tuirnn.training.learner import build_model
from tuirnn.training.tasks.forecast import ModelReader
from tuirnn.tui.screens.rollout import roll_out

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


# ── from a table to a network to a file ──────────────────────────────────────────


@pytest.mark.parametrize("name", ["plant", "windows"])
def test_the_cell_file_forecasts_as_the_trained_network(name: str, request: pytest.FixtureRequest) -> None:
    """One definition of the figures, two readers: PyTorch in batches, ONNX Runtime step by step, in raw units."""
    run: RunPaths = request.getfixturevalue(name)
    record, data = read_record(run), run_data(run)
    assert isinstance(data, SeriesData)
    model = build_model(record.config, data).eval()
    model.load_state_dict(load_tensors(checkpoint.load(run).files[checkpoint.MODEL]))
    back, held = forecast.look_back(record.config.train), data.held("val", 20)
    values, first = data.until("val")
    with torch.no_grad():
        ours = rollout.measure(ModelReader(model, data.scaling, CPU), held, data.scaling, look_back=back)
    cell = export_run(run)
    assert (cell.metadata.look_back, cell.metadata.scaling) == (back, data.scaling)
    theirs = runtime.measure(opened(cell, "plant", "cpu"), held)
    std = np.array(data.scaling.std)
    assert np.abs((ours.forecast - theirs.forecast) / std).max() < 1e-4
    assert theirs.network.mse == pytest.approx(ours.network.mse, rel=1e-3)
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
    periods = np.array(json.loads(meta["tuirnn.normalisation"])["periods"])  # 7, 3.5 and 7/3 days, in seconds
    next_day = (FIRST - datetime.date(1970, 1, 1)).days + 1
    for day, point in enumerate(data.values[:300]):
        angles = 2 * np.pi * 86_400 * (next_day + day) / periods
        x = [*point, *np.stack([np.sin(angles), np.cos(angles)], 1).ravel()]
        y, h = session.run(["y", "h_out"], {"x": np.float32([x]), "h_in": h})
    before = data.history(data.groups[0], 300, 300, 1, "")
    ahead = runtime.go_on(opened(cell, "plant", "cpu"), before, 1)
    assert np.abs(y[0] - ahead.points[0]).max() < 1e-2
    assert 5e4 < y[0, 0] < 1.5e5
    assert abs(y[0, 1]) < 3e-4


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_losses_of_other_precisions_are_measured(precision: str, plant: RunPaths) -> None:
    network = read_network(plant)
    if precision == "int4":  # its matrices are narrow
        with pytest.raises(ConfigError, match=r"would hold no matrix of .* in four bits"):
            export_network(network, CellOptions(precision=precision))
        return
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

    def crash(event: Event) -> None:
        if event.kind == "step" and event.step == 17:
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
    rows = [f"{FIRST + datetime.timedelta(days=i)},{i % 3},{i % 5}" for i in range(100)]
    more.write_text("\n".join(["date,valve,power", *rows]))
    launch.resume(killed, {"steps": 30, "sources": (str(more),)}, lambda event: None)
    changes = [event for event in LogTail(killed.events).read() if event["event"] == "changes"]
    assert changes[-1]["data"]["std"] == read_record(whole).data["std"]
    more.write_text("date,a,power\n2026-01-01,1,2\n")
    with pytest.raises(DataError, match="this network reads power, valve"):
        launch.resume(killed, {"steps": 40, "sources": (str(more),)}, lambda event: None)


def test_the_recipe_learns_the_sine(tmp_path: Path) -> None:
    """A slice of the recipe: a tenth of its steps."""
    config = load_recipe("sincos").config.replace(epochs=0.0, steps=150, eval_every=150, warmup=10, horizon=50)
    launch.start(config.replace(device="cpu"), tmp_path, "sincos", lambda event: None)
    cell = export_run(RunPaths(tmp_path / "sincos"))
    data = run_data(RunPaths(tmp_path / "sincos"))
    assert isinstance(data, SeriesData)
    figures = runtime.measure(opened(cell, "sincos", "cpu"), data.held("test", 50))
    last = figures.errors["last"]
    assert figures.network.mse.max() < 1e-3 < last.mse.min()
    assert figures.network.rollout_rmse.max() < 0.3 < last.rollout_rmse.min()


# ── commands and screens ─────────────────────────────────────────────────────────


def test_a_forecast_is_drawn_over_its_dates(plant: RunPaths) -> None:
    found = roll_out("plant", plant.root.parent)
    assert len(found.times) == len(found.history) + len(found.forecast)
    day = lambda row: str(FIRST + datetime.timedelta(days=row))  # noqa: E731
    assert (found.times[0], found.times[len(found.history)]) == (day(found.first), day(found.start))
    (recorded, *_) = [record for record in LogTail(plant.samples).read() if record["kind"] == "forecast"]
    outlook = outlook_in(recorded)
    assert outlook is not None
    begin = round(0.7 * 400) - len(outlook.history)
    assert outlook.times == tuple(day(begin + i) for i in range(len(outlook.history) + len(outlook.forecast)))


def test_numbers_have_one_decimal_more_than_the_table() -> None:
    columns = np.array([[3, 0.25, 1e-7 / 3, 12_345_678, 0.0, np.nan, 1e12]] * 3 + [[4, 1.5, 1e-7, 1, 0.0, 7.5, 2e12]])
    history = History("t", columns, 4, real=np.array([[True] * 5 + [True, True]] * 4))
    forecast = Forecast(np.array([[3.14159, 3.14159, 1 / 3e7, 1234.5678, np.inf, 7.123, 1.23456789e12]]))
    names = tuple("abcdefg")
    assert to_csv(names, [(history, forecast)]).splitlines()[1] == "3.1,3.142,3.333333e-08,1234.6,inf,7.12,1.234568e+12"


def test_the_commands(plant: RunPaths, table: Path, answer: Callable[..., Answer], tmp_path: Path) -> None:
    def tuirnn(*words: str) -> Answer:
        return answer(*words, "--runs", str(plant.root.parent))

    done = tuirnn("predict", "plant", str(table), "--horizon", "5")
    assert done.code == 0, done.err
    ends = "power low 90%,power high 90%,valve low 90%,valve high 90%"
    assert done.out.splitlines()[0] == f"date,power,valve,{ends}"
    assert [line[:10] for line in done.out.splitlines()[1:3]] == ["2027-02-05", "2027-02-06"]
    power, low, high = (float(done.out.splitlines()[1].split(",")[at]) for at in (1, 3, 4))
    assert low < power < high
    assert len(done.out.splitlines()) == 6
    chart = tuirnn("predict", "plant", "--chart", "--horizon", "20", "-o", str(tmp_path / "x.csv"),
                   "--plot", str(tmp_path / "x.svg"))  # fmt: skip
    assert "power: 20 points after row 400 (2027-02-04)" in chart.out, chart.err
    assert re.search(r"^ *20\d\d-\d\d-\d\d +20\d\d-\d\d-\d\d", chart.out, re.MULTILINE)  # the axis
    assert "points ahead" not in chart.err
    assert "200 points ahead, the default of --horizon" in tuirnn("predict", "plant", "--no-chart").err
    first = done.out.splitlines()[1].split(",")
    assert [len(cell.partition(".")[2]) for cell in first[1:3]] == [2, 10]  # one decimal more than in the table
    assert "⠉" in chart.out
    assert (tmp_path / "x.csv").read_text().splitlines()[1:6] == done.out.splitlines()[1:]
    picture = (tmp_path / "x.svg").read_text()
    assert "<svg" in picture[:500]
    assert "<!-- date -->" in picture
    assert re.search("<!-- 2027-0[12]-[0-9]{2} -->", picture)
    figures = json.loads(tuirnn("eval", "plant", "--json").out)
    assert figures["on"] == "its test split"
    assert figures["columns"].keys() == {"power", "valve"}
    (tmp_path / "short.csv").write_text("power,valve\n1,2\n")
    for mistake in (
        ["predict", "plant", str(tmp_path / "none.csv")],
        ["predict", "plant", "--file", "x"],
        ["eval", "plant", "--text", str(tmp_path / "short.csv")],
        ["generate", "plant"],
    ):
        done = tuirnn(*mistake)
        assert (done.code, done.err.count("\n")) == (2, 1), (mistake, done)
