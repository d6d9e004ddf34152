"""What each tab shows and what each key does."""

import time
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import DataTable

from tuirnn.errors import RunError
from tuirnn.runs import control, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status
from tuirnn.runs.writer import RunWriter
from tuirnn.tui import start, theme
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.dialogs import Confirm, Help
from tuirnn.tui.screens.new_run import NewRun
from tuirnn.tui.screens.train import TrainTab
from tuirnn.tui.tabs import TITLES, tab_classes
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.mistakes import Mistakes
from tuirnn.tui.widgets.styled_text import StyledText

from .conftest import SIZES, Opener, add_evaluation, screen_text, until, write_run

Size = tuple[int, int]


# ── frame ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_runs_at_every_size(folder: Path, opened: Opener, size: Size) -> None:
    async with opened(folder, size) as pilot:
        await until(pilot, lambda: "the sample of" in screen_text(pilot.app))
        shown = screen_text(pilot.app)
        for part in (
            "tuirnn",
            "1 Runs",
            "4 Generate",
            "● 1 live",
            "night-shift",
            "▶ running",
            "✓ done",
            "LSTM 48",
            "41 %",
            "1.500",
            "2 h",
            "12.3k parameters",
            "n new",
            "? help",
            "q quit",
        ):
            assert part in shown
        assert any(0x2800 < ord(ch) < 0x2900 for ch in shown)


@pytest.mark.parametrize("size", SIZES)
async def test_train_at_every_size(folder: Path, opened: Opener, size: Size) -> None:
    async with opened(folder, size, run="night-shift") as pilot:
        await until(pilot, lambda: "the sample of step 300" in screen_text(pilot.app))
        shown = screen_text(pilot.app)
        for part in (
            "night-shift · loss (nats/char)",
            "▶ running",
            "300 / 700",
            "41 %",
            "3:12",
            "16.1k tok/s",
            "1.331",
            "1.625",
            "★",
            "2.40e-3",
            "0.410",
            "610 MB",
            "what it writes",
            "S stop",
        ):
            assert part in shown
        assert any(0x2800 < ord(ch) < 0x2900 for ch in shown)
        if size[0] < 100:
            assert "what it still gets wrong" not in shown
            await pilot.press("v")
            shown = screen_text(pilot.app)
        assert "what it still gets wrong" in shown
        assert "cab↵" in shown
        assert "  o" in shown


async def test_an_empty_folder_says_what_to_do(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path / "nowhere", (80, 24)) as pilot:
        assert "a network on text, labels, tags or a series   n" in screen_text(pilot.app)
        for key in ("2", "p", "S", "R", "left", "3", "space", "1", "d", "g", "up"):
            await pilot.press(key)
        await pilot.press("n")
        assert isinstance(pilot.app.screen, NewRun)


