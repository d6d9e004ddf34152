"""Findings in words: each in a real small run that shows it, none in a healthy one."""

import contextlib
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.diagnosis import Finding, diagnose
from tuirnn.errors import DivergedError
from tuirnn.runlog.feed import whole
from tuirnn.runlog.probes import ProbeLog
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize

WORDS = tuple(
    re.findall(r"\w+", "the sea was calm and the light of a low moon lay on it as on glass while men slept below")
)


def prose(characters: int, seed: int = 0) -> str:
    """Words in random order: there is something to learn, and an end to it."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(characters // 5))[:characters]


def found_in(paths: RunPaths) -> dict[str, Finding]:
    run = summarize(paths)
    return {one.name: one for one in diagnose(run, whole(paths), ProbeLog(paths.probes).read())}


CASES: dict[str, tuple[int, dict[str, Any], set[str]]] = {
    "healthy": (60_000, {"lr": 5e-3, "hidden": 32}, set()),
    "clipping": (60_000, {"clip": 0.01}, {"clipping"}),
    "rate-low": (60_000, {"lr": 2e-5, "schedule": "constant", "warmup": 0}, {"rate-low"}),
    "rate-high": (60_000, {"lr": 1.0, "warmup": 100, "schedule": "constant", "clip": 0.0}, {"rate-high", "saturated"}),
    "saturated": (60_000, {"lr": 0.3, "schedule": "constant"}, {"saturated"}),
    "overfitting": (
        1_500,
        {"lr": 1e-2, "hidden": 96, "steps": 300, "eval_every": 30, "val_fraction": 0.3, "schedule": "constant"},
        {"overfitting", "small-data"},
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diagnosis")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("one_thread")
def test_a_run_that_shows_it_is_told_so(folder: Path, name: str) -> None:
    characters, settings, wanted = CASES[name]
    (source := folder / f"{name}.txt").write_text(prose(characters))
    paths = train_small(folder, name, source, **{"steps": 160, "eval_every": 40, **settings})
    found = found_in(paths)
    assert wanted <= set(found), found
    if not wanted:
        assert not found
    for one in found.values():
        assert any(digit in one.evidence for digit in "0123456789"), "evidence is figures"
        assert "--" in one.advice, "and the advice names what to change"


@pytest.mark.usefixtures("one_thread")
def test_a_loss_that_is_not_finite_is_a_rate_too_high(tmp_path: Path) -> None:
    (source := tmp_path / "text.txt").write_text(prose(6_000))
    with contextlib.suppress(DivergedError):
        train_small(tmp_path, "nan", source, lr=1e5, optimizer="sgd", clip=0.0)
    one = found_in(RunPaths(tmp_path / "nan"))["rate-high"]
    assert "not finite" in one.evidence
    assert "--lr 0.01" in one.advice


def test_runs_show_says_it(folder: Path) -> None:
    name = "clipping"
    if not (folder / name).exists():
        pytest.skip("needs the run of the test above")
    shown = CliRunner().invoke(app, ["runs", "show", name, "--runs", str(folder)]).stdout
    assert "findings" in shown
    assert "every gradient is clipped" in shown
    told = json.loads(CliRunner().invoke(app, ["runs", "show", name, "--json", "--runs", str(folder)]).stdout)
    assert [one["name"] for one in told["findings"]] == ["clipping"]
