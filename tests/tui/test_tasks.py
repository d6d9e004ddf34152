"""Every tab opens runs of tasks without text."""

from pathlib import Path

from conftest import train_small

from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.rollout import roll_out
from tuirnn.tui.tabs import tab_classes
from tuirnn.tui.widgets.rollout import RollOut

from .conftest import Opener, screen_text, until

PARTS = {
    "runs": "waves",
    "train": "RMSE +10",
    "xray": "change of cos",
    "generate": "actual",
    "compare": "best validation MSE",
    "sweep": "sweep",
}


async def test_every_tab_opens_a_forecaster(tmp_path: Path, opened: Opener) -> None:
    for name in ("waves", "tides"):
        train_small(tmp_path, name, Path("sincos"), task="forecast", horizon=10)
    async with opened(tmp_path, (120, 40), run="waves") as pilot:
        for number, tab in enumerate(tab_classes(), 1):
            await pilot.press(str(number))
            await until(pilot, lambda part=PARTS[tab.NAME]: part in screen_text(pilot.app))  # type: ignore[misc]


async def test_a_roll_out_continues_the_history(tmp_path: Path, opened: Opener) -> None:
    train_small(tmp_path, "waves", Path("sincos"), task="forecast", horizon=10)
    async with opened(tmp_path, (120, 40), run="waves") as pilot:
        await pilot.press("4")
        tab, chart = pilot.app.query_one(GenerateTab), pilot.app.query_one(RollOut)
        await until(pilot, lambda: chart.drawn > 20)
        assert not tab.can("type")
        await pilot.press("home")
        assert chart.drawn == 0
        await pilot.press("right", "right", "left")
        assert chart.drawn == 1
        known = {one.name: one for one in chart.series}
        expected = roll_out("waves", tmp_path).forecast[0, 0]
        assert known["roll-out"].y.values[-1] == expected
        assert known["roll-out"].x.values[-1] == known["history"].x.values[-1] + 1
        for part in ("RMSE", "LSTM 24", "paused", "space run/pause"):
            assert part in screen_text(pilot.app)
