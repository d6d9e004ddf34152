"""Commands on finished runs: novelty, compare, screenshots."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuirnn.runs.layout import RunPaths
from tuirnn.tui.theme import LIGHT


def tuirnn(environment: dict[str, str], *words: object, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tuirnn", *map(str, words)]
    return subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, timeout=120)


@pytest.fixture
def here(environment: dict[str, str]) -> dict[str, str]:
    """As a shell in another folder has it, this checkout importable."""
    return {**environment, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_novelty(small_run: RunPaths, here: dict[str, str], tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("zzzz zzzz the quick brown fox zzzz")
    folder = small_run.root.parent
    said = tuirnn(here, "novelty", small_run.name, "--text", sample, "--runs", folder, "--json")
    found = json.loads(said.stdout)
    assert found["match"].strip() == "the quick brown fox"
    assert 0 < found["novel_8grams"] < 1
    said = tuirnn(here, "novelty", small_run.name, "--length", 300, "--runs", folder)
    assert "300 tokens" in said.stdout
    said = tuirnn(here, "novelty", small_run.name, "--length", 0, "--runs", folder)
    assert (said.returncode, said.stdout) == (2, "")


def test_compare(trained: Callable[..., RunPaths], here: dict[str, str], tmp_path: Path) -> None:
    one, other = trained(), trained(cell="gru")
    said = tuirnn(here, "compare", one.name, other.name, "-o", tmp_path / "r", "--runs", one.root.parent)
    assert said.returncode == 0, said.stderr
    rows = {line.split("  ")[0]: line.split() for line in said.stdout.splitlines()}
    assert rows["cell"][1:] == ["lstm", "gru"]
    assert "hidden" not in rows  # the same in both
    report = (tmp_path / "r" / "report.md").read_text()
    assert "| cell | lstm | gru |" in report
    said = tuirnn(here, "compare", one.name, one.name, "--runs", one.root.parent)
    assert said.returncode == 2
    assert "two different runs" in said.stderr


def test_a_picture_of_a_run(small_run: RunPaths, here: dict[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    folder = small_run.root.parent
    said = tuirnn(here, "--runs", folder, "--theme", "Safe-Light", "--screenshot", picture, small_run.name)
    assert said.returncode == 0, said.stderr
    assert "nats/char" in picture.read_text()
    assert LIGHT.background is not None
    assert LIGHT.background.lower() in picture.read_text().lower()


def test_serve_refuses_what_cannot_be(here: dict[str, str]) -> None:
    said = tuirnn(here, "serve", "--port", 0)
    assert said.returncode == 2
    assert "--port must be from 1" in said.stderr
