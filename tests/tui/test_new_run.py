"""The form for a new run."""

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Checkbox, Collapsible, Input, Select, Static

from tuirnn.config import RunConfig, load_recipe
from tuirnn.errors import RunError
from tuirnn.runs import detached
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.screens.new_run import NewRun

from .conftest import SIZES, Opener, screen_text, until, write_run

Size = tuple[int, int]


@pytest.mark.parametrize("size", SIZES[:2])
async def test_the_form_has_every_setting(folder: Path, opened: Opener, size: Size) -> None:
    async with opened(folder, size) as pilot:
        await pilot.press("n")
        await pilot.pause()
        form = pilot.app.screen
        assert isinstance(form, NewRun)
        shown = screen_text(pilot.app)
        assert "new run" in shown
        assert "hidden" in shown
        assert "start (ctrl+s)" in shown
        assert form._check() is not None
        form.query_one(Collapsible).collapsed = False
        await until(pilot, lambda: all(form.query(f"#field-{name}") for name in RunConfig().flat()))
        form.query_one("#field-tied", Checkbox).value = True
        await until(pilot, lambda: "‘tied’ needs ‘embed’" in str(form.query_one("#form-error", Static).render()))


async def test_a_wrong_setting_is_named_at_once(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("n")
        await pilot.pause()
        form = pilot.app.screen
        for name, wrong, said in (
            ("hidden", "many", "hidden takes a whole number"),
            ("dropout", "2", "at most 0.95"),
            ("sources", "'a", "quotes closed"),
            ("sources", "-", "standard input"),
            ("name", "no name", "must be 1 to 64"),
        ):
            field = form.query_one(f"#field-{name}", Input)
            right, field.value = field.value, wrong
            await until(pilot, lambda: said in str(form.query_one("#form-error", Static).render()), 10)  # noqa: B023
            field.value = right
            await until(pilot, lambda: "parameters" in str(form.query_one("#form-error", Static).render()))


async def test_a_recipe_fills_the_form(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("n")
        await pilot.pause()
        form = pilot.app.screen
        form.query_one("#field-recipe", Select).value = "shakespeare-cpu"
        await pilot.pause()
        assert form.query_one("#field-sources", Input).value == "shakespeare"
        assert form.query_one("#field-minutes", Input).value == "3"


async def test_starting_opens_the_new_run(folder: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[RunConfig, Path, str | None]] = []

    def start(config: RunConfig, where: Path, name: str | None = None, **more: Any) -> RunPaths:
        started.append((config, where, name))
        if name == "refused":
            raise RunError("run 'refused' is already there; choose another name")
        return write_run(where, name or "lstm-256", state="running")

    monkeypatch.setattr(detached, "start", start)
    async with opened(folder) as pilot:
        await pilot.press("n")
        await pilot.pause()
        pilot.app.screen.query_one("#field-name", Input).value = "refused"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "choose another name" in screen_text(pilot.app))
        form = pilot.app.screen
        form.query_one("#field-name", Input).value = "my.run"
        form.query_one("#field-sources", Input).value = "a.txt 'b c.txt'"
        form.query_one("#field-cell", Select).value = "gru"
        form.query_one(Collapsible).collapsed = False
        await until(pilot, lambda: bool(form.query("#field-residual")))
        form.query_one("#field-residual", Checkbox).value = True
        await pilot.pause()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "my.run · loss" in screen_text(pilot.app))
    config, where, name = started[-1]
    assert (where, name) == (folder, "my.run")
    assert config.data.sources == ("a.txt", "b c.txt")
    assert config.model.cell == "gru"
    assert config.model.residual
    assert config.train == load_recipe("demo").config.train
