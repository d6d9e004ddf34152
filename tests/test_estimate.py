"""Estimates of parameters, time and memory, compared with real trainings."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuirnn.cells import CELLS
from tuirnn.config import RunConfig, load_recipe
from tuirnn.errors import DataError
from tuirnn.estimate import earlier_run, estimate, pace_of, parameters
from tuirnn.runs import detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize
from tuirnn.settings.training import DEFAULT_STEPS
from tuirnn.survey import MOST_BYTES, survey

CASES = [
    {}, {"cell": "gru", "layers": 3}, {"cell": "rnn", "embed": 0}, {"projection": 12}, {"tied": True, "embed": 24},
    {"cell": "gru", "reset": "before", "embed": 0, "layers": 2, "projection": 7},
    *({"cell": name, "layers": 2} for name in CELLS),
]  # fmt: skip

SMALL: dict[str, Any] = {"hidden": 16, "eval_every": 10_000, "sample_length": 5, "horizon": 5, "device": "cpu"}


@pytest.mark.parametrize("changes", CASES)
def test_parameters_are_exact(changes: dict[str, object]) -> None:
    from tuirnn.models import SequenceModel, count_parameters

    model = RunConfig().replace(**{"hidden": 24, "embed": 8, **changes}).model
    assert parameters(model, 31) == count_parameters(SequenceModel(model, 31))


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Two classes of 97 and 60 names, of 3 to 11 letters."""
    folder = tmp_path / "names"
    folder.mkdir()
    for label, letters, count in (("German", "schein", 97), ("Italian", "balori", 60)):
        lines = ["".join(letters[i // 6**k % 6] for k in range(3)) + letters[i % 6] * (i % 9) for i in range(count)]
        (folder / f"{label}.txt").write_text("\n".join(lines))
    return folder


def trained(config: RunConfig, folder: Path, name: str) -> tuple[dict[str, Any], RunPaths]:
    """Train; the event that it began with, with the step it ended at, and the run."""
    from tuirnn.training import launch
    from tuirnn.training.events import to_json

    events: list[dict[str, Any]] = []
    launch.start(config, folder, name, lambda event: events.append(to_json(event)))
    return {**events[-1], **next(e for e in events if e["event"] == "start")} | {"end": events[-1]["step"]}, RunPaths(
        folder / name
    )


@pytest.mark.parametrize("limits", [{"epochs": 3.0}, {"epochs": 1.7, "steps": 4}, {"steps": 7, "epochs": 0.0}])
@pytest.mark.parametrize("recipe", ["surnames", "sincos", "demo"])
def test_a_recipe_is_as_large_and_as_long_as_estimated(
    recipe: str, limits: dict[str, Any], names: Path, small_text: Path, tmp_path: Path
) -> None:
    sources = {"surnames": (str(names),), "demo": (str(small_text),)}.get(recipe, ("sincos",))
    config = load_recipe(recipe).config.replace(**SMALL, minutes=0.0, sources=sources).replace(**limits)
    expected = estimate(config, survey(config))
    began, paths = trained(config, tmp_path / "runs", "run")
    assert expected.parameters == began["parameters"]
    assert expected.steps == began["end"] == began["total"] == summarize(paths).status.total


@pytest.mark.parametrize(
    ("limits", "last"),
    [
        ({}, DEFAULT_STEPS),
        ({"steps": 12}, 12),
        ({"epochs": 2.0}, 60),
        ({"epochs": 0.001}, 1),
        ({"epochs": 2.0, "steps": 59}, 59),
        ({"minutes": 1.0}, 0),
        ({"patience": 3}, 0),
        ({"minutes": 1.0, "epochs": 1.0}, 30),
    ],
)
def test_the_nearest_limit_ends_a_run(limits: dict[str, Any], last: int) -> None:
    assert RunConfig().replace(**limits).train.last_step(30) == last


def test_a_run_that_fills_fewer_lanes_needs_less(small_text: Path) -> None:
    config = RunConfig().replace(sources=(str(small_text),), batch_size=5_000, hidden=128)
    found = survey(config)
    assert found.lanes < 200
    assert estimate(config, found).memory == estimate(config.replace(batch_size=found.lanes), found).memory


def test_sequences_need_what_the_longest_takes(names: Path) -> None:
    """A classifier's batches are as long as its sequences, whatever --seq-len says."""
    config = RunConfig().replace(sources=(str(names),), task="classify", hidden=128)
    found = survey(config)
    assert found.longest == 11
    whole = estimate(config, found).memory
    assert whole == estimate(config.replace(seq_len=999), found).memory
    assert whole == estimate(config.replace(seq_len=11), replace(found, longest=0)).memory
    assert whole < estimate(config.replace(seq_len=999), replace(found, longest=0)).memory


def test_an_earlier_run_of_the_same_work_gives_the_time(small_text: Path, tmp_path: Path) -> None:
    config = RunConfig().replace(**SMALL, sources=(str(small_text),), steps=3)
    found = survey(config)
    _, paths = trained(config, tmp_path, "first")
    known = summarize(paths)
    assert earlier_run(config, found.sha256, [known]) is None  # too short to tell
    known = replace(known, status=replace(known.status, elapsed=30.0, step=600))
    expected = estimate(config.replace(steps=0, minutes=2.0), found, pace_of(known))
    assert (expected.steps, expected.seconds) == (2400, 120)
    expected = estimate(config.replace(steps=1000, minutes=2.0), found, pace_of(known))
    assert (expected.steps, expected.seconds) == (1000, 50)
    same = config.replace(steps=0, minutes=1.0, lr=1e-3, seed=5, sources=("under", "another", "name"))
    assert earlier_run(same, found.sha256, [known]) is known
    for other in ({"hidden": 64}, {"batch_size": 16}, {"dtype": "float64"}, {"eval_every": 10}, {"layers": 2}):
        assert earlier_run(config.replace(**other), found.sha256, [known]) is None
    assert earlier_run(config, "0" * 64, [known]) is None
    elsewhere = replace(known, status=replace(known.status, host="elsewhere"))
    assert earlier_run(config, found.sha256, [elsewhere]) is None


@pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="TUIRNN_LONG=1 runs it: half a minute of training")
def test_the_steps_of_a_run_by_time_are_about_those_estimated(small_text: Path, tmp_path: Path) -> None:
    config = RunConfig().replace(hidden=128, batch_size=8, sources=(str(small_text),), device="cpu", minutes=0.25)
    found = survey(config)
    _, first = trained(config, tmp_path, "first")
    expected = estimate(config, found, earlier_run(config, found.sha256, [summarize(first)]))
    ended, _ = trained(config.replace(seed=1), tmp_path, "second")
    assert expected.steps / 3 < ended["end"] < expected.steps * 3  # either may have had a busy machine


def test_what_is_not_read_for_an_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "no data"))
    large = tmp_path / "large.txt"
    with open(large, "wb") as file:
        file.truncate(MOST_BYTES + 1)
    said: Callable[[str], Any] = lambda source: survey(RunConfig().replace(sources=(source,)))  # noqa: E731
    for source, words in (
        (str(large), "more than the 4 MB"),
        (str(tmp_path), "more than the 4 MB"),
        ("-", "standard input"),
        ("shakespeare", "it downloads 'shakespeare'"),
        ("dinos", "cannot be downloaded"),
        ("no-such-file", "no file, folder or data set"),
        ("x" * 5000, "cannot read|no file"),
        ("a\0b", "cannot read|no file"),
    ):
        with pytest.raises(DataError, match=words):
            said(source)


def test_the_estimate_is_of_the_settings_that_suit_the_data(tmp_path: Path) -> None:
    table = tmp_path / "waves.csv"
    table.write_text("y\n" + "".join(f"{(i * i) % 17}\n" for i in range(400)))
    asked = RunConfig.of("forecast").replace(sources=(str(table),), dropout=0.0, steps=3)
    run = detached.start(asked, tmp_path / "runs", "suited")
    record = summarize(run).record
    assert record is not None
    assert survey(asked).suited(asked) == record.config
    assert record.config.model.hidden != asked.model.hidden
