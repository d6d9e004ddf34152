"""Every curve that is drawn has a name in the legend, at every size; curves whose names do not fit are not drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.widgets import Static

from tuirnn.charts.legend import GAP, lay_out
from tuirnn.charts.plot import Series
from tuirnn.runlog.track import Curve
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.runs import RunsTab
from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.tabs import tab_classes
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.unit_view import UnitView

from .conftest import Opener, screen_text, until, write_run

NAMES = st.lists(st.text("abcdef-0123456789", min_size=1, max_size=40), min_size=1, max_size=12, unique=True)
SIZES = [(60, 16), (80, 24), (100, 30), (120, 40)]


@settings(max_examples=200, deadline=None)
@given(names=NAMES, width=st.integers(1, 140), rows=st.integers(0, 6))
def test_what_is_drawn_is_named_and_nothing_overflows(names: list[str], width: int, rows: int) -> None:
    line = Curve.of(np.arange(3.0))
    series = [Series(name, line, line, f"line-{k}") for k, name in enumerate(names)]
    legend = lay_out(series, width, rows)
    assert len(legend.rows) <= rows
    assert all(sum(e.width for e in row) + GAP * (len(row) - 1) <= width for row in legend.rows)
    entries = [entry for row in legend.rows for entry in row]
    drawn = [one.style for one in legend.series]
    if not legend.rows:
        assert drawn == ["line-0"]
        return
    left_out = len(names) - len(drawn)
    assert [e.name for e in entries if not e.mark] == [f"+{left_out} more"] * (left_out > 0)
    assert [entry.style for entry in entries if entry.mark] == drawn
    shown = [entry.name for entry in entries if entry.mark]
    assert len(set(shown)) == len(shown)
    for entry, one in zip(entries, legend.series, strict=False):
        begin, _, end = entry.name.partition("…")
        assert one.name.startswith(begin)
        assert one.name.endswith(end)
    if sum(len(name) + 2 + GAP for name in names) - GAP <= width and rows:
        assert shown == names  # names that fit are not shortened


def nameless(chart: Chart) -> set[str]:
    """Styles of named series that occur in the plot but neither in the legend above nor at the lines' right ends."""
    canvas = chart.canvas()
    named = {one.style for one in chart.series if one.name}
    high = canvas.height - (canvas.area.H + 2) if canvas.area else canvas.height
    edge = canvas.area.left + canvas.area.W if canvas.area else canvas.width
    inside = {style for row in canvas.styles[high:] for style in row[:edge]} & named
    return (
        inside
        - {style for row in canvas.styles[:high] for style in row}
        - {style for row in canvas.styles for style in row[edge:]}
    )


@pytest.mark.parametrize("size", SIZES)
async def test_the_xray_names_each_curve(
    trained: Callable[..., RunPaths], opened: Opener, size: tuple[int, int]
) -> None:
    run = trained()
    others = trained(cell="gru"), trained(cell="rnn")
    async with opened(run.root.parent, size, run=run.name) as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        for one in (run, *others):
            app.folder.toggle_mark(one.name)
        await pilot.press("3")
        gradient = app.query_one("#xray-gradient", Chart)
        await until(pilot, lambda: len(gradient.series) == 3)
        await until(pilot, lambda: app.query_one(XrayTab).can("feature"))
        assert nameless(gradient) == set()
        if size != (60, 16):  # a second name does not fit there
            shown = screen_text(app)
            plotted = {style for row in gradient.canvas().styles for style in row if style.startswith("line-")}
            assert len(plotted) == 3
            assert "more" not in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_marked_runs_are_named_wherever_they_are_drawn(
    tmp_path: Path, opened: Opener, size: tuple[int, int]
) -> None:
    for number in range(7):
        write_run(tmp_path, f"a-sweep-of-the-hidden-size-{2**number}", age=100.0 * number, steps=60)
    async with opened(tmp_path, size) as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        for run in app.folder.runs:
            app.folder.toggle_mark(run.name)
        app.query_one(RunsTab).opened()
        for number, tab in enumerate(tab_classes(), 1):
            await pilot.press(str(number))
            await pilot.pause(0.4)
            for chart in app.query_one(tab).query(Chart):
                if chart.display and chart.size.height:
                    assert nameless(chart) == set(), (tab, chart.id)
        await pilot.press("5")
        compared = app.query_one("#compare-chart", Chart)
        await until(pilot, lambda: len([one for one in compared.series if len(one.x)]) == 7)
        assert nameless(compared) == set()


async def test_the_loss_as_a_small_chart_is_named(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one")
    async with opened(tmp_path, (120, 40), run="one") as pilot:
        await pilot.press("m")
        small = pilot.app.query_one("#train-small-0", Chart)
        await until(pilot, lambda: "loss" in str(small.border_title) and bool(small.series))
        await pilot.pause()
        assert {one.name for one in small.series} == {"", "train", "val"}
        assert nameless(small) == set()
        assert "more" not in small.canvas().text()


# ── the X-ray tab's other panels ──────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES[1:])
async def test_each_unit_is_one_line_and_shares_have_headings(
    trained: Callable[..., RunPaths], opened: Opener, size: tuple[int, int]
) -> None:
    run = trained()
    async with opened(run.root.parent, size, run=run.name) as pilot:
        app = pilot.app
        assert isinstance(app, DashboardApp)
        await pilot.press("3")
        await until(pilot, lambda: app.query_one(XrayTab).can("feature") and "candidate" in screen_text(app))
        panel, features = app.query_one("#xray-units", Static), app.query_one(UnitView).features
        rows = [
            "".join(strip.text for strip in [panel.render_line(y)]).strip(" │") for y in range(panel.size.height)
        ]  # fmt: skip
        lines = [row for row in rows if row]
        assert len(lines) == len(features)
        for name, line in zip(features, lines, strict=True):
            assert name in line
            assert f"{app.query_one(UnitView)._layers[0][name][0].r:+.2f}" in line
        shown = screen_text(app).splitlines()
        if size[1] >= 40:  # gates are tall, each over its own axis
            assert sum(row.count("── 1") for row in shown) >= 3
            return
        heading = next(k for k, row in enumerate(shown) if "shut" in row)
        assert "open" in shown[heading]
        assert [next(name for name in ("input", "forget", "output") if name in shown[heading + k]) for k in (1, 2, 3)]
        assert "at -1" in shown[heading + 4]
        assert "at +1" in shown[heading + 4]
        assert "candidate" in shown[heading + 5]
        column = shown[heading].index("shut") + 3
        assert all("%" in row[column : column + 3] for row in shown[heading + 1 : heading + 4])  # below its heading
