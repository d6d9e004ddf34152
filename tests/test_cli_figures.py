"""Figures that the commands print: units, significant digits, dates; nothing empty."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.cli import runs as commands
from tuirnn.cli.options import date, figure, plain
from tuirnn.runs.layout import RunPaths
from tuirnn.tasks.confusion import GAP, SHORTEST, confusion_table

Change = Callable[..., RunPaths]


@pytest.fixture
def changed(small_run: RunPaths, tmp_path: Path) -> Change:
    """A copy of the small run with another task, and other values in its status."""

    def change(task: str = "lm", created: float | None = None, **status: Any) -> RunPaths:
        paths = RunPaths(Path(shutil.copytree(small_run.root, tmp_path / "runs" / task)))
        record, values = json.loads(paths.record.read_text()), json.loads(paths.status.read_text())
        record["config"]["data"]["task"] = task
        record["created"] = record["created"] if created is None else created
        paths.record.write_text(json.dumps(record))
        paths.status.write_text(json.dumps({**values, **status}))
        return paths

    return change


def test_the_list_has_units_and_digits(changed: Change, capsys: pytest.CaptureFixture[str]) -> None:
    changed("forecast", best_val_loss=5.2e-08)
    changed("classify", best_val_loss=0.25)
    folder = changed("lm", best_val_loss=1.46301234567891234).root.parent
    commands.ls(runs=folder)
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert re.search(r"best 5\.2e-08 σ² ", lines["forecast"])
    assert re.search(r"best 0\.2500 nats/sequence ", lines["classify"])
    assert re.search(r"best 1\.4630 nats/char ", lines["lm"])
    assert len({line.index("best") for line in lines.values()}) == 1
    commands.ls(runs=folder, as_json=True)
    found = {run["name"]: run["best_val_loss"] for run in json.loads(capsys.readouterr().out)}
    assert found == {"forecast": 5.2e-08, "classify": 0.25, "lm": 1.46301234567891234}  # JSON keeps every digit


def test_a_run_on_a_page(changed: Change, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    run = changed(
        "forecast", created=1795842064.897686, best_val_loss=0.028051756231157, tokens_per_s=31927.48748770056
    )
    commands.show(run.name, run.root.parent)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    rows = {line.split()[0]: line.split(maxsplit=1)[-1] for line in said.splitlines() if not line.startswith(" " * 14)}
    assert rows["created"] == time.strftime("%Y-%m-%d %H:%M", time.localtime(1795842064))
    assert rows["best"] == "0.0281 σ² (MSE, one step) at step 20"
    assert rows["speed"] == "31,927 points/s"
    assert rows["step"] == "20 of 20"
    assert rows["checkpoints"] == "10, 20"
    assert not re.search(r"\d\.\d{7}", said)
    assert not re.search(r"\w+=(\s|$)", said)  # settings that are empty
    assert all(line.split(maxsplit=1)[1:] for line in said.splitlines() if line[:1].islower() and line not in
               ("settings", "data", "environment"))  # fmt: skip
    commands.show(run.name, run.root.parent, as_json=True)
    value = json.loads(capsys.readouterr().out)
    assert value["created"] == 1795842064.897686
    assert {"name", "message", "parameters", "checkpoints", "settings", "text", "environment"} <= value.keys()


def test_figures_dates_and_values() -> None:
    assert [figure(value) for value in (1.46301, 5.2e-8, 0.0, float("inf"))] == ["1.4630", "5.2e-08", "0.0000", "∞"]
    assert [date(moment) for moment in (float("nan"), 0, -1, 1e300)] == ["–"] * 4
    assert plain([0.000675240821999963, True, None, "x", {"a": 2}]) == "0.0006752, true, , x, a 2"


def test_a_delta_keeps_its_digits(small_run: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tuirnn.cli.export import export

    export(str(small_run.root), output=tmp_path / "a.onnx", precision="fp16", max_loss_increase=1.0)
    delta = re.search(r"→ \S+ nats \((\S+)\)", capsys.readouterr().out)
    assert delta is not None
    assert float(delta[1]) != 0


def test_the_confusion_matrix_shows_whole_names_where_there_is_room() -> None:
    classes = ["German", "Italian", "Scandinavian"]
    counts = [[2, 0, 0], [0, 12_345, 1], [1, 2, 3]]
    wide = confusion_table(classes, counts)
    assert wide[0].split()[-3:] == classes
    assert wide[2].split() == ["Italian", "0", "12,345", "1"]
    narrow = confusion_table(classes, counts, columns=34)
    assert max(map(len, narrow)) <= 34
    assert narrow[0].split()[-3:] == ["Ger…", "Itali…", "Sca…"]
    assert confusion_table(classes, counts, columns=len(wide[0])) == wide


@given(
    st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=20, unique=True), st.integers(20, 200), st.data()
)
def test_a_confusion_matrix_is_a_table(classes: list[str], columns: int, data: st.DataObject) -> None:
    counts = [[data.draw(st.integers(0, 10**6)) for _ in classes] for _ in classes]
    lines = confusion_table(classes, counts, columns)
    assert len({len(line) for line in lines}) == 1
    least = 24 + sum(GAP + max(SHORTEST, *(len(f"{row[k]:,}") for row in counts)) for k in range(len(classes)))
    assert len(lines[0]) <= max(columns, least)


def test_the_command_prints_whole_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "names.csv"
    rows = [f"{letter * 3},{label}" for label, letters in (("Scandinavian", "abcdef"), ("Portuguese", "uvwxyz"))
            for letter in letters]  # fmt: skip
    table.write_text("text,label\n" + "\n".join(rows * 3) + "\n")
    run = train_small(tmp_path / "runs", "labels", table, task="classify", steps=4, eval_every=4, allow_leak=True)
    from tuirnn.cli.evaluate import evaluate

    evaluate(run.name, runs=tmp_path / "runs")
    said = capsys.readouterr().out
    assert re.search(r"true \\ guessed +Portuguese +Scandinavian\n", said)
    assert "nats/sequence" in said