async def test_tabs_keep_their_place(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        table = pilot.app.query_one(DataTable)
        await pilot.press("down", "enter")
        app = pilot.app
        assert isinstance(app, DashboardApp)
        assert app.tab == "train"
        assert app.query_one(TrainTab).paths == RunPaths(folder / "finished")
        await pilot.press("1")
        assert app.tab == "runs"
        assert table.cursor_row == 1
        assert app.focused is table
        await pilot.press("2")
        assert app.query_one(TrainTab).paths == RunPaths(folder / "finished")


async def test_below_the_smallest_size_there_is_a_message(folder: Path, opened: Opener) -> None:
    async with opened(folder, (50, 12)) as pilot:
        assert "60 × 16" in screen_text(pilot.app)
        assert "50 × 12" in screen_text(pilot.app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "night-shift" in screen_text(pilot.app)


async def test_help_names_every_key(folder: Path, opened: Opener) -> None:
    async with opened(folder, (120, 150)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, Help)
        helps = [key.tooltip for keys in (DashboardApp.KEYS, *(tab.KEYS for tab in tab_classes())) for key in keys]
        for help in helps:
            await until(pilot, lambda help=help: help in screen_text(pilot.app), 10)  # type: ignore[misc]
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, Help)


def test_every_key_has_its_action() -> None:
    for owner in (DashboardApp, *tab_classes()):
        for key in owner.KEYS:
            assert callable(getattr(owner, f"action_{key.action.partition('(')[0]}"))
            assert key.key_display
            assert key.tooltip


async def test_a_tab_has_its_keys_again_after_a_window_that_is_too_small(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        app = pilot.app
        for number, tab in enumerate(tab_classes(), 1):
            await pilot.press(str(number))
            await pilot.resize_terminal(40, 10)
            await until(pilot, lambda: app.focused is None)
            await pilot.resize_terminal(120, 40)
            await until(pilot, lambda tab=tab: app.focused is app.query_one(tab).focus_target())  # type: ignore[misc]


async def test_the_keys_stay_at_the_bottom_while_the_terminal_has_no_focus(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "S stop" in screen_text(pilot.app))
        pilot.app.post_message(events.AppBlur())
        await until(pilot, lambda: pilot.app.focused is None)
        await pilot.pause(0.2)
        assert "S stop" in screen_text(pilot.app)
        pilot.app.post_message(events.AppFocus())
        await until(pilot, lambda: pilot.app.focused is not None)


async def test_a_click_on_a_chart_leaves_the_cursor_keys_to_the_table(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        table = pilot.app.query_one(DataTable)
        await pilot.click("#runs-chart")
        await pilot.press("down")
        assert table.cursor_row == 1
        await pilot.press("home")
        assert table.cursor_row == 0


async def test_every_theme_draws_in_its_own_colours(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        pictures = set()
        for _ in theme.THEMES:
            await pilot.press("T")
            await pilot.pause()
            pictures.add(pilot.app.export_screenshot())
        assert len(pictures) == len(theme.THEMES)


async def test_nothing_is_drawn_while_nothing_changes(
    folder: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(folder) as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        await until(pilot, lambda: [tab.is_mounted for tab in app.tabs.values()] == [True] * len(TITLES))
        for tab in ("1", "2"):
            await pilot.press(tab)
            await pilot.pause(0.8)
            drawn: list[Any] = []
            monkeypatch.setattr(pilot.app, "_display", lambda screen, frame: drawn.append(frame))  # noqa: B023
            await pilot.pause(1.1)
            monkeypatch.undo()
            assert drawn == []


# ── runs ──────────────────────────────────────────────────────────────────────


async def test_the_table_follows_the_folder(folder: Path, night_shift: RunWriter, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("down")
        write_run(folder, "brand-new", state="failed", message="the loss is not finite at step 9")
        await until(pilot, lambda: "brand-new" in screen_text(pilot.app))
        assert "✕ failed" in screen_text(pilot.app)
        assert "finished" in str(pilot.app.query_one("#runs-details").border_title)  # the cursor stays on its run
        night_shift.status(Status(state="done", step=700, progress=1.0))
        await until(pilot, lambda: "○ none live · 3 runs" in screen_text(pilot.app))


async def test_a_damaged_run_is_shown_as_such(folder: Path, opened: Opener) -> None:
    (folder / "finished" / "run.json").write_text('{"format": 1, "config": 7}')
    async with opened(folder, run="finished") as pilot:
        await pilot.press("1")
        await pilot.press("down")
        await pilot.pause()
        assert "! damaged" in screen_text(pilot.app)


async def test_deleting_asks_first_and_spares_live_runs(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("d")
        assert not isinstance(pilot.app.screen, Confirm)
        await pilot.press("down", "d")
        assert isinstance(pilot.app.screen, Confirm)
        assert "Delete run 'finished'?" in screen_text(pilot.app)
        await pilot.press("enter")  # the harmless answer has the focus
        assert (folder / "finished").is_dir()
        await pilot.press("d", "y")
        await until(pilot, lambda: not (folder / "finished").exists())
        await until(pilot, lambda: "1 run " in screen_text(pilot.app))


async def test_foreign_text_stays_text(tmp_path: Path, opened: Opener) -> None:
    paths = write_run(tmp_path, "evil", message="[bold]no[/bold] \x1b]0;title\x07")
    with RunWriter(paths) as writer:
        add_evaluation(writer, 400, "[red]a[/red]\x1b[2J\t\u202e日本👩‍👩‍👧[/]\x00")
    for run in (None, "evil"):
        async with opened(tmp_path, run=run) as pilot:
            await until(pilot, lambda: "[red]a[/red]␛[2J→·日本" in screen_text(pilot.app))
            assert "[bold]no[/bold]" in screen_text(pilot.app)
            for line in screen_text(pilot.app).splitlines():
                assert not any(ord(ch) < 32 or 0x7F <= ord(ch) < 0xA0 for ch in line)


# ── train ─────────────────────────────────────────────────────────────────────


async def test_requests_reach_the_control_folder(folder: Path, night_shift: RunWriter, opened: Opener) -> None:
    paths = RunPaths(folder / "night-shift")
    async with opened(folder, run="night-shift") as pilot:
        await pilot.press("p", "greater_than_sign", "less_than_sign", "V", "c", "S")
        assert isinstance(pilot.app.screen, Confirm)
        assert "It writes a checkpoint" in screen_text(pilot.app)
        await pilot.press("n")
        kinds = [(one.kind, one.value) for one in control.take(paths)]
        assert kinds == [("pause", 0.0), ("lr", 1.25), ("lr", 0.8), ("evaluate", 0.0), ("checkpoint", 0.0)]
        await pilot.press("S", "y")
        assert [one.kind for one in control.take(paths)] == ["stop"]
        night_shift.status(Status(state="paused", pid=1, host="elsewhere", heartbeat=time.time(), step=300))
        await until(pilot, lambda: "‖ paused" in screen_text(pilot.app))
        assert "on elsewhere, last heartbeat" in screen_text(pilot.app)
        await pilot.press("p")
        assert [one.kind for one in control.take(paths)] == ["resume"]


async def test_an_ended_run_takes_no_requests_but_resumes(
    folder: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, list[str]]] = []

    def resume(paths: RunPaths, words: list[str], **more: Any) -> RunPaths:
        asked.append((paths.name, words))
        raise RunError("run 'finished' is complete")

    monkeypatch.setattr(detached, "resume", resume)
    async with opened(folder, run="finished") as pilot:
        await pilot.press("p", "V", "S", "c", "greater_than_sign")
        assert control.take(RunPaths(folder / "finished")) == []
        await pilot.press("R")
        await until(pilot, lambda: "is complete" in screen_text(pilot.app))
        assert asked == [("finished", [])]


async def test_going_through_the_samples_moves_the_cursor(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        sample, chart = pilot.app.query_one("#train-sample", StyledText), pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: sample.text == "the sample of step 300")
        await pilot.press("left_square_bracket")
        assert sample.text == "the sample of step 150"
        assert chart.options.cursor == 150
        await pilot.press("left_square_bracket", "right_square_bracket")
        assert sample.text == "the sample of step 300"
        assert chart.options.cursor != chart.options.cursor


async def test_a_live_run_grows_on_the_screen(folder: Path, night_shift: RunWriter, opened: Opener) -> None:
    async with opened(folder, run="night-shift") as pilot:
        tab = pilot.app.query_one(TrainTab)
        await until(pilot, lambda: len(tab.snapshot.train.step) == 300)
        night_shift.append("metrics", *({"step": k, "split": "train", "loss": 9.0} for k in range(301, 401)))
        add_evaluation(night_shift, 400, "fresh words")
        await until(pilot, lambda: "fresh words" in screen_text(pilot.app))
        chart = pilot.app.query_one("#train-chart", Chart)
        assert len(chart.series[0].x) == 400
        assert pilot.app.query_one(Mistakes).virtual_size.height >= 2


async def test_the_charts_keys(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        chart = pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: len(chart.series) == 5)
        await pilot.press("y", "y", "plus")
        assert chart.options.log
        assert (chart.options.x_from, chart.options.x_to) == (150.5, 300)
        await pilot.press("plus", "shift+left")
        assert chart.options.x_from < 225 < chart.options.x_to < 300
        await pilot.press("minus", "minus", "y")
        assert not chart.options.log
        assert chart.options.x_from < 0
        before = chart.series[1].y
        await pilot.press("a")
        assert (chart.series[1].y.values != before.values).any()
        await pilot.press("u")
        assert "loss (bits/char)" in screen_text(pilot.app)
        await pilot.press("u")
        assert "loss (perplexity)" in screen_text(pilot.app)


async def test_the_cursor_shows_values_and_the_sample_follows_it(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        sample, chart = pilot.app.query_one("#train-sample", StyledText), pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: sample.text == "the sample of step 300")
        await pilot.press("left")
        assert 290 < chart.options.cursor < 300
        assert sample.text == "the sample of step 150"
        assert f"step {chart.options.cursor:.0f}" in screen_text(pilot.app)
        await pilot.click("#train-chart", offset=(40, 5))
        assert 50 < chart.options.cursor < 250
        assert "lr 0.001" in screen_text(pilot.app) or "learning rate" in screen_text(pilot.app)
        await pilot.press("0")
        assert chart.options.cursor != chart.options.cursor


def test_screenshots(folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    start.screenshot(folder, "finished", picture, (100, 30))
    assert picture.read_text().startswith("<svg")
    assert "nats/char" in picture.read_text()
    with pytest.raises(RunError, match="cannot write"):
        start.screenshot(folder, None, tmp_path / "no" / "folder.svg")
