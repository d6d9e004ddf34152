"""A grid of runs: names, values, complete and interrupted runs, the tables at the end."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from waiting import wait

from tuirnn import sweeping
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, RunError
from tuirnn.runs import checkpoint, control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.sweeping.space import Choices, parse
from tuirnn.training import launch
from tuirnn.training.events import Event


def test_a_grid_is_every_combination() -> None:
    points = sweeping.grid(RunConfig(), {"cell": ["lstm", "gru"], "lr": [0.001, 0.01], "seed": [0, 1]}, "mine")
    assert len({point.name for point in points}) == 8
    assert points[0].name == "mine-lstm-lr0.001-seed0"
    assert [(p.config.model.cell, p.config.train.lr, p.config.train.seed) for p in points][-1] == ("gru", 0.01, 1)
    with pytest.raises(ConfigError, match="twice"):
        sweeping.grid(RunConfig(), {"seed": [1, 1]}, "mine")
    with pytest.raises(ConfigError, match="more than 1,000"):
        sweeping.grid(RunConfig(), {"seed": list(range(2000))}, "mine")
    with pytest.raises(ConfigError, match="--hidden must be at least 1"):
        sweeping.grid(RunConfig(), {"hidden": [4, 0]}, "mine")


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [("hidden", "64, 128", [64, 128]), ("lr", "1e-3,2e-3", [0.001, 0.002]), ("residual", "true,False", [True, False]),
     ("cell", "lstm,gru", ["lstm", "gru"]), ("classes", "German,Italian", ["German,Italian"])],
)  # fmt: skip
def test_values_have_the_type_of_their_setting(name: str, text: str, values: list[Any]) -> None:
    assert parse(name, text) == Choices(tuple(values))


@pytest.mark.parametrize(("name", "text"), [("hidden", "64,x"), ("hidden", "64,"), ("residual", "yes"), ("lr", "a,b")])
def test_values_that_are_none_get_one_clear_line(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"--{name} takes .* with commas between"):
        parse(name, text)


def test_what_is_done_is_skipped_and_what_was_cut_short_goes_on(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_record(train_small(tmp_path, "sweep-seed0", small_text)).config
    points = sweeping.grid(config, {"seed": [0, 1, 2]}, "sweep")
    untouched = (tmp_path / "sweep-seed0" / "status.json").stat().st_mtime_ns

    def stop(event: Event) -> None:
        if event.kind == "step" and event.step == 2:
            control.send(RunPaths(tmp_path / "sweep-seed1"), control.Request("stop"))

    monkeypatch.setattr("tuirnn.training.channel.CONTROL_POLL", 0.0)  # twenty steps take less than a tenth of a second
    assert launch.start(points[1].config, tmp_path, "sweep-seed1", stop) == "request"
    said: list[str] = []
    assert sweeping.train(points, tmp_path, 2, said.append) == {}
    assert said[0] == "1 of 3 runs are done already"
    assert (tmp_path / "sweep-seed0" / "status.json").stat().st_mtime_ns == untouched
    for point in points:
        paths = RunPaths(tmp_path / point.name)
        assert checkpoint.load(paths, "last").step == 20
        assert [r["step"] for r in LogTail(paths.metrics).read() if r["split"] == "train"] == list(range(1, 21))
    assert "resume" in [event["event"] for event in LogTail(RunPaths(tmp_path / "sweep-seed1").events).read()]
    titles, *rows = sweeping.table(points, tmp_path)
    assert titles == ("run", "seed", "best val", "unit", "at step", "seconds", "parameters", "state")
    assert [row[-1] for row in rows] == ["done"] * 3
    (_, means) = sweeping.over_seeds(points, tmp_path)
    losses = [read_status(RunPaths(tmp_path / point.name)).best_val_loss for point in points]
    assert means[:2] == ("3", f"{sum(losses) / 3:.4f}")
    with pytest.raises(RunError, match=r"another --steps.*--name"):
        sweeping.is_done(sweeping.Point("sweep-seed0", config.replace(steps=30), {}), tmp_path)


def test_the_command(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    common = ["--hidden", "8", "--steps", "3", "--runs", str(tmp_path / "runs"), "--json"]

    def tuirnn(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tuirnn", "sweep", str(small_text), *common, *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = tuirnn("--seq-len", "8,100000", "-o", str(tmp_path / "r"))
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert list(said["failed"]) == ["sweep-seq_len100000"]
    assert [row["state"] for row in said["runs"]] == ["done", "failed"]
    assert "sweep-seq_len8" in (tmp_path / "r" / "sweep.md").read_text()
    done = tuirnn("--seed", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "several values" in done.stderr


def test_an_interrupted_sweep_leaves_checkpoints(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    words = ["--hidden", "8", "--minutes", "5", "--seed", "0,1", "--jobs", "2", "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "tuirnn", "sweep", str(small_text), *words]
    paths = [RunPaths(tmp_path / f"sweep-seed{seed}") for seed in (0, 1)]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit it ignored
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, preexec_fn=heeded) as process:
        wait(lambda: min(read_status(run).step for run in paths) >= 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    for run in paths:
        assert read_status(run).state == "stopped"
        assert checkpoint.load(run, "last").step >= 5
