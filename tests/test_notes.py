"""Tags and notes of runs, and runs chosen by words, tags and conditions on settings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tui.conftest import write_run
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.comparison import colours_of
from tuirnn.config import RunConfig
from tuirnn.errors import RunError
from tuirnn.runs.filtering import matches
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.runs.notes import Notes, as_line, parse_notes, read_notes, write_notes
from tuirnn.tui.run_folder import RunFolder
from tuirnn.tui.theme import css_variables


@pytest.fixture
def run(tmp_path: Path) -> RunSummary:
    config = RunConfig().replace(cell="gru", hidden=128, lr=2e-3)
    paths = write_run(tmp_path, "night", steps=20, config=config, best_val_loss=1.5)
    write_notes(paths, Notes(("best", "night"), "ran on the old data"))
    return summarize(paths)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", True), ("NIGHT gru", True), ("#best", True), ("#be", True), ("#worst", False), ("old data", True),
        ("lr>0.001", True), ("lr>0.01", False), ("hidden=128 cell=gru", True), ("cell!=gru", False),
        ("val<1.6", True), ("val<=1.4", False), ("batch-size>=32", True), ("state=done", True), ("hidden=many", False),
        ("nonsense>3", False),
    ],
)  # fmt: skip
def test_runs_are_chosen(run: RunSummary, line: str, wanted: bool) -> None:
    assert matches(run, line) == wanted


@given(st.text(max_size=60))
def test_any_line_is_a_filter(line: str) -> None:
    damaged = RunSummary(RunPaths(Path("x")), summarize(RunPaths(Path("nowhere/x"))).status, None)
    assert matches(damaged, line) in (True, False)


def test_notes_are_read_as_written(run: RunSummary) -> None:
    assert parse_notes(as_line(run.notes)) == run.notes
    assert read_notes(run.paths) == run.notes
    run.paths.notes.write_text("[1")
    assert read_notes(run.paths) == Notes()
    with pytest.raises(RunError, match="tag"):
        parse_notes("#a=b")


def test_the_commands(run: RunSummary) -> None:
    words = ["--runs", str(run.paths.root.parent)]
    invoke = CliRunner().invoke
    assert "#best #night ran on" in invoke(app, ["runs", "note", "night", *words]).stdout
    assert "#second" in invoke(app, ["runs", "note", "night", "#second thoughts", *words]).stdout
    assert "#second" in invoke(app, ["runs", "ls", "#second", "hidden>100", *words]).stdout
    assert "none of the 1 runs" in invoke(app, ["runs", "ls", "#best", *words]).stdout
    assert "thoughts" in invoke(app, ["runs", "show", "night", *words]).stdout


def test_a_run_has_the_same_colour_in_report_and_dashboard(tmp_path: Path) -> None:
    for number in range(5):
        write_run(tmp_path, f"run-{number}", steps=20, age=100.0 - number)
    folder = RunFolder(tmp_path, lambda: None)
    folder.update(folder.read())
    names = ["run-4", "run-1", "run-2"]
    report = colours_of([RunPaths(tmp_path / name) for name in names])
    variables = css_variables(dict.fromkeys(_needed(), "#808080"), ansi=False, dark=False)
    assert [report[name] for name in names] == [variables[folder.line_style(name)] for name in names]


def _needed() -> list[str]:
    from tuirnn.tui import theme

    more = ["warning", "error", "primary", "block-cursor-background", "block-cursor-blurred-background"]
    return [*theme._GROUNDS, *theme._TEXTS, *more]
