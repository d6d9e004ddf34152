"""No title of a panel is cut within a word, at any size, for any task; a resized window is drawn as a new one."""

import itertools
import re
from pathlib import Path

import pytest
from conftest import train_small
from textual.pilot import Pilot

from tuirnn.tui.screens.xray import XrayTab

from .conftest import SIZES, Opener, screen_text, until

CUT = re.compile(r"\w… ─*[╮╯]")
"""The end of a title that a panel has no space for."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three tasks."""
    folder = tmp_path_factory.mktemp("three")
    for name, letters in (("early", "ab"), ("late", "bc")):
        lines = ["".join(one) for n in (2, 3, 4) for one in itertools.product(letters, repeat=n)]
        (folder / "words").mkdir(exist_ok=True)
        (folder / "words" / f"{name}.txt").write_text("\n".join(lines))
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    runs = folder / "runs"
    train_small(runs, "text", folder / "text.txt")
    train_small(runs, "labels", folder / "words", task="classify", hidden=8)
    train_small(runs, "series", Path("sincos"), task="forecast", horizon=10)
    return runs


async def settle(pilot: Pilot[None], key: str) -> None:
    """Open a tab, and wait for what it reads."""
    await pilot.press(key)
    if key == "3":
        await until(pilot, lambda: pilot.app.query_one(XrayTab).can("feature"))
    await pilot.pause(0.3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("run", ["text", "labels", "series"])
async def test_no_title_is_cut_within_a_word(three: Path, opened: Opener, run: str, size: tuple[int, int]) -> None:
    async with opened(three, size, run=run) as pilot:
        for key in ("2", "3", "4"):
            await settle(pilot, key)
            assert CUT.findall(screen_text(pilot.app)) == [], screen_text(pilot.app)


@pytest.mark.parametrize("run", ["labels", "series"])
async def test_a_resized_window_is_drawn_as_a_new_one(three: Path, opened: Opener, run: str) -> None:
    async with opened(three, (120, 40), run=run) as pilot:
        await settle(pilot, "3")
        for key in ("2", "3"):
            await settle(pilot, key)
            fresh = screen_text(pilot.app)
            for size in ((80, 24), (200, 60), (61, 17), (120, 40)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
            await until(pilot, lambda fresh=fresh: screen_text(pilot.app) == fresh, 10)  # type: ignore[misc]
