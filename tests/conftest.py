"""Fixtures shared by all tests: the devices present, a small text, a small trained run of each cell."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths

LINE = "the quick brown fox jumps over the lazy dog; 'tis a mile, said he.\n"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`device` runs a test once on every device of this machine."""
    if "device" in metafunc.fixturenames:
        import torch

        metafunc.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's runs, or cells that were tried before this session."""
    monkeypatch.delenv("TUIRNN_RUNS", raising=False)
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(tmp_path_factory.getbasetemp() / "known-cells.txt"))


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of about 8,000 characters."""
    path = tmp_path_factory.mktemp("text") / "fox.txt"
    path.write_text(LINE * 120)
    return path


def train_small(folder: Path, name: str, source: Path, **changes: Any) -> RunPaths:
    """Train a few steps of a small network."""
    from tuirnn.training import launch

    settings = {
        "hidden": 24, "embed": 8, "steps": 20, "eval_every": 10, "checkpoint_every": 10, "batch_size": 4,
        "seq_len": 16, "sample_length": 20, "sources": (str(source),), "device": "cpu",
    }  # fmt: skip
    launch.start(RunConfig().replace(**{**settings, **changes}), folder, name, lambda event: None)
    return RunPaths(folder / name)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs that several tests read and none changes."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained(runs: Path, small_text: Path) -> Callable[..., RunPaths]:
    """`trained(cell=…, layers=…)`: a small run, made once a session for each set of settings."""
    made: dict[str, RunPaths] = {}

    def make(**changes: Any) -> RunPaths:
        name = "-".join(["small", *(f"{key}.{value}" for key, value in sorted(changes.items()))]).replace("_", ".")
        if name not in made:
            made[name] = train_small(runs, name, small_text, **changes)
        return made[name]

    return make


@pytest.fixture(scope="session")
def small_run(trained: Callable[..., RunPaths]) -> RunPaths:
    """A small trained LSTM."""
    return trained()


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Path]:
    """`alone(run, …)`: a folder of runs with copies of these and no others."""

    def copy(*runs: RunPaths) -> Path:
        for run in runs:
            shutil.copytree(run.root, tmp_path / "runs" / run.name)
        return tmp_path / "runs"

    return copy


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a child process, as a user's shell would have it."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TUIRNN_")}
