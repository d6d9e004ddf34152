"""Comparisons have one unit for each table and axis: runs of different tasks are separated."""

import csv
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import UNLIKE, train_small, write_unlike
from hypothesis import given
from hypothesis import strategies as st

from tuirnn import sweeping
from tuirnn.config import FIELDS, RunConfig
from tuirnn.runlog.feed import RunFeed, held_out, whole
from tuirnn.runlog.snapshot import Snapshot, Table
from tuirnn.runs.export import to_csv
from tuirnn.runs.judgement import judgement
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record
from tuirnn.tasks import TASKS
from tuirnn.training import launch

NAMES = tuple(UNLIKE)
UNITS = {
    "text-lstm": "nats/char",
    "text-gru": "nats/char",
    "kinds-lstm": "nats/sequence",
    "kinds-gru": "nats/sequence",
    "waves-lstm": "σ²",
    "waves-gru": "σ²",
    "bytes": "nats/byte",
}


def compare(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "tuirnn", "compare", "--runs", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def cells(line: str) -> list[str]:
    """The columns of a line of a table."""
    return [cell for cell in re.split(r"  +|\s*\|\s*", line.strip()) if cell]


def test_every_task_says_what_it_is_judged_by() -> None:
    assert set(TASKS) == set(FIELDS["task"][1].metadata["choices"])


def test_runs_of_one_unit_share_a_table_and_others_do_not(unlike: Path) -> None:
    tables = [block.splitlines() for block in compare(unlike, *NAMES).split("\n\n")]
    found = {}
    for heading, names, *rows in tables[:-1]:
        for name in cells(names):
            found[name] = heading[heading.index("(") + 1 : heading.index(")")]
        assert all(len(cells(row)) == 1 + len(cells(names)) for row in rows), rows
    assert found == UNITS
    assert "compared separately" in tables[-1][0]


def test_each_task_has_its_own_figures_with_unit_direction_and_the_best(unlike: Path) -> None:
    shown = {cells(line)[0]: cells(line)[1:] for line in compare(unlike, *NAMES[2:6]).splitlines() if line}
    assert shown["best validation loss (nats/sequence) ↓"] == ["★ 0.105", "1.351"]
    assert shown["accuracy (%) ↑"] == ["★ 97.2 %", "93.1 %"]
    assert shown["macro F1 (%) ↑"] == ["★ 95.1 %", "91.1 %"]
    assert shown["best validation MSE, one step (σ²) ↓"] == ["★ 5.2e-08", "4.0e-03"]
    assert shown["MAE, one step (σ) ↓"] == ["★ 2.0e-04", "0.050"]
    # roll-outs of different lengths are no better or worse than one another
    assert shown["RMSE, 10 steps (σ) ↓"] == ["0.031", "–"]
    assert shown["RMSE, 20 steps (σ) ↓"] == ["–", "0.021"]
    assert shown["MSE of the last value (σ²)"] == ["0.010", "0.010"]  # a baseline is not won by anyone


def test_json_names_the_groups(unlike: Path) -> None:
    said = json.loads(compare(unlike, *NAMES, "--json"))
    assert {name: group["unit"] for group in said["groups"] for name in group["runs"]} == UNITS
    assert said["table"]["accuracy (%) ↑"] == {"kinds-lstm": "97.2 %", "kinds-gru": "93.1 %"}


def test_a_report_has_a_section_and_an_axis_for_each_unit(unlike: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    compare(unlike, *NAMES, "-o", str(tmp_path))
    sections = (tmp_path / "report.md").read_text().split("\n## ")
    assert len(sections) == 5
    for section in sections[1:]:
        heading = section.splitlines()[0]
        unit = heading[heading.index("(") + 1 : heading.index(")")]
        own = [name for name, wanted in UNITS.items() if wanted == unit]
        assert heading.endswith(": " + ", ".join(own))
        assert [name for name in NAMES if f"| {name} |" in section] == own
        assert f"({unit}) ↓ |" in section
    tree = ET.parse(tmp_path / "curves.svg").getroot()
    axes = [one for one in tree.iter() if re.fullmatch(r"axes_\d+", one.get("id", ""))]
    assert len(axes) == 6  # four losses, accuracy, roll-out


def test_alike_runs_have_one_report_as_before(unlike: Path, tmp_path: Path) -> None:
    compare(unlike, "text-lstm", "text-gru", "-o", str(tmp_path))
    report = (tmp_path / "report.md").read_text()
    assert "## Results" in report
    assert "apart" not in report


def test_vocabularies_of_words_and_scales_of_series_are_units_of_their_own(tmp_path: Path) -> None:
    words = {"tokens": "word"}
    one = write_unlike(tmp_path, "one", words, UNLIKE["bytes"][1])
    two = write_unlike(tmp_path, "two", words, UNLIKE["bytes"][1])
    assert judgement(read_record(one)).kind == judgement(read_record(two)).kind
    record = json.loads(two.record.read_text())
    record["vocab"]["symbols"] = record["vocab"]["symbols"][:1]
    two.record.write_text(json.dumps(record))
    assert judgement(read_record(one)).kind != judgement(read_record(two)).kind
    series = write_unlike(tmp_path, "series", *UNLIKE["waves-gru"])
    before = judgement(read_record(series)).kind
    record = json.loads(series.record.read_text())
    record["data"]["std"] = [3.0]
    series.record.write_text(json.dumps(record))
    assert judgement(read_record(series)).kind != before


def test_csv_says_what_the_loss_is_in(unlike: Path, tmp_path: Path) -> None:
    for name, unit in UNITS.items():
        to_csv(RunPaths(unlike / name), tmp_path / "out.csv")
        with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
            assert {row["loss_unit"] for row in csv.DictReader(file)} == {unit}


def test_a_sweep_over_tasks_says_which_unit_each_row_is_in(unlike: Path) -> None:
    base = RunConfig().replace(**UNLIKE["waves-gru"][0])
    points = [sweeping.Point(name, base, {"cell": name}) for name in NAMES]
    titles, *rows = sweeping.table(points, unlike)
    assert {row[0]: row[titles.index("unit")] for row in rows} == UNITS
    assert "5.2e-08" in rows[4]


def test_the_comparison_needs_neither_torch_nor_the_dashboard() -> None:
    script = "import sys, tuirnn.comparison; print([one for one in ('torch', 'textual') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def elapsed_of(folder: Path, train: list[dict[str, float]], val: list[dict[str, float]]) -> tuple[list[float], ...]:
    """Seconds of training at each record of a log."""
    folder.mkdir()
    records = [{"split": "train", "loss": 1.0, **record} for record in train]
    records += [{"split": "val", "loss": 1.0, **record} for record in val]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    feed = RunFeed(RunPaths(folder))
    while feed.advance():
        pass
    snapshot = feed.snapshot
    return tuple(snapshot.elapsed(curves).values.tolist() for curves in (snapshot.train, snapshot.val))


def test_time_is_that_of_training_over_resumes_and_clock_steps(tmp_path: Path) -> None:
    """A clock that is set back a day, and a run that goes on a day later: neither counts."""
    at = [1e9, 1e9 + 1, 1e9 + 2, 1e9 - 86_000, 1e9 - 85_999, 1e9 + 86_400, 1e9 + 86_401]
    old = [{"step": step, "at": moment} for step, moment in enumerate(at, 1)]
    train, val = elapsed_of(tmp_path / "old", old, [{"step": 2, "at": at[1]}, {"step": 7, "at": at[6]}])
    assert train == [0, 1, 2, 2, 3, 4, 5]
    assert val == [1, 5]
    new = [{**record, "elapsed": 10.0 * record["step"]} for record in old]
    assert elapsed_of(tmp_path / "new", new, [{"step": 7, "at": 0.0, "elapsed": 71.5}]) == (
        [10, 20, 30, 40, 50, 60, 70],
        [71.5],
    )
    mixed = old[:3] + [{**record, "elapsed": 100.0 + record["step"]} for record in old[3:]]
    assert elapsed_of(tmp_path / "mixed", mixed, [])[0] == [0, 1, 2, 104, 105, 106, 107]
    assert elapsed_of(tmp_path / "none", [], []) == ([], [])


@given(st.lists(st.floats(-1e10, 1e10), min_size=1, max_size=30))
def test_no_clock_makes_it_fall(at: list[float]) -> None:
    curves = Table()
    curves.extend([{"step": step, "at": moment} for step, moment in enumerate(at)])
    found = Snapshot(train=curves.curves()).elapsed(curves.curves()).values
    assert len(found) == len(at)
    assert found[0] == 0
    assert (found[1:] >= found[:-1]).all()


def test_a_resumed_training_counts_on(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=10)
    launch.resume(paths, {"steps": 20}, lambda event: None)
    records = LogTail(paths.metrics).read()
    elapsed = [record["elapsed"] for record in records if record["split"] == "train"]
    assert len(elapsed) == 20
    assert elapsed == sorted(elapsed)
    assert all(record["elapsed"] > 0 for record in records)
    assert elapsed[-1] - elapsed[9] < 10  # of training alone, however long the run lay


def test_a_table_needs_the_held_out_figures_alone(unlike: Path, tmp_path: Path) -> None:
    """Of a run's logs; with a report all of them are read. Both give the same table; damaged lines do not matter."""
    one = RunPaths(unlike / "text-lstm")
    alone, all_of_it = held_out(one), whole(one)
    assert len(all_of_it.train) == 20
    assert len(alone.train) == 0
    assert alone.val.values.keys() == all_of_it.val.values.keys()
    for name, curve in all_of_it.val.values.items():
        assert alone.val[name].values.tolist() == curve.values.tolist()
    assert compare(unlike, *NAMES[:2]) == compare(unlike, *NAMES[:2], "-o", str(tmp_path)).split("wrote")[0]


@given(st.lists(st.sampled_from(["train", "val", "other", "torn"]), max_size=30))
def test_marked_lines_are_those_that_hold_the_mark(kinds: list[str]) -> None:
    lines = [json.dumps({"step": at, "split": kind}) if kind != "torn" else '{"val"' for at, kind in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_text("".join(line + "\n" for line in lines) + '{"split": "val"')
        tail = LogTail(path, marked=b'"val"')
        found = tail.read()
        assert [record["step"] for record in found] == [at for at, kind in enumerate(kinds) if kind == "val"]
        assert tail.damaged == kinds.count("torn")
        with open(path, "a") as log:
            log.write(', "step": -1}\n')
        assert tail.read() == [{"split": "val", "step": -1}]
