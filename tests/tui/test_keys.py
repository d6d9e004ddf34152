"""A key means the same on every tab, and a meaning has the same key; every tab copies what it is about."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.keys import VIM, as_mapped
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.tabs import tab_classes
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.runs_table import RunsTable

from .conftest import Opener, screen_text, until, write_run

SAME: dict[str, set[str]] = {
    "to the left": {"train.left", "xray.left", "generate.send_back_1", "compare.left"},
    "to the right": {"train.right", "xray.right", "generate.send_forward_1", "compare.right"},
    "further to the left": {"train.pan_left", "xray.previous_sequence", "generate.send_back_line"},
    "further to the right": {"train.pan_right", "xray.next_sequence", "generate.send_forward_line"},
    "up": {"runs.up", "train.scroll_up", "xray.unit_up", "generate.scroll_up", "compare.scroll_up", "sweep.scroll_up"},
    "down": {
        "runs.down", "train.scroll_down", "xray.unit_down", "generate.scroll_down", "compare.scroll_down",
        "sweep.scroll_down",
    },
    "a page up": {"runs.page_up", "generate.scroll_up"},
    "a page down": {"runs.page_down", "generate.scroll_down"},
    "to the beginning": {"runs.top", "generate.send_back_all"},
    "to the end": {"runs.bottom", "train.newest", "compare.newest", "generate.send_forward_all"},
    "all, without a cursor": {"train.newest", "compare.newest"},
    "open what the cursor is on": {"runs.open", "sweep.open"},
    "mark a run, or start and pause": {"runs.mark", "sweep.mark", "train.pause", "generate.send_toggle"},
    "what x is": {"train.axis", "compare.align", "sweep.setting"},
    "how y is drawn": {"train.range", "xray.log", "compare.log"},
    "another view": {"train.panel", "xray.view"},
    "the previous evaluation": {"train.earlier", "xray.probe_earlier"},
    "the next evaluation": {"train.later", "xray.probe_later"},
    "open another one": {"xray.choose", "generate.choose", "sweep.next"},
    "write to a file": {"generate.save", "compare.write"},
}  # fmt: skip
"""Actions that mean the same although they have names of their own, by what they mean."""


def keys_of(bindings: list[Binding]) -> dict[str, set[str]]:
    """Ids of the actions by their keys."""
    found = defaultdict(set)
    for one in bindings:
        for key in one.key.split(","):
            found[key].add(str(one.id))
    return found


def is_one_meaning(ids: set[str]) -> bool:
    """Whether actions have one name, or mean the same."""
    return len({one.partition(".")[2] for one in ids}) == 1 or any(ids <= same for same in SAME.values())


def test_a_key_means_the_same_on_every_tab() -> None:
    for key, ids in keys_of(DashboardApp.every_key()).items():
        assert is_one_meaning(ids), (key, ids)


def test_an_action_has_the_same_keys_on_every_tab() -> None:
    found = defaultdict(set)
    for one in DashboardApp.every_key():
        found[str(one.id).partition(".")[2]].add(one.key)
    differing = {name: keys for name, keys in found.items() if len(keys) > 1}
    assert set(differing) <= {"scroll_up", "scroll_down"}, differing  # where pages can be turned, also by these keys
    assert set(SAME["up"] | SAME["down"]) <= {str(one.id) for one in DashboardApp.every_key()}


def test_two_actions_of_a_tab_have_no_key_in_common() -> None:
    for kind, mapped in itertools.product(tab_classes(), ({}, VIM)):
        keys = [*as_mapped([*kind.KEYS, *DashboardApp.KEYS], mapped)]
        if kind.NAME == "runs":
            keys += as_mapped([one for one in RunsTable.BINDINGS if isinstance(one, Binding)], mapped)
        shared = {key: ids for key, ids in keys_of(keys).items() if len(ids) > 1}
        assert not shared, (kind.NAME, shared)


# ── copying ───────────────────────────────────────────────────────────────────


async def copied(pilot: Pilot[None]) -> str:
    pilot.app._clipboard = ""
    await pilot.press("ctrl+c")
    return pilot.app.clipboard


async def test_every_tab_copies_what_it_is_about(
    trained: Callable[..., RunPaths], alone: Callable[..., Path], opened: Opener
) -> None:
    run, other = trained(), trained(cell="gru")
    async with opened(alone(run, other), run=run.name) as pilot:
        app = pilot.app
        await until(pilot, lambda: "what it writes" in screen_text(app))
        await until(pilot, lambda: bool(app.tabs["train"].copies()["sample"]))  # type: ignore[attr-defined]
        assert await copied(pilot) in run.samples.read_text().encode().decode("unicode_escape")
        await pilot.press("3")
        await until(pilot, lambda: app.query_one(XrayTab).can("feature"))
        assert "σ(" in await copied(pilot)
        await pilot.press("4")
        tab = app.query_one(GenerateTab)
        await until(pilot, lambda: tab.can("step"))
        await pilot.press(*["full_stop"] * 4)
        await until(pilot, lambda: tab.view.tokens == 4)
        assert tab.engine is not None
        assert await copied(pilot) == tab.engine.text()
        await pilot.press("5")
        await until(pilot, lambda: "results, and settings that differ" in screen_text(app))
        await until(pilot, lambda: "cell\t" in app.tabs["compare"].copies()["table"])  # type: ignore[attr-defined]
        rows = (await copied(pilot)).splitlines()
        assert {run.name, other.name} == set(rows[0].split("\t")[1:])
        await pilot.press("1")
        path = await copied(pilot)
        assert path in (str(run.root), str(other.root)) or Path(path).name in (run.name, other.name)
        await pilot.press("Y")
        assert isinstance(app.screen, Choose)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "best val" in app.clipboard)


@pytest.mark.parametrize("key", ["ctrl+c", "Y"])
async def test_with_nothing_to_copy_it_says_so(tmp_path: Path, opened: Opener, key: str) -> None:
    async with opened(tmp_path) as pilot:
        await pilot.press("2", key)
        await until(pilot, lambda: "nothing to copy" in screen_text(pilot.app))


# ── one cursor and one colour ─────────────────────────────────────────────────


async def test_the_cursor_of_compare_is_that_of_all_its_charts(tmp_path: Path, opened: Opener) -> None:
    for name, task in (("one", "lm"), ("two", "lm"), ("three", "classify"), ("four", "classify")):
        write_run(tmp_path, name, config=RunConfig.of(task, {}))
    async with opened(tmp_path, (200, 60)) as pilot:
        await pilot.press("5")
        charts = [pilot.app.query_one(f"#compare-chart{end}", Chart) for end in ("", "-1")]
        await until(pilot, lambda: all(any(len(one.x) for one in chart.series) for chart in charts))
        await pilot.press("left", "left", "left", "right")
        cursor = charts[0].options.cursor
        assert 250 < cursor < 300
        assert charts[1].options.cursor == cursor
        shown = screen_text(pilot.app)
        assert shown.count(f"step {cursor:,.0f}") == 2
        assert "one 1.7" in shown
        await pilot.click("#compare-chart-1", offset=(30, 5))
        assert charts[0].options.cursor == charts[1].options.cursor < cursor
        await pilot.press("x")  # another axis has no such place
        assert charts[0].options.cursor != charts[0].options.cursor
        await pilot.press("left", "end")
        assert charts[1].options.cursor != charts[1].options.cursor


async def test_a_run_has_one_colour_on_every_tab(tmp_path: Path, opened: Opener) -> None:
    for number in range(3):
        write_run(tmp_path, f"run-{number}", age=100.0 * number)
    async with opened(tmp_path, (120, 40), run="run-0") as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        own = app.folder.line_style("run-0")
        large, small = app.query_one("#train-chart", Chart), app.query_one("#train-small-0", Chart)
        await until(pilot, lambda: len(large.series) > 2 and any(len(one.x) for one in small.series))
        assert [one.style for one in large.series if one.name == "train"] == [own]
        assert {one.style for one in small.series} == {own}
        await pilot.press("5")
        compared = app.query_one("#compare-chart", Chart)
        await until(pilot, lambda: len(compared.series) == 3)
        assert {one.name: one.style for one in compared.series}["run-0"] == own
        await pilot.press("1")
        chart = app.query_one("#runs-chart", Chart)
        await until(pilot, lambda: {one.style for one in chart.series} == {own})
