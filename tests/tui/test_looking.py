"""X-ray, Compare, marks, filters and branches: the screen shows what is in the run."""

import dataclasses
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from tuirnn.cells import CELLS, Cell
from tuirnn.codegen.equations import equations
from tuirnn.config import RunConfig
from tuirnn.gates import SHUT_OPEN
from tuirnn.runlog.probes import Probe
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status, read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.tui import theme
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.commands import Palette
from tuirnn.tui.screens.dialogs import Ask, Choose
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.tabs import tab_classes
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.equations import Equations, plain
from tuirnn.tui.widgets.gates import gate_rows
from tuirnn.tui.widgets.styled_text import StyledText

from .conftest import SIZES, Opener, screen_text, until, write_run

PARTS = {
    "runs": ("runs", "small", "LSTM 24", "✓ done", "validation loss", "n new"),
    "train": ("loss (nats/char)", "what it writes", "step", "R resume"),
    "xray": ("gradient norm", "gates, share", "units that follow", "input", "forget", "LSTM 24"),
    "generate": ("next character", "hidden state", "temperature", "space run/pause"),
    "compare": (
        "validation loss, carried (nats/char)",
        "best validation loss, carried",
        "steps",
        "w write report",
    ),
    "sweep": ("sweep",),
}
"""Text that each tab must show at every size and in every theme."""


def dashboard(pilot: Pilot[None]) -> DashboardApp:
    assert isinstance(pilot.app, DashboardApp)
    return pilot.app


