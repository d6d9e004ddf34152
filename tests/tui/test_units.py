"""Each axis has one unit on the Runs, Compare and Train tabs, whatever is marked."""

import itertools
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.runs import RunsTab
from tuirnn.tui.widgets.chart import Chart

from .conftest import Opener, screen_text, until

GROUPS = {
    "nats/char": {"text-lstm", "text-gru"},
    "nats/sequence": {"kinds-lstm", "kinds-gru"},
    "σ²": {"waves-lstm", "waves-gru"},
    "nats/byte": {"bytes"},
}


async def mark_all(pilot: Pilot[None]) -> DashboardApp:
    app = pilot.app
    assert isinstance(app, DashboardApp)
    for name in sorted(run.name for run in app.folder.runs):
        app.folder.toggle_mark(name)
    app.query_one(RunsTab).opened()
    return app


def drawn(chart: Chart) -> set[str]:
    return {one.name for one in chart.series if len(one.x)}


async def test_the_overlay_draws_only_what_shares_the_unit_of_the_run_under_the_cursor(
    unlike: Path, opened: Opener
) -> None:
    async with opened(unlike, (120, 40)) as pilot:
        app, chart = await mark_all(pilot), pilot.app.query_one("#runs-chart", Chart)
        table = app.query_one(DataTable)
        for row in range(table.row_count):
            table.move_cursor(row=row)
            assert app.highlighted is not None
            name = app.highlighted.name
            unit, own = next((unit, names) for unit, names in GROUPS.items() if name in names)
            names, kept = ({""} if len(own) == 1 else own), f"{7 - len(own)} not drawn: other units"

            def shown(names: set[str] = names, unit: str = unit, kept: str = kept) -> bool:
                title, below = str(chart.border_title), str(chart.border_subtitle)
                return drawn(chart) == names and f"({unit})" in title and below == kept

            await until(pilot, shown, 5)


async def test_sorting_by_loss_keeps_units_together(unlike: Path, opened: Opener) -> None:
    async with opened(unlike, (120, 40)) as pilot:
        await pilot.press("s", "s")
        assert "sorted by best val" in screen_text(pilot.app)
        table = pilot.app.query_one(DataTable)
        names = [table.get_row_at(row)[0].plain.strip("●○ ") for row in range(table.row_count)]
        order = [next(unit for unit, own in GROUPS.items() if name in own) for name in names]
        assert len([a for a, b in itertools.pairwise(order) if a != b]) == len(GROUPS) - 1
        assert names.index("text-gru") < names.index("text-lstm")


async def test_compare_has_a_chart_and_a_table_for_each_unit(unlike: Path, opened: Opener) -> None:
    async with opened(unlike, (120, 60)) as pilot:
        app = await mark_all(pilot)
        await pilot.press("5")
        chart = app.query_one("#compare-chart", Chart)
        seen = {}
        for _ in GROUPS:
            await until(pilot, lambda: all(len(one.x) for one in chart.series))
            title = str(chart.border_title)
            seen[title[title.rindex("(") + 1 : title.rindex(")")]] = drawn(chart)
            assert title.endswith("↓")
            table = str(app.query_one("#compare-table", Static).render())
            blocks = [block.splitlines() for block in table.split("\n\n")]
            assert blocks[0][0].split("(")[1] == f"{title.split('(')[1][:-2]}"  # its table comes first
            for heading, names, *_ in blocks:
                assert set(names.split()) - {"Δ"} == next(own for unit, own in GROUPS.items() if f"({unit})" in heading)
            assert "kept apart: u" in str(chart.border_subtitle)
            await pilot.press("u")
        assert seen == GROUPS
        assert "accuracy (%) ↑" in table
        assert "RMSE, 10 steps (σ) ↓" in table
        assert "★ 97.2 %" in table


async def test_compare_draws_every_figure_in_its_own_unit(unlike: Path, opened: Opener) -> None:
    async with opened(unlike, (120, 40)) as pilot:
        app = await mark_all(pilot)
        app.folder.marked.pop("text-lstm"), app.folder.marked.pop("text-gru"), app.folder.marked.pop("bytes")
        await pilot.press("5")
        chart = app.query_one("#compare-chart", Chart)
        if "nats/sequence" not in str(chart.border_title):
            await pilot.press("u")
        titles = []
        for _ in range(4):
            titles.append(str(chart.border_title))
            if "accuracy" in titles[-1]:
                await until(pilot, lambda: " 80 ┤" in screen_text(app), 5)  # per cent
            await pilot.press("m")
        assert titles == [
            "validation loss (nats/sequence) ↓",
            "validation accuracy (%) ↑",
            "validation macro F1 (%) ↑",
            "training loss, smoothed (nats/sequence) ↓",
        ]


async def test_train_names_the_unit_of_each_measure(unlike: Path, opened: Opener) -> None:
    async with opened(unlike, (120, 40), run="waves-lstm") as pilot:
        chart = pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: "waves-lstm · MSE (σ²)" in str(chart.border_title))
        await pilot.press("u")  # a squared error has no other units
        assert "MSE (σ²)" in str(chart.border_title)
        await pilot.press("m")
        await until(pilot, lambda: "RMSE, 10 steps (σ)" in str(chart.border_title) or "(σ)" in str(chart.border_title))
    async with opened(unlike, (120, 40), run="kinds-gru") as pilot:
        chart = pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: "loss (nats/sequence)" in str(chart.border_title))
        await pilot.press("u")
        assert "loss (bits/sequence)" in str(chart.border_title)
        await pilot.press("m")
        assert "accuracy (%)" in str(chart.border_title)
        await until(pilot, lambda: " 80 ┤" in screen_text(pilot.app), 5)
