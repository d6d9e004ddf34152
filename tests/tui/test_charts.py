"""The charts of the Train tab: the zoom stays with the axis, the panel follows the unit, the training is played."""

from pathlib import Path

from textual.widgets import Static

from tuirnn.tui.screens.train import TrainTab
from tuirnn.tui.widgets.chart import Chart

from .conftest import Opener, screen_text, until, write_run


async def test_another_axis_keeps_the_zoom(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        tab = pilot.app.query_one(TrainTab)
        await until(pilot, lambda: len(tab.snapshot.train) == 300)
        await pilot.press("plus", "plus")
        steps = tab.chart.options.x_from, tab.chart.options.x_to
        assert steps[1] - steps[0] < 80
        await pilot.press("x")  # time since the start: a step takes a second
        assert tab.chart.is_zoomed
        assert abs((tab.chart.options.x_to - tab.chart.options.x_from) - (steps[1] - steps[0])) <= 2
        await pilot.press("x", "x")
        assert tab.chart.options.axis.kind == "count"
        assert abs(tab.chart.options.x_from - steps[0]) <= 2


async def test_the_panel_and_the_chart_share_the_unit(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one", best_val_loss=1.5)
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        await until(pilot, lambda: "★ 1.500" in screen_text(pilot.app))
        await pilot.press("u")
        await until(pilot, lambda: "★ 2.164" in screen_text(pilot.app))
        await pilot.press("u")
        await until(pilot, lambda: "★ 4.482" in screen_text(pilot.app) and "perplexity" in screen_text(pilot.app))


async def test_a_factor_of_ones_own_smooths(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        tab = pilot.app.query_one(TrainTab)
        await until(pilot, lambda: len(tab.snapshot.train) == 300)
        await pilot.press("A", *"1.5", "enter")
        await until(pilot, lambda: "from 0 to below 1" in screen_text(pilot.app))
        await pilot.press("backspace", "backspace", "backspace", *"0,875", "enter")
        await until(pilot, lambda: "smooth 0.875" in screen_text(pilot.app))


async def test_the_training_is_played_with_its_texts(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        tab = pilot.app.query_one(TrainTab)
        await until(pilot, lambda: len(tab.snapshot.train) == 300)
        small = pilot.app.query_one("#train-small-0", Chart)
        await pilot.press("P")
        await until(pilot, lambda: tab.chart.cursor is not None and tab.chart.cursor > 10)
        assert "the sample of step 150" in screen_text(pilot.app)
        await until(pilot, lambda: small.options.cursor == tab.chart.cursor)
        await pilot.press("P")
        cursor = tab.chart.cursor
        await pilot.pause(0.3)
        assert tab.chart.cursor == cursor
        while tab.chart.play(0.5):
            pass
        assert tab.chart.cursor is None


async def test_log_and_machine_stand_behind_the_texts(tmp_path: Path, opened: Opener) -> None:
    paths = write_run(tmp_path, "one")
    paths.log.write_text("step 100: \x1b[31mall is well\n")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        await pilot.press("v")
        await until(pilot, lambda: "all is well" in screen_text(pilot.app) and "memory" in screen_text(pilot.app))
        assert "free" in screen_text(pilot.app)
        await pilot.press("v")
        await until(pilot, lambda: "what it writes" in screen_text(pilot.app))


async def test_an_ended_run_shows_no_process_and_no_bar(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        await until(pilot, lambda: "✓ done" in screen_text(pilot.app))
        shown = screen_text(pilot.app)
        assert "pid" not in shown
        assert "198 %" not in shown
        assert "100 %" not in shown
        assert "S stop" not in shown


async def test_without_a_run_it_says_so(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (120, 40)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "no run is open" in screen_text(pilot.app))
        assert "waiting" not in screen_text(pilot.app)


async def test_findings_name_the_fields_of_the_form(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one", state="failed", message="the loss is not finite")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        await until(pilot, lambda: "learning rate too high" in screen_text(pilot.app))
        await pilot.press("D")
        await until(pilot, lambda: "findings in one" in screen_text(pilot.app))
        shown = " ".join(str(one.render()) for one in pilot.app.screen.query(Static))
        for words in ("at ‘learning rate’ 0.005", "try ‘learning rate’", "‘warmup’", "‘clip’"):
            assert words in shown
        assert "--" not in shown