@pytest.mark.parametrize("theme", ["tuirnn-dark", "tuirnn-light", "ansi-dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_tab_at_every_size_in_every_kind_of_theme(
    trained: Callable[..., RunPaths],
    alone: Callable[..., Path],
    opened: Opener,
    size: tuple[int, int],
    theme: str,
) -> None:
    run = trained()
    async with opened(alone(run, trained(cell="gru")), size, run=run.name) as pilot:
        pilot.app.theme = theme
        for number, tab in enumerate(tab_classes(), 1):
            await pilot.press(str(number))
            for part in PARTS[tab.NAME]:
                await until(pilot, lambda part=part: part in screen_text(pilot.app))  # type: ignore[misc]
            assert len(screen_text(pilot.app).splitlines()) == size[1]


# ── runs ──────────────────────────────────────────────────────────────────────


async def test_marks_overlay_curves_in_colours_that_stay(folder: Path, opened: Opener) -> None:
    write_run(folder, "third", age=10_000)
    async with opened(folder) as pilot:
        app, chart = dashboard(pilot), pilot.app.query_one("#runs-chart", Chart)
        await pilot.press("space", "space")
        await until(pilot, lambda: len([one for one in chart.series if len(one.x)]) == 3)
        assert list(app.folder.marked) == ["night-shift", "finished"]
        styles = {one.name: one.style for one in chart.series}
        assert len(set(styles.values())) == 3
        assert "● night-shift" in screen_text(app)
        await pilot.press("5")
        await until(pilot, lambda: "marked runs" in screen_text(app))
        compared = app.query_one("#compare-chart", Chart)
        await until(pilot, lambda: all(len(one.x) for one in compared.series))
        assert {one.name: one.style for one in compared.series}.items() <= styles.items()
        await pilot.press("1", "U")
        assert not app.folder.marked
        assert "● night-shift" not in screen_text(app)


async def test_filter_and_sort(folder: Path, opened: Opener) -> None:
    with RunWriter(write_run(folder, "aardvark", age=9000)) as writer:
        writer.status(Status(state="failed", best_val_loss=1.1, best_step=5, step=9))
    async with opened(folder) as pilot:
        table = pilot.app.query_one(DataTable)
        await pilot.press("slash", *"fail")
        await until(pilot, lambda: table.row_count == 1)
        assert "runs · 1 of 3" in screen_text(pilot.app)
        await pilot.press("enter")
        assert pilot.app.focused is table
        await pilot.press("escape")
        await until(pilot, lambda: table.row_count == 3)
        order = []
        for _ in range(3):
            order.append([table.get_row_at(row)[0].plain.strip("○● ") for row in range(3)])
            await pilot.press("s")
        assert order == [
            ["night-shift", "finished", "aardvark"],
            ["aardvark", "finished", "night-shift"],
            ["aardvark", "night-shift", "finished"],
        ]


async def test_renaming(folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        await pilot.press("N")
        assert "is training; it can be renamed" in screen_text(pilot.app)
        await pilot.press("down", "N")
        assert isinstance(pilot.app.screen, Ask)
        field = pilot.app.screen.query_one(Input)
        for wrong, said in (("night-shift", "already exists"), ("no name", "must be 1 to 64")):
            field.value = wrong
            await pilot.press("enter")
            assert said in screen_text(pilot.app)
        field.value = "better"
        await pilot.press("enter")
        await until(pilot, lambda: (folder / "better").is_dir() and "better" in screen_text(pilot.app))
        assert not (folder / "finished").exists()


# ── x-ray ─────────────────────────────────────────────────────────────────────


async def test_xray_shows_gradient_gates_and_units(trained: Callable[..., RunPaths], opened: Opener) -> None:
    run, other = trained(), trained(cell="gru")
    async with opened(run.root.parent, run=run.name) as pilot:
        app = dashboard(pilot)
        await pilot.press("3")
        await until(pilot, lambda: app.query_one(XrayTab).can("feature"))
        gradient = app.query_one("#xray-gradient", Chart)
        probes = [json.loads(line) for line in run.probes.read_text().splitlines()]
        await until(pilot, lambda: len(gradient.series) == 1)
        assert len(gradient.series[0].x) == len(probes[-1]["gradient"][-1])
        assert gradient.series[0].y.values[-1] == 1.0
        app.folder.toggle_mark(other.name)
        app.query_one(XrayTab).runs_changed(app.folder.runs)
        await until(pilot, lambda: len(gradient.series) == 2 and "(GRU 24)" in screen_text(app))
        units = str(app.query_one("#xray-units", Static).render())
        assert "capitals" not in units  # the text has none
        assert "position in line" in units
        before = screen_text(app)
        await pilot.press("down", "f")
        assert screen_text(app) != before
        await pilot.press("v")
        await until(pilot, lambda: "over the text" in screen_text(app))
        assert "the quick brown fox" in screen_text(app)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)
async def test_xray_shows_the_equations_of_the_cell(
    tmp_path: Path, opened: Opener, cell: Cell, size: tuple[int, int]
) -> None:
    write_run(tmp_path, "one", config=RunConfig().replace(cell=cell.name))
    async with opened(tmp_path, size, run="one") as pilot:
        await pilot.press("3")
        narrow = size[0] < 112
        assert pilot.app.query_one(XrayTab).can("equations") == narrow
        if narrow:
            assert "equations of a step" not in screen_text(pilot.app)
            await pilot.press("E")
        await until(pilot, lambda: f" {cell.name}, {cell.year} " in screen_text(pilot.app), 10)
        shown = "".join(screen_text(pilot.app).split())  # long ones are wrapped
        for line in equations(cell).forward:
            assert "".join(line.split()) in shown
        if narrow:
            await pilot.press("E")
            await until(pilot, lambda: "gradient norm" in screen_text(pilot.app), 10)


async def test_equations_in_little_space_and_in_ascii(tmp_path: Path) -> None:
    cell = max(CELLS.values(), key=lambda cell: len(equations(cell).forward))
    lines = equations(cell).forward
    write_run(tmp_path, "one", config=RunConfig().replace(cell=cell.name))
    app = DashboardApp(tmp_path, "one", ascii=True)
    async with app.run_test(size=(120, 24)) as pilot:
        await until(pilot, lambda: app.folder.was_read)
        await pilot.press("3")
        panel = app.query_one(Equations)
        await until(pilot, lambda: plain(lines[0]) in str(panel.render()), 10)
        drawn = str(panel.render()).splitlines()
        assert len(drawn) == panel.content_size.height
        assert drawn[-1].strip() == f"… {len(lines) - len(drawn) + 1} more"
        assert screen_text(app)
        picture = app.export_screenshot()
    assert {ch for ch in picture if ord(ch) > 127} <= set("\xa0")


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)
def test_equations_can_be_written_in_ascii(cell: Cell) -> None:
    assert all(plain(line).isascii() for line in equations(cell).forward)


