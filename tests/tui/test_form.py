"""The form for a new run: values in words, complete help sentences, correct estimates."""

import hashlib
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Checkbox, Collapsible, Input, Select, Static

from tuirnn import machine
from tuirnn.config import FIELDS, RunConfig, load_recipe
from tuirnn.tasks import DEFAULT, TASKS, reads
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.new_run import FIRST_RECIPE, HINTS, NewRun
from tuirnn.tui.screens.run_fields import NO_RECIPE, own_words, recipes_of
from tuirnn.tui.widgets.task_choice import ORDER, TaskChoice

from .conftest import Opener, screen_text, until, write_run

READ = {name: spec for name, (_, spec) in FIELDS.items() if reads(TASKS[DEFAULT], name)}
"""The settings of the task that the form opens with."""

SWITCHES = [name for name, spec in READ.items() if spec.type is bool]
HELPS = {name: " ".join(str(spec.metadata["help"]).split()) for name, spec in READ.items()} | HINTS
HELPS |= {
    "recipe": load_recipe(FIRST_RECIPE).about,
    "task": "A language model learns the next token of a text.",
}
"""Of the form as it opens."""


async def form_of(pilot: Pilot[None], more: bool = True) -> NewRun:
    """Open the form, by default with all settings."""
    await pilot.press("n")
    await pilot.pause()
    form = pilot.app.screen
    assert isinstance(form, NewRun)
    if more:
        form.query_one(Collapsible).collapsed = False
        await until(pilot, lambda: all(form.query(f"#field-{name}") for name in FIELDS))
        await until(pilot, lambda: form.query_one("#form-fields").scroll_y > 0)  # to the first of them
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
        await until(pilot, lambda: "0:45, steps being measured …" in said(form))
        minutes.value = "0"
        await until(pilot, lambda: "5,000 steps (no limit is set)" in said(form))
        steps.value = "300"
        await until(pilot, lambda: " 300 steps, time being measured …" in said(form))
        form.query_one(TaskChoice).value = "forecast"
        await until(pilot, lambda: recipe.value == NO_RECIPE)
        recipe.value = "sincos"  # 500 points to train on, windows of 4 and the next, batches of 32
        await until(pilot, lambda: "67.1k parameters" in said(form) and "1,500 steps (100 epochs)" in said(form))
        form.query_one(TaskChoice).value = "classify"
        await until(pilot, lambda: recipe.value == NO_RECIPE)
        recipe.value = "surnames"
        await until(pilot, lambda: "known when training starts: it downloads 'names'" in said(form))
        sources.value = str(names)  # 47 of each class to train on: two batches of 32
        await until(pilot, lambda: "120 steps (60 epochs)" in said(form))
        steps.value = "100"
        await until(pilot, lambda: " 100 steps, time being measured …" in said(form))
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


async def test_the_task_comes_first_and_decides_the_recipes(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (80, 24)) as pilot:
        form = await form_of(pilot, more=False)
        choice, recipe = form.query_one(TaskChoice), form.query_one("#field-recipe", Select)
        name, source = form.query_one("#field-name", Input), form.query_one("#field-sources", Input)
        assert pilot.app.focused is choice
        assert all(word in screen_text(pilot.app) for word in ("● text", "○ labels", "○ series", "○ tags"))
        await until(pilot, lambda: name.placeholder == FIRST_RECIPE)  # the run is named after its recipe
        seen = set()
        for task in [*ORDER[1:], ORDER[0]]:
            await pilot.press("right")
            await until(pilot, lambda task=task: form._base.task.name == task)  # type: ignore[misc]
            known = [value for _, value in recipes_of(task)]
            assert [value for _, value in recipe._options] == known
            assert all(load_recipe(one).config.task.name == task for one in known if one != NO_RECIPE)
            seen |= set(known)
            assert source.placeholder
        assert "surnames" in seen
        await pilot.press("left")
        await until(pilot, lambda: form._base.task.name == ORDER[-1])
        recipe.value = "entities"
        await until(pilot, lambda: name.placeholder == "entities")
        await until(pilot, lambda: form.query_one("#field-hidden", Input).value == "128")


