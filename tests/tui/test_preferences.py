"""The dashboard follows the user's preferences and keeps what is changed; its footer can be clicked."""

import dataclasses
from pathlib import Path

import pytest

from tuirnn import preferences
from tuirnn.errors import ConfigError
from tuirnn.runs.reader import Status
from tuirnn.runs.writer import RunWriter
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.preferring import DEFAULTS
from tuirnn.tui.screens.train import TrainTab
from tuirnn.tui.widgets.runs_table import RunsTable

from .conftest import Opener, screen_text, until, write_run


def preferring(keys: dict[str, str] | None = None, **changes: object) -> preferences.Preferences:
    return dataclasses.replace(DEFAULTS, dashboard={**DEFAULTS.dashboard, **changes}, keys=keys or {})


async def test_what_is_changed_is_kept(tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    app = DashboardApp(tmp_path, preferred=preferences.read())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: bool(app.folder.runs))
        await pilot.press("T", "s", "2", "a")
        await until(pilot, lambda: preferences.read().dashboard["smoothing"] == 0.8)
    again = DashboardApp(tmp_path, preferred=preferences.read())
    assert again.theme == "tuirnn-light"
    assert again.folder.smoothing == 0.8
    async with again.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "sorted by name" in screen_text(again))


async def test_vim_keys_move(tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path, f"run-{number}", age=float(number))
    app = DashboardApp(tmp_path, preferred=preferring(keymap="vim"))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: bool(app.query(RunsTable)) and app.query_one(RunsTable).row_count == 3)
        table = app.query_one(RunsTable)
        await pilot.press("j", "j")
        assert table.cursor_row == 2
        await pilot.press("k")
        assert table.cursor_row == 1
        await pilot.press("G")
        assert table.cursor_row == 2
        await pilot.press("2")
        tab = app.query_one(TrainTab)
        await until(pilot, lambda: len(tab.snapshot.train) == 300)
        await pilot.press("h")
        assert tab.chart.cursor is not None


async def test_keys_of_ones_own_are_in_footer_and_help(tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    app = DashboardApp(tmp_path, preferred=preferring({"runs.new": "a", "runs.sort": "f2"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "a new" in screen_text(app))
        await pilot.press("f2")
        await until(pilot, lambda: "sorted by name" in screen_text(app))
        await pilot.press("question_mark")
        await until(pilot, lambda: "f2  sort by" in screen_text(app))


def test_keys_for_actions_by_their_former_names_are_taken(tmp_path: Path) -> None:
    app = DashboardApp(tmp_path, preferred=preferring({"xray.earlier": "a", "generate.copy": "f5"}))
    assert app.mapped == {"xray.left": "a", "app.copy": "f5"}


def test_a_key_for_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'train\.pause'"):
        DashboardApp(tmp_path, preferred=preferring({"train.pauze": "x"}))


async def test_the_footer_can_be_clicked(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40)) as pilot:
        line = screen_text(pilot.app).splitlines()[-1]
        await pilot.click(offset=(line.index("sort"), 39))
        await until(pilot, lambda: "sorted by name" in screen_text(pilot.app))
        await pilot.click(offset=(line.index("? help"), 39))
        await until(pilot, lambda: "esc close" in screen_text(pilot.app))


async def test_without_colours_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    write_run(tmp_path, "one")
    app = DashboardApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "one" in screen_text(app))
        assert app.no_color


async def test_the_end_of_a_run_is_told(tmp_path: Path) -> None:
    with RunWriter(write_run(tmp_path, "night", state="running")) as writer:
        app = DashboardApp(tmp_path)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, lambda: "1 live" in screen_text(app))
            assert app._driver is not None
            said: list[str] = []
            app._driver.write = said.append  # type: ignore[method-assign, assignment]
            writer.status(Status(state="done", step=300, best_step=150, best_val_loss=1.5, host="elsewhere"))
            app.scan()
            await until(pilot, lambda: "night is done: best 1.500 nats/char at step 150" in screen_text(app))
            assert any("\x1b]9;night is done" in one for one in said)
            assert any("\a" in one for one in said)
