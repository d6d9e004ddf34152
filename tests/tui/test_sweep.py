"""The Sweep tab: best so far, losses by setting, importance, and the table; and what is read of `sweep.json`."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuirnn.cli import app as cli
from tuirnn.config import RunConfig
from tuirnn.sweeping.reading import read, sweeps
from tuirnn.sweeping.results import Trial, as_data, write_data
from tuirnn.tui.screens.sweep import SweepTab, _lines
from tuirnn.tui.screens.train import TrainTab
from tuirnn.tui.widgets.chart import Chart

from .conftest import SIZES, Opener, screen_text, until, write_run

LOSSES = {(0.001, 0): 2.4, (0.001, 1): 2.5, (0.003, 0): 1.9, (0.003, 1): 1.95, (0.01, 0): 2.1, (0.01, 1): 2.2}


def trials(**values: Any) -> list[Trial]:
    return [
        Trial(f"lr-{k}", k, {"lr": lr, "seed": seed, **values}, "done", loss, "nats/char", "None", 60, 60, 2.5, False)
        for k, ((lr, seed), loss) in enumerate(LOSSES.items())
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path, "lr-2")
    failed = Trial("lr-6", 6, {"lr": 1.0, "seed": 0}, "failed", None, "", "None", 0, 3, 0.5, False, "not finite")
    write_data(tmp_path / ".sweeps" / "lr" / "sweep.json", as_data("lr", "grid", [*trials(), failed]))
    return tmp_path


@pytest.mark.parametrize("size", SIZES)
async def test_the_sweep_is_on_the_screen(folder: Path, opened: Opener, size: tuple[int, int]) -> None:
    async with opened(folder, size) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "1.900" in screen_text(pilot.app))
        shown = screen_text(pilot.app)
        for words in ("best val loss so far", "val loss by learning rate", "importance", "★", "failed"):
            assert words in shown, words
        assert shown.index("1.900") < shown.index("1.950") < shown.index("2.100"), "the best first"
        course = pilot.app.query_one("#sweep-course", Chart).series[-1]
        assert course.y.values.tolist() == pytest.approx([2.4, 2.4, 1.9, 1.9, 1.9, 1.9])
        await pilot.press("x")
        await until(pilot, lambda: "val loss by seed" in screen_text(pilot.app))


async def test_the_best_run_is_opened(folder: Path, opened: Opener) -> None:
    async with opened(folder, (120, 40)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: pilot.app.query_one(SweepTab).can("open"))
        await pilot.press("enter")
        await until(pilot, lambda: (paths := pilot.app.query_one(TrainTab).paths) is not None and paths.name == "lr-2")


async def test_without_a_sweep_it_says_how_to_begin_one(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (120, 40)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "tuirnn sweep SOURCE" in screen_text(pilot.app))
        assert pilot.app.query_one(SweepTab).copies() == {}


async def test_a_command_of_a_sweep_about_a_run_is_copied(tmp_path: Path, opened: Opener) -> None:
    config = RunConfig().replace(hidden=48, lr=0.003, seed=7, sources=("a text.txt",))
    write_run(tmp_path, "one", config=config)
    async with opened(tmp_path, (80, 24)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "ctrl+c copies" in screen_text(pilot.app))
        await pilot.press("ctrl+c")
        await until(pilot, lambda: bool(pilot.app.clipboard))
        words = shlex.split(pilot.app.clipboard)
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 200)
    done = CliRunner().invoke(cli, ["sweep", "--dry-run", *words[2:-1], str(text)])
    assert done.exit_code == 0, done.output
    assert "6 runs" in done.output
    assert words[-1] == "a text.txt"


@pytest.mark.parametrize("room", range(10, 120, 7))
def test_a_table_is_cut_between_words(room: int) -> None:
    said = "failed: the loss is not finite at step 12"
    rows = [("", "val loss", "label smoothing", "state"), ("★", "1.500", "0.1", said)]
    for line in _lines(rows, room):
        assert line.cell_length <= room
        words = {*said.split(), "★", "1.500", "0.1", "val", "loss", "label", "smoothing", "state", "…"}
        assert set(line.plain.split()) <= words


def test_damaged_files_are_passed_over(folder: Path) -> None:
    file = folder / ".sweeps" / "lr" / "sweep.json"
    assert len(sweeps(folder, [])) == 1
    body = json.loads(file.read_text())
    body["trials"][0]["loss"] = "NaN"
    body["trials"][1] = 5
    body["best_so_far"].append("x")
    file.write_text(json.dumps(body))
    found = read(file)
    assert found is not None
    assert len(found.trials) == 6
    assert found.trials[0].loss is None
    file.write_text("{")
    assert sweeps(folder, []) == ()
