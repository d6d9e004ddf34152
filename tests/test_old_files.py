"""Runs, checkpoints, cell files and recipes of the version before a cell was written once (tests/old) still work."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from tuirnn import drift
from tuirnn.cells import CELLS
from tuirnn.cli import app
from tuirnn.config import RunConfig, load_recipe
from tuirnn.export.exporter import export_run
from tuirnn.kernels import native
from tuirnn.loading.cell import load_cell
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record
from tuirnn.training import launch

OLD = Path(__file__).parent / "old"
EXPECTED: dict[str, dict[str, Any]] = json.loads((OLD / "expected.json").read_text())
NAMES = tuple(EXPECTED)

MOVED = 1e-6
"""Largest difference of a weight after five resumed steps, each of which moves weights of the size of 1 by about 0.01.
On the machine where the files were made the RNNs are equal to the last bit and the others are within 6e-8, one unit in
the last place: their factors are multiplied in another order, and bias_hh of the GRU's r and z is now added once before
the loop. Another processor's matrix products add in an order of their own."""


def asked(*words: str | Path) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of the old runs that a test may change."""
    return Path(shutil.copytree(OLD / "runs", tmp_path / "runs"))


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels and the number of threads that the files were made with."""
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    threads = torch.get_num_threads()
    native.forget()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    native.forget()


def test_the_files_are_of_every_cell_of_that_version() -> None:
    assert {path.name for path in (OLD / "runs").iterdir()} == set(NAMES)
    assert set(NAMES) <= set(CELLS)
    for name in NAMES:
        assert read_record(RunPaths(OLD / "runs" / name)).config.model.recurrent.name == name


def test_they_are_listed_and_shown(runs: Path) -> None:
    assert {run["name"] for run in json.loads(asked("runs", "ls", "--runs", runs, "--json"))} == set(NAMES)
    for name in NAMES:
        shown = json.loads(asked("runs", "show", name, "--runs", runs, "--json"))
        assert shown["settings"]["model"].items() >= CELLS[name].settings.items()


@pytest.mark.parametrize("name", NAMES)
def test_resuming_ends_at_the_weights_of_that_version(name: str, runs: Path, portable: None) -> None:
    launch.resume(RunPaths(runs / name), {"steps": 11}, lambda event: None)
    found = load_file(runs / name / "step_00000011" / "model.safetensors")
    wanted = load_file(OLD / "resumed" / f"{name}.safetensors")
    assert found.keys() == wanted.keys()
    before = load_file(OLD / "runs" / name / "step_00000006" / "model.safetensors")
    for key, values in wanted.items():
        assert np.abs(values - before[key]).max() > 1000 * MOVED, "nothing was learned"
        assert np.abs(found[key] - values).max() <= MOVED, key


@pytest.mark.parametrize("name", NAMES)
def test_cell_files_open_generate_and_evaluate(name: str, runs: Path) -> None:
    """The same text from the old file and the same loss of the old run as that version gave."""
    words = ("--length", "60", "--temperature", "1", "--seed", "3", "--device", "cpu")
    assert asked("generate", OLD / "cells" / f"{name}.onnx", *words) == EXPECTED[name]["text"]
    found = json.loads(asked("eval", name, "--runs", runs, "--json"))
    assert found["nats"] == pytest.approx(EXPECTED[name]["nats"], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_exporting_an_old_checkpoint_gives_the_same_cell(name: str, runs: Path) -> None:
    new = export_run(RunPaths(runs / name))
    old = load_cell(str(OLD / "cells" / f"{name}.onnx"), runs, "last")
    for field in ("task", "cell", "variant", "layers", "hidden", "vocab"):
        assert getattr(new.metadata, field) == getattr(old.metadata, field)
    np.testing.assert_allclose(new.metadata.test.outputs, old.metadata.test.outputs, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_verify_holds_an_old_run_to_the_definition(name: str, runs: Path) -> None:
    found = drift.measure(RunPaths(runs / name), steps=200, greedy=50)
    assert found.worst <= found.bound
    assert found.greedy == 50


def test_recipes_with_families_and_options_of_other_cells() -> None:
    """What no cell of the recipe reads stays as it is written: it was accepted before."""
    config = load_recipe(str(OLD / "recipe.toml")).config
    assert config == RunConfig().replace(
        cell="rnn", nonlinearity="relu", reset="before", forget_bias=2.0, hidden=8, lr=2e-3, steps=6
    )
    assert config.model.recurrent is CELLS["rnn-relu"]
