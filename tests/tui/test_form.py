"""The form for a new run: values in words, complete help sentences, correct estimates."""

import hashlib
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Checkbox, Collapsible, Input, Select, Static

from tuirnn.config import FIELDS, RunConfig
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.new_run import HINTS, NewRun

from .conftest import Opener, screen_text, until, write_run

SWITCHES = [name for name, (_, spec) in FIELDS.items() if spec.type is bool]
HELPS = {name: " ".join(str(spec.metadata["help"]).split()) for name, (_, spec) in FIELDS.items()} | HINTS


async def form_of(pilot: Pilot[None], more: bool = True) -> NewRun:
    """Open the form, by default with all settings."""
    await pilot.press("n")
    await pilot.pause()
    form = pilot.app.screen
    assert isinstance(form, NewRun)
    if more:
        form.query_one(Collapsible).collapsed = False
        await until(pilot, lambda: all(form.query(f"#field-{name}") for name in FIELDS))
    return form


def shown(app: App[None], widget: Widget) -> str:
    """The text of a widget on the screen, its lines joined by blanks."""
    rows, area = screen_text(app).splitlines(), widget.region
    return " ".join(" ".join(row[area.x : area.right] for row in rows[area.y : area.bottom]).split())


async def page_by_page(pilot: Pilot[None], form: NewRun, selector: str) -> dict[str, str]:
    """The text of a part of each row, by the row's setting; the form is scrolled from top to bottom."""
    fields, found, top = form.query_one("#form-fields"), {}, 0
    while True:
        fields.scroll_to(y=top, animate=False)
        await pilot.pause()
        for row in form.query(".form-row").results(Widget):
            if fields.content_region.contains_region(row.region):
                name = str(row.children[1].id).removeprefix("field-")
                for part in row.query(selector).results(Widget):
                    found[name] = shown(pilot.app, part)
        if top >= fields.max_scroll_y:
            return found
        top += fields.content_size.height - 4  # no row is taller


def said(form: NewRun) -> str:
    return str(form.query_one("#form-error", Static).render())


async def test_a_switch_says_its_state_in_words(tmp_path: Path) -> None:
    app = DashboardApp(tmp_path, ascii=True)  # which does not change these words
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.folder.was_read)
        form = await form_of(pilot)
        assert await page_by_page(pilot, form, "Checkbox") == dict.fromkeys(SWITCHES, "[ ] off")
        for name in SWITCHES:
            form.query_one(f"#field-{name}", Checkbox).value = True
        assert await page_by_page(pilot, form, "Checkbox") == dict.fromkeys(SWITCHES, "[x] on")
        switch, app.theme = form.query_one(f"#field-{SWITCHES[-1]}"), "ansi-dark"  # without the dashboard's own colours
        switch.focus()
        await pilot.press("space")
        await until(pilot, lambda: shown(app, switch) == "[ ] off", 5)


@pytest.mark.parametrize("size", [(120, 40), (140, 40)])
async def test_every_help_sentence_stands_whole_beside_its_field(
    tmp_path: Path, opened: Opener, size: tuple[int, int]
) -> None:
    async with opened(tmp_path, size) as pilot:
        form = await form_of(pilot)
        assert await page_by_page(pilot, form, ".form-row-hint") == HELPS
        assert "start (ctrl+s)" in screen_text(pilot.app)


async def test_every_help_sentence_stands_whole_under_a_narrow_form(tmp_path: Path, opened: Opener) -> None:
    longest = sorted(HELPS, key=lambda name: -len(HELPS[name]))[:8]
    async with opened(tmp_path, (80, 24)) as pilot:
        form = await form_of(pilot)
        for name in ("name", *longest):  # shorter ones take no more lines
            form.query_one(f"#field-{name}").focus()
            await until(pilot, lambda: shown(pilot.app, form.query_one("#form-hint")) == HELPS[name], 5)  # noqa: B023
            assert "start (ctrl+s)" in screen_text(pilot.app)


async def test_the_estimate_is_of_the_data_and_the_recipe(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "data" / "names"
    names.mkdir(parents=True)
    for label, letters in (("German", "schein"), ("Italian", "balori")):
        lines = [letters[i % 6] * (1 + i // 6) + letters for i in range(60)]
        (names / f"{label}.txt").write_text("\n".join(lines))
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "none"))
    async with opened(tmp_path / "runs", (120, 40)) as pilot:
        form = await form_of(pilot, more=False)
        recipe, sources = form.query_one("#field-recipe", Select), form.query_one("#field-sources", Input)
        minutes, steps = form.query_one("#field-minutes", Input), form.query_one("#field-steps", Input)
        await until(pilot, lambda: "2:00, steps unknown: no run like it yet" in said(form))
        minutes.value = "0"
        await until(pilot, lambda: "5,000 steps (no limit is set)" in said(form))
        steps.value = "300"
        await until(pilot, lambda: " 300 steps, time unknown" in said(form))
        recipe.value = "sincos"  # 500 points to train on, windows of 4 and the next, batches of 32
        await until(pilot, lambda: "67.1k parameters" in said(form) and "1,500 steps (100 epochs)" in said(form))
        recipe.value = "surnames"
        await until(pilot, lambda: "known when training starts: it downloads 'names'" in said(form))
        sources.value = str(names)  # 47 of each class to train on: two batches of 32
        await until(pilot, lambda: "120 steps (60 epochs)" in said(form))
        steps.value = "100"
        await until(pilot, lambda: " 100 steps, time unknown" in said(form))
        sources.value = "no-such-file"
        await until(pilot, lambda: "no file, folder or data set 'no-such-file'" in said(form))


async def test_an_earlier_run_tells_the_speed(tmp_path: Path, small_text: Path, opened: Opener) -> None:
    sha256 = hashlib.sha256(small_text.read_bytes()).hexdigest()
    write_run(tmp_path, "before", config=RunConfig(), sha256=sha256, elapsed=300.0, step=600)
    async with opened(tmp_path, (120, 40)) as pilot:
        form = await form_of(pilot, more=False)
        form.query_one("#field-recipe", Select).value = "–"
        await until(pilot, lambda: form.query_one("#field-hidden", Input).value == str(RunConfig().model.hidden))
        form.query_one("#field-sources", Input).value = str(small_text)
        form.query_one("#field-minutes", Input).value = "10"
        await until(pilot, lambda: "10:00, about 1.20k steps · at the speed of run before" in said(form))
        form.query_one("#field-steps", Input).value = "100"
        await until(pilot, lambda: "100 steps, about 0:50 · at the speed of run before" in said(form))
