"""The first screen, and the tour: a real training, by the keys that the tour names."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from started import long
from textual.pilot import Pilot

from tuirnn.runs import control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens import tour as tours
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.new_run import NewRun
from tuirnn.tui.screens.tour import STEPS, Tour
from tuirnn.tui.widgets.welcome import DOORS, Welcome

from .browsing import BROWSER, browser, serving
from .conftest import SIZES, Opener, screen_text, until

CODES = {"←": ("ArrowLeft", 37), "esc": ("Escape", 27)}
"""Their names in a browser, with their codes."""

KEYS = {"space": "space", "←": "left", "esc": "escape"}
"""Names of the keys that the tour shows, as Textual has them."""


@pytest.mark.parametrize("size", SIZES)
async def test_three_doors_without_runs(tmp_path: Path, opened: Opener, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as pilot:
        for name, behind, key in DOORS:
            assert name in screen_text(pilot.app)
            assert behind in screen_text(pilot.app)
            assert f" {key} " in screen_text(pilot.app)
        assert str(tmp_path)[:40] in screen_text(pilot.app)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, NewRun))
        await pilot.press("escape", "up", "enter")
        await until(pilot, lambda: pilot.app.query_one(GenerateTab).is_open)


async def test_a_door_opens_by_a_click(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path) as pilot:
        rows = screen_text(pilot.app).splitlines()
        y = next(number for number, row in enumerate(rows) if "  train " in row)
        await pilot.click(offset=(rows[y].index("train"), y))
        await until(pilot, lambda: isinstance(pilot.app.screen, NewRun))


def tour(pilot: Pilot[None]) -> Tour:
    return pilot.app.screen_stack[0].query_one(Tour)


async def press_as_told(pilot: Pilot[None], at: int) -> None:
    """Wait for the step's key, press it, and what belongs to it."""
    step = STEPS[at]
    await until(pilot, lambda: tour(pilot).at == at and f"{step.key}  {step.does}" in screen_text(pilot.app))
    await pilot.press(KEYS.get(step.key, step.key))
    if step.key == "i":
        await pilot.press(*"My own", "enter")
    if step.key == "B":
        await until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("home", "enter")


@long
async def test_the_tour_from_start_to_end(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, small_text: Path
) -> None:
    config = tours.tour_config().replace(sources=(str(small_text),), hidden=16, eval_every=20, checkpoint_every=20)
    monkeypatch.setattr(tours, "tour_config", lambda: config)  # the same tour of a smaller network
    monkeypatch.setattr(tours, "LEARNED", 40)
    run = RunPaths(tmp_path / "tour")
    async with opened(tmp_path, (80, 24)) as pilot:
        pilot.app.query_one(Welcome)
        await pilot.press("h")
        try:
            for at in range(len(STEPS)):
                await press_as_told(pilot, at)
            await until(pilot, lambda: not tour(pilot).is_on)
            branches = pilot.app.query_one(GenerateTab).view.branches
            assert [branch.name for branch in branches] == ["main", "branch 1"]
            assert branches[0].open
        finally:
            control.send(run, control.Request("stop"))
        end = time.monotonic() + 30
        while read_status(run).live and time.monotonic() < end:
            await pilot.pause(0.1)


async def test_the_tour_can_be_left_at_any_time(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tours, "tour_config", lambda: tours.RunConfig().replace(sources=("no-such-file",)))
    async with opened(tmp_path, (80, 24)) as pilot:
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: "the training did not start" in screen_text(pilot.app))
        assert "no-such-file" in screen_text(pilot.app)
        await pilot.press("escape")
        assert not tour(pilot).is_on
        assert "esc leave the tour" not in screen_text(pilot.app)


async def test_the_steps_look_at_what_the_keys_have_done(
    alone: Callable[..., Path], small_run: RunPaths, opened: Opener
) -> None:
    async with opened(alone(small_run), (80, 24), run=small_run.name) as pilot:
        assert isinstance(pilot.app, DashboardApp)
        pilot.app._tour = Tour(pilot.app, id="tour")
        await pilot.app.screen.mount(pilot.app._tour, before="#keys")
        tour(pilot).run_name = small_run.name
        tour(pilot).at = 1  # a training has been started, and has learned
        tour(pilot).add_class("-on")
        tour(pilot)._clock.resume()
        for at in range(2, len(STEPS)):
            if at == 2:
                await pilot.press("3")
            await press_as_told(pilot, at)
        await until(pilot, lambda: not tour(pilot).is_on)
        assert [branch.name for branch in pilot.app.query_one(GenerateTab).view.branches] == ["main", "branch 1"]


@long
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
async def test_the_tour_in_a_browser_from_start_to_end(tmp_path: Path) -> None:
    """Chromium against `tuirnn serve`: an empty folder, the keys that the tour names, nothing else."""
    run = RunPaths(tmp_path / "runs" / "tour")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with serving(tmp_path / "runs", environment) as server:
        async with browser("about:blank", tmp_path / "profile") as page:
            await page.listen()
            await page.open(server.url)

            async def shows(text: str, after: str = "") -> None:
                async with asyncio.timeout(120):
                    while text not in page.received.partition(after)[2] if after else text not in page.received:
                        await page.run("1")  # events arrive with answers
                        await asyncio.sleep(0.1)

            await shows("step by step")
            await page.press("h")
            for at, step in enumerate(STEPS):
                await shows(f"tour {at + 1} of {len(STEPS)}")
                await shows(step.does, f"tour {at + 1} of {len(STEPS)}")
                if step.key in CODES:
                    await page.strike(*CODES[step.key])
                else:
                    await page.press(" " if step.key == "space" else step.key)
                if step.key == "i":
                    await page.press("My own")
                    await page.strike("Enter", 13)
                if step.key == "B":
                    await shows("branches")
                    await asyncio.sleep(0.5)
                    await page.strike("Home", 36)
                    await page.strike("Enter", 13)
            control.send(run, control.Request("stop"))
            if kept := os.environ.get("TUIRNN_KEEP_PICTURES"):
                Path(kept, "tour.png").write_bytes(await page.settled())
    assert RunPaths(run.root).samples.is_file()
