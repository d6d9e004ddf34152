"""X-ray of networks that read no one text: sequences letter by letter, a series over time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from conftest import train_small
from tagged import write_places
from textual.pilot import Pilot

from tuirnn.loading.cell import load_cell
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status
from tuirnn.runtime.inside import look_inside
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.probabilities import softmax
from tuirnn.tui.screens.xray import XrayTab, find_units
from tuirnn.tui.widgets import passage
from tuirnn.tui.widgets.gates import GateRow, Gates
from tuirnn.tui.widgets.heat import HeatMap
from tuirnn.tui.widgets.unit_view import UnitView

from .conftest import SIZES, Opener, screen_text, until


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run of a classifier of short words."""
    data = tmp_path_factory.mktemp("kinds")
    (data / "words").mkdir()
    for name, letters in (("early", "ab"), ("late", "bc")):
        lines = ["".join(one) for n in (2, 3, 4) for one in itertools.product(letters, repeat=n)]
        (data / "words" / f"{name}.txt").write_text("\n".join(lines))
    return train_small(data / "runs", "kinds", data / "words", task="classify", hidden=8, steps=20, eval_every=10)


async def ready(pilot: Pilot[None]) -> UnitView:
    await pilot.press("3")
    await until(pilot, lambda: pilot.app.query_one(XrayTab).can("feature"))
    await pilot.pause()
    return pilot.app.query_one(UnitView)


def test_each_sequence_is_read_from_the_zero_state(kinds: RunPaths) -> None:
    cell = load_cell("kinds", kinds.root.parent)
    inside = look_inside(cell, "kinds", kinds.root.parent)
    assert len(inside.starts) == len(inside.truths) > 2
    assert set(inside.truths) <= set(inside.classes) == {"early", "late"}
    session, vocab = CellSession(cell), cell.metadata.vocab
    for number, start in enumerate(inside.starts):
        assert inside.sequence_at(start)[:2] == (number, start)
        end = inside.sequence_at(start)[2]
        session.reset()
        for t in range(start, end):
            logits = session.step(int(vocab.encode(inside.symbols[t])[0]))[0]
            assert np.array_equal(inside.states[t], session.snapshot()[0][:, 0])
            assert np.allclose(inside.answers[t], softmax(logits))
    assert end == len(inside.symbols) == len(inside.states)


@pytest.mark.parametrize("size", SIZES)
async def test_a_classifier_is_walked_letter_by_letter(kinds: RunPaths, opened: Opener, size: tuple[int, int]) -> None:
    async with opened(kinds.root.parent, size, run="kinds") as pilot:
        units = await ready(pilot)
        inside = units._inside
        assert inside is not None
        heat, T = pilot.app.query_one(HeatMap), len(inside.symbols)
        for t in range(min(T, 9)):
            number, first, end = inside.sequence_at(t)
            assert heat._heat.cursor == t - first
            assert heat._heat.symbols == inside.symbols[first:end]
            names = [name for name, _ in heat._heat.lines]
            assert sorted(names) == ["early", "late"]
            assert np.array_equal(heat._heat.lines[0][1], inside.answers[first:end, inside.classes.index(names[0])])
            said, right, place, *_ = passage.told_at(inside, t)
            assert f"is {inside.truths[number]}" in right
            assert place == f"{number + 1} of {len(inside.starts)}"
            assert said in screen_text(pilot.app)
            await pilot.press("right")
        await pilot.press("shift+right")
        assert heat._heat.cursor == 0
        features = set(units.features)
        assert {"says early", "position in sequence"} <= features
        assert not any("line" in name for name in features)
        await pilot.press("v")
        assert "over the text" in screen_text(pilot.app)


async def test_a_forecaster_is_drawn_unit_by_time(tmp_path: Path, opened: Opener) -> None:
    train_small(tmp_path, "waves", Path("sincos"), task="forecast", horizon=10)
    inside, _, step = find_units("waves", tmp_path)
    assert step == read_status(RunPaths(tmp_path / "waves")).best_step
    assert inside.columns == ("sin", "cos")
    assert len(inside.points) == len(inside.states) == len(inside.symbols)
    async with opened(tmp_path, (120, 40), run="waves") as pilot:
        units, heat = await ready(pilot), pilot.app.query_one(HeatMap)
        assert {"sin", "change of sin", "cos", "change of cos"} == set(units.features)
        assert [name for name, _ in heat._heat.lines] == ["sin", "cos"]
        first = heat._heat.symbols
        await pilot.press("right")
        assert heat._heat.symbols != first
        assert not pilot.app.query_one(XrayTab).can("view")
        assert f"points {inside.symbols[units._part.start]} …" in screen_text(pilot.app)


def test_a_network_of_windows_reads_each_from_the_zero_state(tmp_path: Path) -> None:
    train_small(tmp_path, "windows", Path("sincos"), task="forecast", batches="windows", seq_len=4, horizon=10)
    cell = load_cell("windows", tmp_path)
    inside, session = look_inside(cell, "windows", tmp_path), CellSession(cell)
    for t in (4, 9):
        session.reset()
        for point in inside.points[t - 3 : t + 1]:
            session.step(point)
        assert np.allclose(inside.states[t], session.snapshot()[0][:, 0], atol=1e-6)


async def test_a_tagger_is_walked_too(tmp_path: Path, opened: Opener) -> None:
    file = write_places(tmp_path / "places.conll")
    train_small(tmp_path / "runs", "places", file, task="tag", hidden=8, steps=20, batch_size=16)
    async with opened(tmp_path / "runs", (80, 24), run="places") as pilot:
        units = await ready(pilot)
        await pilot.press("right", "right")
        assert units._inside is not None
        assert passage.told_at(units._inside, 2)[0] in screen_text(pilot.app)
        assert pilot.app.query_one(HeatMap)._heat.wide == 1  # a sentence


async def test_gates_are_tall_with_an_axis_if_there_is_space(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (120, 40)) as pilot:
        await pilot.press("3")
        gates = pilot.app.query_one(Gates)
        rows = [GateRow(name, (0.5, 0.0, 0.25, 0.25), (0.0, 1.0), True) for name in ("input", "forget", "output")]
        rows.append(GateRow("state", (1.0, 0.0), (-3.5, 7.25), False))
        gates.show(rows)
        drawn = str(gates.render())
        for part in ("0 ", " 1", "50 %", "25 %", "-3.5", "7.2", "as observed", "█"):
            assert part in drawn
        assert all(name in drawn for name in ("input", "forget", "output", "state"))
        assert len(drawn.splitlines()) > 8
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: gates.size.width < 40 and not gates._rows)  # drawn again, without a run
        gates.show(rows)
        assert "shut" in str(gates.render())
        assert len(str(gates.render()).splitlines()) <= 6