def test_gates_have_the_names_of_the_cell_and_their_bounds_as_ends() -> None:
    cell = CELLS["lstm"]
    shares = dict.fromkeys(cell.gates, (0.5, 0.0, 0.5))
    seen = {"i": (0.0, 1.0), "f": (0.0, 1.0), "g": (-1.0, 1.0), "o": (0.0, 1.0)}
    ends = {"input": SHUT_OPEN, "forget": SHUT_OPEN, "candidate": (-1.0, 1.0), "output": SHUT_OPEN}
    for ranges in ((seen,), ()):  # with recorded ranges, and as earlier versions wrote it
        rows = gate_rows(Probe(1, (), (shares,), ranges), 0, cell)
        assert {row.word: row.ends for row in rows} == ends
        assert all(row.fixed for row in rows)
    (free,) = gate_rows(Probe(1, (), ({"h": (1.0,)},), ({"h": (0.0, 7.5)},)), 0, CELLS["rnn-relu"])
    assert (free.word, free.ends, free.fixed) == ("state", (0.0, 7.5), False)
    (foreign,) = gate_rows(Probe(1, (), ({"what": (1.0,)},), ({"what": (2.0,)},)), 0, cell)
    assert (foreign.word, foreign.fixed) == ("what", False)


async def test_xray_fills_itself_at_the_first_checkpoint(run: RunPaths, opened: Opener, tmp_path: Path) -> None:
    for path in (*run.root.glob("step_*"), run.root / "best", run.root / "last"):
        path.rename(tmp_path / f"_{path.name}")
    with RunWriter(run) as writer:
        writer.status(Status(state="running", pid=os.getpid(), host=socket.gethostname(), heartbeat=time.time()))
        async with opened(run.root.parent, run=run.name) as pilot:
            await pilot.press("3")
            await until(pilot, lambda: "waiting for the first checkpoint" in units_of(pilot).replace("\n", " "))
            for path in tmp_path.glob("_*"):
                path.rename(run.root / path.name[1:])
            await until(pilot, lambda: pilot.app.query_one(XrayTab).can("feature"))
            assert "position in line" in units_of(pilot)


async def test_xray_says_which_step_it_shows_and_that_there_is_a_better_one(run: RunPaths, opened: Opener) -> None:
    status = read_status(run)
    async with opened(run.root.parent, run=run.name) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: pilot.app.query_one(XrayTab).can("feature"))
        await until(pilot, lambda: f"· step {status.best_step}" in screen_text(pilot.app))
        assert "r: step" not in screen_text(pilot.app)
        with RunWriter(run) as writer:
            writer.status(dataclasses.replace(status, best_step=status.best_step + 1000))
        await until(pilot, lambda: f"r: step {status.best_step + 1000:,}" in screen_text(pilot.app))


def units_of(pilot: Pilot[None]) -> str:
    return str(pilot.app.query_one("#xray-units", Static).render())


async def test_xray_without_a_checkpoint_says_so(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "checkpoint" in str(pilot.app.query_one("#xray-units", Static).render()))


# ── compare ───────────────────────────────────────────────────────────────────


