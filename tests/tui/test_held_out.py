"""The Train tab of a run that answers: predictions right and wrong, truth beside forecast and interval."""

import itertools
import json
import math
import shutil
from pathlib import Path

import pytest
from conftest import train_small
from hypothesis import given, settings
from hypothesis import strategies as st
from tagged import write_places
from textual.pilot import Pilot

from tuirnn.runlog.answers import Answer, Answers, answers_in, outlook_in
from tuirnn.runlog.snapshot import Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.tui.widgets.answers import AnswerTable
from tuirnn.tui.widgets.held_out import HeldOut
from tuirnn.tui.widgets.outlook_chart import INTERVAL, OutlookChart

from .conftest import SIZES, Opener, screen_text, until

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["rows", "judged", "columns", "history", "truth", "forecast", "widths", "times"]), JSON
    )
)
def test_a_damaged_record_is_no_error(record: dict[str, object]) -> None:
    answers, outlook = answers_in(record), outlook_in(record)
    assert answers is None or all(isinstance(row, Answer) for row in answers.rows)
    assert outlook is None or len(outlook.widths) == len(outlook.forecast) > 0


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run of a classifier that is often right and sometimes wrong."""
    data = tmp_path_factory.mktemp("kinds")
    for name, letters in (("early", "ab"), ("late", "bc")):
        lines = ["".join(one) for n in (2, 3, 4) for one in itertools.product(letters, repeat=n)]
        (data / "words").mkdir(exist_ok=True)
        (data / "words" / f"{name}.txt").write_text("\n".join(lines))
    return train_small(data / "runs", "kinds", data / "words", task="classify", hidden=8, steps=20, eval_every=10)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run of a forecaster of two columns."""
    return train_small(tmp_path_factory.mktemp("waves"), "waves", Path("sincos"), task="forecast", horizon=10)


def table(pilot: Pilot[None]) -> AnswerTable:
    return pilot.app.query_one(AnswerTable)


@pytest.mark.parametrize("size", SIZES)
async def test_each_prediction_is_marked_right_or_wrong(kinds: RunPaths, opened: Opener, size: tuple[int, int]) -> None:
    recorded = [record for record in LogTail(kinds.samples).read() if record["kind"] == "answers"][-1]
    async with opened(kinds.root.parent, size, run="kinds") as pilot:
        await until(pilot, lambda: bool(table(pilot)._rows))
        lines = ["".join(text for text, _ in row) for row in table(pilot)._rows]
        assert len(lines) == len(recorded["rows"]) > 3
        for line, (text, guess, truth, p) in zip(lines, recorded["rows"], strict=True):
            assert line.startswith("✓ " if guess == truth else "✕ ")
            assert text in line
            assert guess in line
            assert f"{p:.2f}".removeprefix("0") in line
            assert line.rstrip().endswith(guess if guess == truth else f"is {truth}")
            assert any(block in line for block in "▏▎▍▌▋▊▉█")
        assert len(set(map(len, lines))) <= 2  # columns: only the right class sticks out
        for part in ("held-out predictions", "accuracy", f"% of {recorded['judged']} sequences", lines[0].strip()):
            assert part in screen_text(pilot.app)
        assert not pilot.app.query_one(HeldOut).has_second


async def test_an_evaluation_is_offered_where_a_training_can_make_one(tmp_path: Path, opened: Opener) -> None:
    async with opened(tmp_path, (200, 60)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "a sample is written at each evaluation" in screen_text(pilot.app))
        assert "requests one now" not in screen_text(pilot.app)
        pilot.app.query_one(HeldOut).show(Snapshot(), None, None, live=True)
        await until(pilot, lambda: "V requests one now" in screen_text(pilot.app))


async def test_an_earlier_evaluation_is_chosen_by_key(kinds: RunPaths, opened: Opener) -> None:
    async with opened(kinds.root.parent, run="kinds") as pilot:
        await until(pilot, lambda: "step 20 of 20" in screen_text(pilot.app))
        newest = table(pilot)._answers
        await pilot.press("[")
        await until(pilot, lambda: "step 10 of 20" in screen_text(pilot.app))
        assert table(pilot)._answers != newest