def test_every_recipe_is_explained_in_the_list() -> None:
    for task in ORDER:
        for label, name in recipes_of(task):
            begin, about = label[: len(name)], label[len(name) :].strip()
            assert begin == name
            assert about
            words = load_recipe(name).about.split() if name != NO_RECIPE else ["the", "defaults"]
            assert about.removesuffix("…").split() == words[: len(about.removesuffix("…").split())]  # whole words


async def test_errors_are_in_the_words_of_the_form(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (120, 40)) as pilot:
        form = await form_of(pilot)
        for field, typed, told in (
            ("hidden", "", "hidden is empty; enter a whole number"),
            ("minutes", "", "minutes is empty; enter a number"),
            ("hidden", "many", "hidden takes a whole number, not 'many'"),
        ):
            control = form.query_one(f"#field-{field}", Input)
            before, control.value = control.value, typed
            await until(pilot, lambda told=told: told in said(form))  # type: ignore[misc]
            assert control.has_class("-invalid")
            control.value = before
        form.query_one("#field-tied", Checkbox).value = True
        await until(pilot, lambda: "‘tied’" in said(form))
        assert "--" not in said(form)


async def test_only_settings_that_the_task_reads_are_shown(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path) as pilot:
        form = await form_of(pilot)
        for name in ORDER:
            form.query_one(TaskChoice).value = name
            wanted = {setting for setting in FIELDS if reads(TASKS[name], setting)}
            assert len(wanted) < len(FIELDS)
            await until(pilot, lambda wanted=wanted: displayed(form) == wanted, 10)  # type: ignore[misc]
            await until(pilot, lambda: form._check() is not None, 10)


def displayed(form: NewRun) -> set[str]:
    """The settings that have a row in the form."""
    rows = [row for row in form.query(".form-row").results(Widget) if row.display]
    return {str(row.children[1].id).removeprefix("field-") for row in rows} & set(FIELDS)


@pytest.mark.parametrize("there", [False, True])
async def test_a_gpu_that_is_not_here_is_said_to_be_missing(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr("tuirnn.tui.screens.new_run.has_gpu", lambda: there)
    async with opened(tmp_path) as pilot:
        form = await form_of(pilot, more=False)
        labels = [str(label) for label, _ in form.query_one("#field-device", Select)._options]
        assert ("cuda (no GPU found here)" in labels) is not there
        assert ("cuda" in labels) is there


def test_the_driver_of_a_gpu_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DRIVERS", (tmp_path / "driver",))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not machine.has_gpu()
    (tmp_path / "driver").touch()
    assert machine.has_gpu()


async def test_a_hopeless_start_is_warned_of(tmp_path: Path, opened: Opener) -> None:
    file = tmp_path / "short.txt"
    file.write_text("to be or not to be\n" * 60)
    async with opened(tmp_path / "runs", (80, 24)) as pilot:
        form = await form_of(pilot, more=False)
        form.query_one("#field-sources", Input).value = str(file)
        form.query_one("#field-batch_size", Input).value = "4"
        form.query_one("#field-hidden", Input).value = "512"
        await until(pilot, lambda: "data too small for the network" in said(form))
        assert "try a smaller ‘hidden’, or more data" in said(form)
        form.query_one("#field-hidden", Input).value = "16"
        await until(pilot, lambda: "parameters" in said(form) and "too small" not in said(form))


def test_options_are_replaced_by_labels() -> None:
    assert (
        own_words("--no-residual needs --seq-len 3 and --lr") == "‘residual’ off needs ‘seq len’ 3 and ‘learning rate’"
    )
    assert own_words("--unheard-of stays") == "--unheard-of stays"


async def test_the_cursor_goes_to_the_new_run(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "first", age=50)
    async with opened(tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        write_run(tmp_path, "second", age=500)  # it is listed below the first one
        app.run_started("second")
        await until(pilot, lambda: app.highlighted is not None and app.highlighted.name == "second")
