"""Preferences: one TOML file, edited line by line, read by the dashboard and by `tuirnn train`; colours on request."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tuirnn import preferences
from tuirnn.cli import app
from tuirnn.errors import ConfigError

OURS = """\
# mine
[dashboard]
theme = "nord"   # in the evening

[train]
hidden = 64
"""


@pytest.fixture
def file() -> Path:
    path = preferences.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OURS)
    return path


def test_without_a_file_there_are_defaults() -> None:
    known = preferences.read()
    assert known.dashboard == {name: one.default for name, one in preferences.DASHBOARD.items()}
    assert not known.train


def test_a_change_replaces_its_own_line(file: Path) -> None:
    preferences.change("dashboard.theme", "gruvbox")
    preferences.change("dashboard.sort", "name")
    preferences.change("keys.train.pause", "space")
    preferences.change("train.hidden", None)
    text = file.read_text()
    assert text.startswith('# mine\n[dashboard]\ntheme = "gruvbox"\nsort = "name"\n')
    known = preferences.read()
    assert known.dashboard["theme"] == "gruvbox"
    assert known.keys == {"train.pause": "space"}
    assert known.train == {}


@given(st.lists(st.tuples(st.sampled_from(["theme", "sort"]), st.text(max_size=20) | st.none()), max_size=8))
def test_any_changes_leave_a_readable_file(changes: list[tuple[str, str | None]]) -> None:
    text, wanted = OURS, {"theme": "nord"}
    for name, value in changes:
        line = None if value is None else f"{name} = {preferences.as_toml(value)}"
        text = preferences._with_line(text, "dashboard", name, line)
        wanted = {**wanted, name: value} if value is not None else {k: v for k, v in wanted.items() if k != name}
    body = tomllib.loads(text)
    assert body["dashboard"] == wanted
    assert body["train"] == {"hidden": 64}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dashboard]\nthemes = 'x'", "did you mean 'theme'"),
        ("[dashboard]\nbell = 3", "bell takes true or false"),
        ("[dashboard]\nsmoothing = 2", "from 0 to below 1"),
        ("[dashboard]\nkeymap = 'emacs'", "one of usual, vim"),
        ("[train]\nhiden = 3", "did you mean 'hidden'"),
        ("[trian]\n", "did you mean 'train'"),
        ("[keys]\npause = 3", "TAB.ACTION"),
        ("nonsense", "not readable as TOML"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        preferences.read()
    assert said in str(caught.value)


def test_the_command_shows_and_changes(file: Path) -> None:
    run = CliRunner().invoke
    assert "dashboard.theme" in run(app, ["config"]).stdout
    assert run(app, ["config", "dashboard.theme", "tokyo-night"]).exit_code == 0
    assert json.loads(run(app, ["config", "--json"]).stdout)["values"]["dashboard.theme"] == "tokyo-night"
    run(app, ["config", "dashboard.theme", "--unset"])
    assert preferences.read().dashboard["theme"] == "tuirnn-dark"
    assert isinstance(run(app, ["config", "dashboard.colour", "x"]).exception, ConfigError)


def test_a_training_begins_with_the_defaults(file: Path, small_text: Path, tmp_path: Path) -> None:
    file.write_text("[train]\nhidden = 20\nhorizon = 7\nsteps = 2\n")
    words = ["train", str(small_text), "--steps", "1", "--device", "cpu", "--runs", str(tmp_path), "--name", "one"]
    done = subprocess.run([sys.executable, "-m", "tuirnn", *words], capture_output=True, text=True, check=True)
    assert "--hidden 20" in done.stderr
    assert "horizon" not in done.stderr, "a language model has no horizon"
    config = json.loads((tmp_path / "one" / "run.json").read_text())["config"]
    assert config["model"]["hidden"] == 20
    assert config["train"]["steps"] == 1


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("FORCE_COLOR", True)])
def test_colours_are_as_the_environment_says(variable: str, coloured: bool) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    shown = subprocess.run(
        [sys.executable, "-m", "tuirnn", "--help"], capture_output=True, text=True, check=True,
        env={**clean, variable: "1"},
    ).stdout  # fmt: skip
    assert ("\x1b[" in shown) == coloured
