"""`benchmarks/race.py`: what it trains, that it goes on where it was ended, and what its report says."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tuirnn.cells import CELLS
from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.estimate import parameters
from tuirnn.training import launch

FIRST, *_, SECOND = CELLS


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    import race

    return race


def words(folder: Path, *more: str) -> list[str]:
    """A smoke test of two cells."""
    return ["--smoke", "--cells", f"{FIRST},{SECOND}", "--rates", "0.002,0.01", "--seeds", "1", "--runs",
            str(folder / "runs"), "--output", str(folder / "race.md"), *more]  # fmt: skip


def test_a_smoke_test_is_reported_and_not_repeated(
    race: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")  # nothing is compiled for a test
    race.main(words(tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "runs" / "rows.jsonl").read_text().splitlines()]
    assert [(row["cell"], row["part"]) for row in rows] == [
        *((cell, "search") for cell in (FIRST, FIRST, SECOND, SECOND)), (FIRST, "race"), (SECOND, "race")
    ]  # fmt: skip
    for row in rows:
        assert row["steps"] == race.SMOKE["steps"]
        assert math.isfinite(row["val_loss"])
        assert all(row[key] for key in ("processor", "torch", "commit", "date", "cores", "parameters", "hidden"))
        assert row["load"] >= 0
        assert row["others"] >= 0
    for cell in (FIRST, SECOND):
        tried = {row["lr"]: row["val_loss"] for row in rows if row["cell"] == cell and row["part"] == "search"}
        (raced,) = (row for row in rows if row["cell"] == cell and row["part"] == "race")
        assert raced["lr"] == min(tried, key=lambda lr: tried[lr])
    report = (tmp_path / "race.md").read_text()
    assert "smoke test" in report
    assert all(f"| {cell} |" in report for cell in (FIRST, SECOND))
    assert "What it does not show" in report
    assert "<svg" in (tmp_path / "race.svg").read_text()

    monkeypatch.setattr(launch, "start", lambda *_: pytest.fail("a run that is done is trained again"))
    state = tmp_path / "runs" / "rows.jsonl"
    whole = state.read_text()
    state.write_text(whole + '{"run": "torn')
    race.main(words(tmp_path))
    assert state.read_text() == whole
    assert (tmp_path / "race.md").read_text() == report

    state.write_text(whole.replace(json.dumps(rows[0]["processor"]), '"another processor"'))
    with pytest.raises(TuirnnError, match="another processor"):
        race.main(words(tmp_path))


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core")
def test_runs_side_by_side_have_cores_of_their_own(
    race: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    race.main(words(tmp_path, "--side-by-side", "2"))
    rows = [json.loads(line) for line in (tmp_path / "runs" / "rows.jsonl").read_text().splitlines()]
    assert sorted((row["cell"], row["part"]) for row in rows) == sorted(
        [*((cell, "search") for cell in (FIRST, FIRST, SECOND, SECOND)), (FIRST, "race"), (SECOND, "race")]
    )
    assert {row["had"] for row in rows} == {len(os.sched_getaffinity(0)) // 2}
    parts = race.shares(2)
    assert not set(parts[0]) & set(parts[1])
    with pytest.raises(TuirnnError, match="needs 9999 cores"):
        race.shares(9999)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("budget", [3_000, 30_000, 400_000])
def test_the_hidden_width_comes_nearest_to_the_budget(race: ModuleType, cell: str, budget: int) -> None:
    def off(hidden: int) -> int:
        return abs(parameters(RunConfig().replace(cell=cell, hidden=hidden).model, 65) - budget)

    found = race.width(cell, budget, 65)
    assert found % race.LANES == 0
    assert off(found) == min(off(hidden) for hidden in range(race.LANES, 4096, race.LANES))


@pytest.fixture
def made(race: ModuleType) -> Any:
    """A row, and the means to change it."""
    row = race.Row("race-a", "race", "a", 64, 1000, 0.005, 0, 3.0, "text", 1.5, "", 100, 50.0, 0.1, 0.0, 1, 2, "cpu",
                   "2", "abc", "2026-01-02")  # fmt: skip
    return lambda **changes: replace(row, **changes)


def test_the_report_ranks_cells_and_names_what_was_wrong(race: ModuleType, made: Any, tmp_path: Path) -> None:
    import race_report

    rows = [
        made(run="race-b", cell="b", val_loss=1.4, others=0.9), made(run="race-b2", cell="b", seed=1, val_loss=1.45),
        made(), made(run="race-a2", seed=1, val_loss=1.52),
        made(run="race-c", cell="c", val_loss=math.nan, failed="the loss is not finite"),
        *(made(run=f"s{lr}", part="search", lr=lr) for lr in (0.002, 0.005, 0.0125)),
        *(made(run=f"t{lr}", part="search", cell="b", lr=lr) for lr in (0.0001, 0.005)),
        made(run="u", part="search", cell="d"),
    ]  # fmt: skip
    race_report.write_report(rows, tmp_path / "race.md", tmp_path)
    report = (tmp_path / "race.md").read_text()
    table = [line.split(" | ") for line in report.splitlines() if line.startswith("| ") and " cell " not in line]
    assert [line[1] for line in table] == ["b", "a", "c"]
    assert table[0][2:5] == [f"{1.425 / math.log(2):.3f}", "1.4250", "0.0500"]
    assert table[0][-1].startswith("0.005 (edge)")
    assert table[1][-1].startswith("0.005 |") or table[1][-1] == "0.005 |"
    assert "failed" in table[2][2]
    assert "may lie beyond: b." in report
    assert "at work during 1 of 11 runs, at most 0.9 cores on average (race-b)" in report
    assert "race-c failed: the loss is not finite" in report
    assert "Not raced, or not yet: d." in report
    quiet = "\n".join(race_report.notes([made()], [[made()]]))
    assert "Nothing else kept more than" in quiet
    assert "several commits" not in quiet
    assert "several commits" in "\n".join(race_report.notes([made(), made(commit="abc+")], [[made()]]))
