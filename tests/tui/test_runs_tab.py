"""The Runs tab: a table for every size, and details in the terms of the run's task."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import train_small

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.writer import RunWriter
from tuirnn.tui.widgets.runs_table import RunsTable, shortened

from .conftest import Opener, screen_text, until, write_run

RESIZES = [(80, 24), (200, 60), (120, 40), (80, 24), (60, 16), (200, 60), (120, 40)]


async def test_losses_of_different_units_name_them(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "text")
    async with opened(tmp_path) as pilot:
        await until(pilot, lambda: "text" in screen_text(pilot.app))
        assert not any("nats/char" in cell for cell in cells_on_screen(pilot.app.query_one(RunsTable)))
        write_run(tmp_path, "series", config=RunConfig.of("forecast"))
        await until(pilot, lambda: "series" in screen_text(pilot.app))
        found = cells_on_screen(pilot.app.query_one(RunsTable))
        assert {"1.500 nats/char", "1.500 σ²"} <= set(found)


def cells_on_screen(table: RunsTable) -> list[str]:
    """The text on the screen in the place of each cell of the table, by rows."""
    lines = screen_text(table.app).splitlines()
    first, left = table.content_region.y + table.header_height, table.content_region.x
    found = []
    for row in range(table.row_count):
        for column in range(len(table.columns)):
            area = table._get_cell_region((row, column))
            found.append(lines[first + row][left + area.x : left + area.right].strip())
    return found


async def test_cells_are_complete_after_every_resize(tmp_path: Path, opened: Opener) -> None:
    name = "a-night-shift-of-24-cells"
    paths = write_run(tmp_path, name, state="running", progress=0.41, total=700_000, eta=273_600.0)
    write_run(tmp_path, "gru", age=7200, config=RunConfig().replace(cell="gru", hidden=512, layers=3))
    with RunWriter(paths):
        async with opened(tmp_path, (120, 40)) as pilot:
            table = pilot.app.query_one(RunsTable)
            for size in RESIZES:
                await pilot.resize_terminal(*size)
                await pilot.pause()
                wanted = [cell.plain.strip() for run in table._shown for cell in table._cells[run.name]]
                await until(pilot, lambda: cells_on_screen(table) == wanted, 5)  # noqa: B023
                for title, column in zip(table._titles, table.ordered_columns, strict=True):
                    assert column.label.plain.strip() == title
                shown = screen_text(pilot.app)
                for whole in ("GRU 512×3", "▶ running", "✓ done", "41 %", "gru"):
                    assert whole in shown
                assert ("3 d 4 h" in shown) == (size[0] >= 80)
                assert ("300/700,000" in shown) == (size[0] >= 200)
                assert ("16.1k tok/s" in shown) == (size[0] >= 200)


async def test_a_column_is_as_wide_as_its_content(tmp_path: Path, opened: Opener) -> None:
    write_run(tmp_path, "one", best_val_loss=1.5)
    async with opened(tmp_path, (120, 40)) as pilot:
        await until(pilot, lambda: "1.500" in screen_text(pilot.app))
        write_run(tmp_path, "two", leaky=True, age=5)
        write_run(tmp_path, "three", config=RunConfig().replace(hidden=65_536, layers=12), age=6)
        await until(pilot, lambda: "LSTM 65536×12" in screen_text(pilot.app))
        assert "✓ done" in screen_text(pilot.app)


@pytest.fixture
def classifier(tmp_path: Path) -> RunPaths:
    folder = tmp_path / "names"
    folder.mkdir()
    for label, letters in (("German", "schein"), ("Italian", "balori")):
        (folder / f"{label}.txt").write_text("\n".join(letters[i % 6] * (1 + i // 6) + letters for i in range(60)))
    return train_small(tmp_path / "runs", "names", folder, task="classify", batch_size=8)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_classifiers_answers_are_a_table(classifier: RunPaths, opened: Opener, size: tuple[int, int]) -> None:
    async with opened(classifier.root.parent, size) as pilot:
        await until(pilot, lambda: "sequences" in screen_text(pilot.app))
        panel = pilot.app.query_one("#runs-sample")
        await until(pilot, lambda: panel.region.height >= 4)
        lines = [line[panel.region.x : panel.region.right] for line in screen_text(pilot.app).splitlines()]
        rows = [line for line in lines[panel.region.y : panel.region.bottom] if "erman" in line or "talian" in line]
        assert len(rows) >= 4
        starts = {row.index(next(word for word in ("German", "Italian") if word in row)) for row in rows}
        assert len(starts) == 1, "the answers stand in one column"
        assert "“" not in screen_text(pilot.app)
        shown = " ".join(pilot.app.query_one("#runs-facts").render().plain.split())  # type: ignore[union-attr]
        assert "batch 8 of 108 sequences" in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_forecasters_errors_are_a_table(tmp_path: Path, opened: Opener, size: tuple[int, int]) -> None:
    train_small(tmp_path, "waves", Path("sincos"), task="forecast", horizon=10)
    async with opened(tmp_path, size) as pilot:
        await until(pilot, lambda: "RMSE 1–10" in screen_text(pilot.app))
        lines = screen_text(pilot.app).splitlines()
        lines = lines[next(at for at, line in enumerate(lines) if "last value" in line) :]
        heading = lines[0]
        right = heading.index("last value") + len("last value")
        for name in ("MSE ", "RMSE +1 ", "RMSE +10 ", "RMSE 1–10 "):
            line = next(line for line in lines if name in line)
            assert line[right - 1] != " "
            assert line[right] == " "
        assert "900 points" in screen_text(pilot.app)
        assert "“" not in screen_text(pilot.app)


@pytest.mark.parametrize(("tokens", "noun"), [("char", "characters"), ("byte", "bytes"), ("word", "words")])
async def test_a_text_is_counted_in_its_tokens(
    trained: Callable[..., RunPaths], alone: Callable[..., Path], opened: Opener, tokens: str, noun: str
) -> None:
    async with opened(alone(trained(tokens=tokens)), (200, 60)) as pilot:
        await until(pilot, lambda: f"k {noun} ·" in screen_text(pilot.app), 10)


async def test_the_speed_is_in_the_unit_of_the_task(tmp_path: Path, opened: Opener) -> None:
    paths = write_run(tmp_path, "waves", state="running", config=RunConfig().replace(task="forecast"))
    with RunWriter(paths):
        async with opened(tmp_path, (120, 40)) as pilot:
            await until(pilot, lambda: "16.1k points/s" in screen_text(pilot.app))
            await pilot.press("enter")
            await until(pilot, lambda: "waves · MSE" in screen_text(pilot.app))
            assert "16.1k points/s" in screen_text(pilot.app)
            await until(pilot, lambda: "─ points/s" in screen_text(pilot.app))


def test_a_cell_is_cut_between_words() -> None:
    assert shortened("the embedded text", 14).plain == "the embedded …"
    assert shortened("a-file-without-blanks.txt", 14).plain == "a-file-withou…"
    assert shortened("text.txt", 14).plain == "text.txt"
    assert shortened("#night #old-data #third", 18).plain == "#night #old-data …"


async def test_a_network_worse_than_guessing_is_marked(tmp_path: Path, opened: Opener) -> None:
    """Of six symbols and the unknown one: log 7 = 1.946 nats."""
    write_run(tmp_path, "poor", best_val_loss=1.95)
    write_run(tmp_path, "fair", best_val_loss=1.94)
    async with opened(tmp_path) as pilot:
        await until(pilot, lambda: "▲ 1.950" in screen_text(pilot.app))
        assert "▲ 1.94" not in screen_text(pilot.app)
