"""What the shell is offered after TAB, in the words of three shells, and what scripts may count on."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tuirnn import cli
from tuirnn.cells import CELLS
from tuirnn.cli import app, conventions
from tuirnn.cli.parsing import COMPLETE
from tuirnn.config import recipe_names
from tuirnn.runs.layout import RunPaths
from tuirnn.tasks.datasets import dataset_names

ROOT = Path(__file__).parent.parent

Offered = Callable[..., list[str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """What bash is offered for the last of some words."""

    def ask(*words: str) -> list[str]:
        line = ("tuirnn", *words)
        monkeypatch.setenv(COMPLETE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(line))
        monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
        monkeypatch.setattr(sys, "argv", ["tuirnn"])
        with pytest.raises(SystemExit):
            cli._run()
        return capsys.readouterr().out.split()

    return ask


def test_names_are_offered(offered: Offered, small_run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the metavar of an option or argument."""
    monkeypatch.setenv("TUIRNN_RUNS", str(small_run.root.parent))
    name = small_run.name
    for words in (("export", name[:2]), ("train", "--resume", name[:2]), ("runs", "show", ""), ("compare", name, "")):
        assert name in offered(*words), words
    assert {name, "shakespeare.onnx"} <= set(offered("generate", ""))
    assert offered("train", "--recipe", "sur") == [each for each in recipe_names() if each.startswith("sur")]
    assert offered("recipes", "dino") == ["dinos"]
    assert set(offered("cells", "")) == set(CELLS)
    assert set(dataset_names()) <= set(offered("train", ""))
    assert offered("data", "get", "shak") == ["shakespeare"]
    assert offered("examples", "we") == ["web"]
    assert offered("--theme", "ansi") == ["ansi-dark", "ansi-light"]
    assert offered("train", "--name", "") == []


def test_choices_and_commands_are_offered(offered: Offered) -> None:
    assert set(offered("train", "--cell", "lstm")) == {each for each in CELLS if each.startswith("lstm")}
    assert offered("train", "--device", "") == ["auto", "cpu", "cuda"]
    assert offered("generate", "x", "--checkpoint", "") == ["best", "last"]
    assert "train" in offered("")
    assert offered("runs", "sh") == ["show"]
    assert "--hidden" in offered("train", "--hid")


def test_the_folder_before_or_behind_the_command_counts(offered: Offered) -> None:
    old = str(ROOT / "tests" / "old" / "runs")
    assert offered("--runs", old, "export", "gru") == ["gru", "gru-before"]
    assert offered("export", "--runs", old, "gru") == ["gru", "gru-before"]


def test_files_are_offered_by_their_ending(offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "a.txt", "a.toml", ".hidden.txt"):
        Path(name).write_text("")
    (tmp_path / "folder").mkdir()
    assert offered("inspect", "a") == ["a.onnx"]
    assert offered("train", "a") == ["a.txt"]
    assert offered("train", "--recipe", "a") == ["a.toml"]
    assert offered("predict", "x", "--file", "a") == ["a.onnx", "a.toml", "a.txt"]
    assert offered("--runs", "") == ["folder/"]
    assert offered("train", ".h") == [".hidden.txt"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_and_offers(shell: str, tmp_path: Path) -> None:
    """The script that a shell reads, written where it looks for it; and what the program answers to it."""
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-c", "from tuirnn.cli import main; main()"]
    done = subprocess.run([*command, "--install-completion", shell], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scripts = [path for path in tmp_path.rglob("*tuirnn*") if path.is_file()]
    assert [COMPLETE in path.read_text() for path in scripts] == [True]
    asked = {
        COMPLETE: f"complete_{shell}", "COMP_WORDS": "tuirnn cells min-l", "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": "tuirnn cells min-l", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    said = subprocess.run(command, env={**environment, **asked}, capture_output=True, text=True).stdout
    assert "min-lstm" in said
    assert said.strip().count("\n") == 0
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(scripts[0])], check=True)


def test_every_variable_that_is_read_is_listed() -> None:
    found = {
        name
        for path in (ROOT / "tuirnn").rglob("*.py")
        for name in re.findall(r"\bTUIRNN_[A-Z_]+\b", path.read_text())
        if path.name != "conventions.py"
    }
    assert found == {name for name in (*conventions.ENVIRONMENT, *conventions.INTERNAL) if name.startswith("TUIRNN")}


def test_help_and_reference_have_both_tables() -> None:
    said = CliRunner().invoke(app, ["--help"], prog_name="tuirnn", env={"COLUMNS": "80"}).output
    reference = (ROOT / "docs" / "commands.md").read_text()
    for key, meaning in (*conventions.EXITS.items(), *conventions.ENVIRONMENT.items()):
        assert re.search(rf"^   {key} +{re.escape(meaning)}$", said, re.MULTILINE)
        assert f"| `{key}` | {meaning} |" in reference
    assert max(map(len, conventions.plain().splitlines())) <= 80
