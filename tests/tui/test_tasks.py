"""Runs of the tasks without a text: every tab opens them."""

from pathlib import Path

from conftest import train_small

from tuirnn.tui.keys import TABS

from .conftest import Opener, screen_text, until

PARTS = {
    "runs": "waves",
    "train": "RMSE +10",
    "xray": "there are no symbols",
    "generate": "forecasts numbers",
    "compare": "best validation loss",
}


async def test_no_tab_minds_a_forecaster(tmp_path: Path, opened: Opener) -> None:
    for name in ("waves", "tides"):
        train_small(tmp_path, name, Path("sincos"), task="forecast", horizon=10)
    async with opened(tmp_path, (120, 40), run="waves") as pilot:
        for number, tab in enumerate(TABS, 1):
            await pilot.press(str(number))
            await until(pilot, lambda part=PARTS[tab]: part in screen_text(pilot.app))  # type: ignore[misc]