async def test_compare_aligns_and_writes(
    trained: Callable[..., RunPaths],
    alone: Callable[..., Path],
    opened: Opener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(alone(trained(), trained(cell="gru"))) as pilot:
        chart_of = lambda: pilot.app.query_one("#compare-chart", Chart)  # noqa: E731
        await pilot.press("5")
        await until(pilot, lambda: len(chart_of().series) > 1 and len(chart_of().series[0].x) == 2)
        assert chart_of().series[0].x.values.tolist() == [10, 20]
        await pilot.press("x")
        assert chart_of().series[0].x.values.tolist() == [640, 1280]
        await pilot.press("m", "m", "m", "x")
        assert "training loss, smoothed" in screen_text(pilot.app)
        assert len(chart_of().series[0].x) == 20
        await pilot.press("w", "enter")
        await until(pilot, lambda: (tmp_path / "report" / "report.md").exists(), 60)
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| cell |" in report
    assert "best validation loss, carried" in report


# ── generate ──────────────────────────────────────────────────────────────────


async def test_rewinding_by_click_and_switching_branches(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await pilot.press("4")
        tab = pilot.app.query_one(GenerateTab)
        panel = pilot.app.query_one("#generate-text", StyledText)
        await until(pilot, lambda: tab.can("step"))
        await pilot.press(*["full_stop"] * 30)
        await until(pilot, lambda: len(panel.text) == 30)
        trunk = panel.text
        await pilot.press("b", "enter")
        await until(pilot, lambda: "branch 1 from 30" in screen_text(pilot.app))
        begin = panel._lines[-1][0] if panel._lines[-1][0] < 30 else panel._lines[-2][0]
        row = next(number for number, line in enumerate(panel._lines) if line[0] == begin)
        await pilot.click("#generate-text", offset=(2, 1 + row))
        before = lambda: panel.text[: len(panel.text) - panel.tail]  # noqa: E731
        await until(pilot, lambda: before() == trunk[:begin])
        assert panel.text == trunk
        await pilot.press("full_stop")
        await until(pilot, lambda: before() == trunk[: begin + 1])  # the same random numbers: the same text
        await pilot.press("k", "enter", "B")
        assert isinstance(pilot.app.screen, Choose)
        await pilot.press("home", "enter")
        await until(pilot, lambda: panel.text == trunk)
        await pilot.press("home")
        await until(pilot, lambda: before() == "")
        assert panel.text == trunk


async def test_novelty_and_saving(
    small_run: RunPaths, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await pilot.press("4")
        tab = pilot.app.query_one(GenerateTab)
        await until(pilot, lambda: tab.can("step"))
        await pilot.press("greater_than_sign", "space")
        await until(pilot, lambda: "novel 8-grams" in screen_text(pilot.app))
        await pilot.press("space")
        await until(pilot, lambda: not tab.view.running)
        await pilot.press("w", "enter")
        await until(pilot, lambda: (tmp_path / f"{small_run.name}.txt").exists())
        assert tab.engine is not None
        assert (tmp_path / f"{small_run.name}.txt").read_text() == tab.engine.text()
        await pilot.press("e")
        await until(pilot, lambda: (tmp_path / "export" / "cells" / f"{small_run.name}.onnx").exists(), 30)


# ── everywhere ────────────────────────────────────────────────────────────────


async def test_the_command_palette_does_what_keys_do(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        await pilot.press("ctrl+p")
        assert isinstance(pilot.app.screen, Palette)
        await pilot.press(*"logarithmic x")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.query_one("#train-chart", Chart).options.log_x)


async def test_ascii_characters_only(folder: Path) -> None:
    app = DashboardApp(folder, "finished", ascii=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.folder.was_read)
        await until(pilot, lambda: "the sample of step 300" in screen_text(app))
        picture = app.export_screenshot()
    shown = {ch for ch in picture if ord(ch) > 127}
    assert shown <= set("\xa0")


def test_every_symbol_of_the_dashboard_has_an_ascii_replacement() -> None:
    signs = "─│╭╮╰╯┌└┤┬█▓▒░▁▂▃▄▅▆▇▏▎▍▌▋▊▉◆◇●○★▲▼▶✓✕■‖◌…·•×–“”↑↓←→⏎␣∞┊" + "".join(map(chr, range(0x2800, 0x2900)))
    assert all(
        len(plain) == 1 and ord(plain) < 128 for plain in (ch.translate(theme.AsciiFilter.TABLE) for ch in signs)
    )
