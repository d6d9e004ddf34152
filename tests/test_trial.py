"""A trial: real steps in another process, timed before a run starts; what it says is kept."""

import itertools
import threading
from pathlib import Path

import pytest

from tuirnn import trial
from tuirnn.config import RunConfig
from tuirnn.errors import RunError
from tuirnn.runs import control
from tuirnn.runs.layout import RunPaths
from tuirnn.survey import survey
from tuirnn.training import events
from tuirnn.training.trial import ENOUGH, Timer, TrialEnded


def small(source: Path) -> RunConfig:
    return RunConfig().replace(hidden=16, embed=8, batch_size=4, seq_len=16, sources=(str(source),))


def test_real_steps_are_timed_and_kept(small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_file", lambda: tmp_path / "step-times.json")
    config = small(small_text)
    found = survey(config)
    key = trial.key_of(config, found)
    assert trial.kept(key) is None
    measured = trial.measure(config, found, threading.Event())
    assert 1e-5 < measured.step < 1.0  # a network of 16 units
    assert measured.step < measured.evaluation < 20.0
    assert trial.kept(key) == measured
    assert trial.kept(trial.key_of(config.replace(minutes=7.0, seed=3), found)) == measured  # the same work
    assert trial.kept(trial.key_of(config.replace(hidden=17), found)) is None
    assert measured.pace(config.replace(eval_every=100), found) == pytest.approx(
        measured.step + measured.evaluation / 100
    )
    (tmp_path / "step-times.json").write_text('{"' + key + '": {"step": "x"}}')
    assert trial.kept(key) is None


def test_a_trial_that_fails_says_why(tmp_path: Path, small_text: Path) -> None:
    config = small(small_text)
    found = survey(config)
    with pytest.raises(RunError, match="no file, folder or data set"):
        trial.measure(config.replace(sources=("no-such-file",)), found, threading.Event())
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(RunError, match="given up"):
        trial.measure(config, found, given_up)


def test_evaluations_and_the_first_step_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunPaths(tmp_path / "trial")
    run.control.mkdir(parents=True)
    clock = itertools.count(9.0, 0.25)
    monkeypatch.setattr("tuirnn.training.trial.time.perf_counter", lambda: next(clock))
    timer = Timer(run)

    def step() -> None:
        timer(events.Step(step=1, loss=1.0, grad_norm=1.0, lr=1.0, progress=0.0, tokens_per_s=1.0, eta=1.0))

    step()
    while not control.take(run):
        step()
    assert sum(timer.steps) >= ENOUGH
    timer(events.Evaluation(1, 1.0, {}, leaky=False, best=True))
    with pytest.raises(TrialEnded):
        step()
    assert timer.evaluation == 0.25