async def test_a_run_of_an_earlier_version_has_its_table_as_text(
    tmp_path: Path, kinds: RunPaths, opened: Opener
) -> None:
    old = RunPaths(shutil.copytree(kinds.root, tmp_path / "old"))
    kept = [line for line in old.samples.read_text().splitlines() if json.loads(line)["kind"] == "sample"]
    old.samples.write_text("\n".join(kept) + "\n")
    first = json.loads(kept[-1])["text"].splitlines()[0]
    async with opened(tmp_path, run="old") as pilot:
        await until(pilot, lambda: first in screen_text(pilot.app))


async def test_a_tagger_shows_what_it_found_and_the_right_spans(tmp_path: Path, opened: Opener) -> None:
    file = write_places(tmp_path / "places.conll")
    train_small(tmp_path / "runs", "places", file, task="tag", hidden=8, steps=20, batch_size=16)
    async with opened(tmp_path / "runs", (80, 24), run="places") as pilot:
        await until(pilot, lambda: bool(table(pilot)._rows))
        styles = {style for row in table(pilot)._rows for _, style in row}
        assert "wrong" in styles
        assert any(row[0][0].strip() == "is" for row in table(pilot)._rows)
        assert "✕ " in screen_text(pilot.app)


def test_wide_answers_are_shortened_and_taggings_wrapped() -> None:
    from tuirnn.tui.widgets.answers import _in_columns, _marked

    wide = Answer("x" * 300, "a", "b", math.nan)
    (line,) = _in_columns([wide], 40)
    assert sum(len(text) for text, _ in line) <= 40
    assert "…" in line[1][0]
    tagged = Answer("", "see [Anna PER] in Rome " * 9, "see [Anna PER] in [Rome LOC] " * 9, 0.5)
    lines = _marked(tagged, 30)
    assert all(sum(len(text) for text, _ in line) <= 30 for line in lines)
    assert "".join(text for line in lines for text, _ in line).count("is ") == 1
    assert Answers(()).judged == 0


async def test_truth_stands_beside_forecast_and_interval(waves: RunPaths, opened: Opener) -> None:
    recorded = [record for record in LogTail(waves.samples).read() if record["kind"] == "forecast"][-1]
    assert len(recorded["widths"]) == len(recorded["forecast"]) == 10
    async with opened(waves.root.parent, run="waves") as pilot:
        chart = pilot.app.query_one(OutlookChart)
        await until(pilot, lambda: bool(chart.series))
        curves = {one.name: one for one in chart.series}
        assert list(curves) in (["actual", "predicted"], [INTERVAL, "actual", "predicted"])
        assert curves["actual"].x.values[0] == -len(recorded["history"]) < -10
        assert curves["actual"].y.values[-1] == pytest.approx(recorded["truth"][-1][0])
        assert curves["predicted"].x.values.tolist() == list(range(10))
        assert chart.options.cursor == 0.0  # past and future are divided
        assert "sin · 1 of 2" in str(chart.border_subtitle)
        await pilot.press("down")
        assert "cos · 2 of 2" in str(chart.border_subtitle)
        assert "RMSE" in screen_text(pilot.app)
        assert "held-out errors" in screen_text(pilot.app)


async def test_a_small_window_has_one_of_the_two_panels(waves: RunPaths, opened: Opener) -> None:
    async with opened(waves.root.parent, (80, 24), run="waves") as pilot:
        await until(pilot, lambda: "held-out forecast" in screen_text(pilot.app))
        assert "held-out errors" not in screen_text(pilot.app)
        await pilot.press("v")
        await until(pilot, lambda: "held-out errors" in screen_text(pilot.app))
        assert "held-out forecast" not in screen_text(pilot.app)
