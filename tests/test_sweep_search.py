"""Sweeps at work: runs that fail, a sweep that is killed, Optuna, the data of a chart."""

import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small, write_unlike
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait

from tuirnn.config import RunConfig
from tuirnn.errors import RunError
from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.sweeping import results
from tuirnn.sweeping.engines import Local
from tuirnn.sweeping.loop import Limits, Sweep
from tuirnn.sweeping.ordered import Ordered
from tuirnn.sweeping.plans import Listed
from tuirnn.sweeping.points import Point, numbered
from tuirnn.sweeping.space import Choices, parse
from tuirnn.sweeping.study import Study

LONG = bool(os.environ.get("TUIRNN_LONG"))


# ── failures ─────────────────────────────────────────────────────────────────────


def config_for(small_text: Path, **changes: Any) -> RunConfig:
    small = {"hidden": 8, "embed": 4, "steps": 12, "eval_every": 4, "checkpoint_every": 4, "batch_size": 4,
             "seq_len": 16, "sample_length": 0, "device": "cpu", "sources": (str(small_text),)}  # fmt: skip
    return RunConfig().replace(**{**small, **changes})


def test_the_log_of_a_failed_run_is_kept(tmp_path: Path, small_text: Path) -> None:
    points = [Point("bad", config_for(small_text, seq_len=100_000), {}), Point("good", config_for(small_text), {})]
    said: list[str] = []
    order = Ordered(base=points[1].config, axes={"seed": Choices((0, 1))}, stem="s", folder=tmp_path, fail_fast=True)
    sweep = Sweep(Listed(points, tmp_path), Local(1), tmp_path, Limits(1, retry=2, fail_fast=True), said.append)
    failed = sweep.run()
    assert list(failed) == ["bad"]
    assert said == ["bad trains", f"bad failed: {failed['bad']}"], "tried again, or the second was begun"
    assert failed["bad"] in order.log("bad").read_text()
    assert run_names(tmp_path) == []


def test_a_run_that_fails_is_tried_again_from_its_checkpoint(tmp_path: Path, small_text: Path) -> None:
    """The trainer is killed once; the second try goes on, and both outputs are in the run's log."""
    point, said = Point("one", config_for(small_text, steps=1500, eval_every=500, checkpoint_every=250), {}), []

    def say(line: str) -> None:
        said.append(line)

    class Killing(Local):
        killed = False

        def poll(self) -> Any:
            status = read_status(RunPaths(tmp_path / "one")) if (tmp_path / "one/run.json").exists() else None
            if status and status.step >= 500 and not self.killed:
                self.killed = True
                os.kill(status.pid, signal.SIGKILL)
            return super().poll()

    engine = Killing(1)
    sweep = Sweep(Listed([point], tmp_path), engine, tmp_path, Limits(1, retry=1), say)
    assert sweep.run() == {}
    assert engine.killed
    assert said[1] == "one failed: it was killed by SIGKILL; try 2 of 2 follows"
    steps = [r["step"] for r in LogTail(RunPaths(tmp_path / "one").metrics).read() if r["split"] == "train"]
    assert steps == list(range(1, 1501))


def test_no_run_begins_after_the_time_budget(tmp_path: Path, small_text: Path) -> None:
    """The first run takes longer than half a second, and so is the only one; it ends as it would."""
    axes = {"lr": parse("lr", "log:1e-3..1e-2")}
    order = Ordered(base=config_for(small_text), axes=axes, stem="s", folder=tmp_path, minutes=0.01, jobs=1,
                    search="random")  # fmt: skip
    done = order.train(lambda line: None)
    assert [point.name for point in done.points] == run_names(tmp_path) == ["s-000"]
    assert [(one["name"], one["state"]) for one in done.data["trials"]] == [("s-000", "done")]


# ── killed at any moment ─────────────────────────────────────────────────────────


def processes(folder: Path) -> list[int]:
    """Trainers that write into a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(folder).encode() in words and b"train" in words:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.skipif(not LONG, reason="TUIRNN_LONG=1"))])
@pytest.mark.parametrize("trainers", [False, True], ids=["the sweep alone", "the trainers too"])
def test_a_sweep_killed_at_any_moment_trains_nothing_twice(
    tmp_path: Path, small_text: Path, environment: dict[str, str], trainers: bool, kills: int
) -> None:
    runs, count = tmp_path / "runs", 2 if kills == 1 else 5
    steps = 600 if kills == 1 else 6000
    words = ["--hidden", "8", "--steps", str(steps), "--checkpoint-every", "100", "--eval-every", "500", "--seed",
             f"0..{count - 1}", "--sample-length", "0", "--jobs", "2", "--runs", str(runs)]  # fmt: skip
    command = [sys.executable, "-m", "tuirnn", "sweep", str(small_text), *words]
    environment["OMP_NUM_THREADS"] = "1"
    generator, finished = random.Random(7), dict[str, int]()

    def ends() -> dict[str, int]:
        done = [name for name in run_names(runs) if read_status(RunPaths(runs / name)).state == "done"]
        return {name: (runs / name / "metrics.jsonl").stat().st_mtime_ns for name in done}

    for _ in range(kills):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
            due = generator.random() * (2000 if kills > 1 else 600)
            wait(lambda due=due: sum_of_steps(runs) > due or process.poll() is not None)
            process.kill()
        for pid in processes(runs) if trainers else ():
            os.kill(pid, signal.SIGKILL)
        finished |= ends()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not processes(runs)
    assert len(run_names(runs)) == count
    now = ends()
    assert {name: now[name] for name in finished} == finished, "what was done was touched"
    for name in run_names(runs):
        paths = RunPaths(runs / name)
        assert [r["step"] for r in LogTail(paths.metrics).read() if r["split"] == "train"] == list(range(1, steps + 1))
        if not trainers:
            assert "resume" not in [event["event"] for event in LogTail(paths.events).read()], "interrupted for nothing"


def sum_of_steps(folder: Path) -> float:
    """Steps of all runs, by their last status."""
    return sum(read_status(RunPaths(folder / name)).step for name in run_names(folder))


def test_a_run_killed_before_its_end_was_written_is_complete(tmp_path: Path, small_text: Path) -> None:
    """The last checkpoint is there and the status still says running: nothing is trained, the run is done."""
    from tuirnn.training import launch

    paths = train_small(tmp_path, "one", small_text)
    status = json.loads(paths.status.read_text())
    paths.status.write_text(json.dumps({**status, "state": "running", "pid": 2**22 + 1}))
    before = paths.metrics.read_bytes()
    assert launch.resume(paths, {}, lambda event: None) == "done"
    assert read_status(paths).state == "done"
    assert paths.metrics.read_bytes() == before
    with pytest.raises(RunError, match="is complete at step 20"):
        launch.resume(paths, {}, lambda event: None)


# ── Optuna ───────────────────────────────────────────────────────────────────────


def study(folder: Path, trials: int = 6, **changes: Any) -> Study:
    axes = {"lr": parse("lr", "log:1e-3..1e-1"), "hidden": parse("hidden", "8,16")}
    base = changes.pop("base", RunConfig())
    made = Study(base, axes, folder, folder / ".sweeps" / "s", "s", trials=trials, **changes)
    made.begin(lambda line: None)
    return made


def test_a_study_goes_on_from_its_journal(tmp_path: Path) -> None:
    """Runs that were begun come again, told ones count, a torn line is cut, a new number of trials is taken."""
    pytest.importorskip("optuna")
    first = study(tmp_path)
    points = [first.next() for _ in range(3)]
    first.tell(points[0], 1.5, pruned=False)
    first.tell(points[1], 2.5, pruned=True)
    first.close()
    with open(tmp_path / ".sweeps/s/journal.log", "ab") as journal:
        journal.write(b'{"op_code":')
    second = study(tmp_path, trials=4)
    again = [second.next(), second.next()]
    assert again[0].at == points[2].at
    assert again[0].name == "s-002"
    assert again[1].name == "s-003"
    assert again[1].at not in [point.at for point in points], "the sampler has begun anew"
    assert second.next() is None
    assert second.pruned == {points[1].name}
    assert [point.name for point in second.points] == ["s-000", "s-001", "s-002", "s-003"]
    with pytest.raises(RunError, match="is at work in another process"):
        study(tmp_path)
    second.close()
    for other in ({"pruner": "median"}, {"base": RunConfig().replace(hidden=9)}):
        with pytest.raises(RunError, match=r"begun with other settings.*--name"):
            study(tmp_path, **other)


@pytest.mark.parametrize(("chooser", "trials"), [("tpe", 50), ("gp", 15)])
def test_the_sampler_learns_from_what_it_is_told(chooser: str, trials: int, tmp_path: Path) -> None:
    """Loss = distance of log lr from log 0.01: later trials lie nearer than the first, random ones."""
    pytest.importorskip("optuna")
    search, distances = study(tmp_path, trials=trials, seed=1, chooser=chooser), []
    while point := search.next():
        distances.append(abs(math.log(point.at["lr"] / 0.01)))
        search.tell(point, distances[-1], pruned=False)
    search.close()
    at_random = math.log(10) / 2  # the mean distance of a rate drawn from the range
    assert statistics.median(distances[2 * trials // 5 :]) < 0.4 * at_random


def test_a_gaussian_process_learns_from_runs_that_were_stopped_early(tmp_path: Path) -> None:
    """All runs with a low rate are stopped with a bad loss: after the random ones, none is chosen again."""
    pytest.importorskip("optuna")
    search, low = study(tmp_path, trials=14, seed=3, chooser="gp", pruner="halving"), []
    while point := search.next():
        bad = point.at["lr"] < 0.003
        low.append(bad)
        losses = [9.0, 9.0] if bad else [1.0, 1.0]
        write_unlike(tmp_path, point.name, {}, {"loss": losses, "loss_blocks": losses})
        search.is_hopeless(point)
        search.tell(point, losses[-1], pruned=bad)
    search.close()
    assert any(low[:5])
    assert sum(low[6:]) <= 1


def test_halving_stops_the_worse_half_at_the_second_evaluation(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    points = [numbered(RunConfig(), {"lr": 0.001 * (k + 1), "hidden": 8}, "s", k) for k in range(9)]
    axes = {"lr": Choices(tuple(point.at["lr"] for point in points)), "hidden": Choices((8,))}
    search = Study(RunConfig(), axes, tmp_path, tmp_path / ".sweeps/s", "s", points=points, trials=9, pruner="halving")
    search.begin(lambda line: None)
    stopped = []
    for loss in (5.0, 1.0, 6.0, 7.0, 2.0, 8.0, 9.0, 0.5, 4.0):
        point = search.next()
        paths = write_unlike(tmp_path, point.name, {"hidden": 8}, {"loss": [loss, loss], "loss_blocks": [loss, loss]})
        if search.is_hopeless(point):
            stopped.append(loss)
        search.tell(point, loss, pruned=loss in stopped)
        assert paths.root.is_dir()
    search.close()
    assert stopped == [6.0, 7.0, 8.0, 9.0]  # each worse than the better half of those before it


@pytest.mark.parametrize(
    "method", ["tpe", pytest.param("grid", marks=pytest.mark.skipif(not LONG, reason="TUIRNN_LONG=1"))]
)
def test_a_search_with_pruning(tmp_path: Path, small_text: Path, method: str) -> None:
    """A run that learns nothing is stopped at a checkpoint; the same order again finds all of it done."""
    pytest.importorskip("optuna")
    axes = {"lr": Choices((0.02, 1e-9, 1.1e-9))} if method == "grid" else {"lr": parse("lr", "log:1e-9..2e-2")}
    base = config_for(small_text, steps=900, eval_every=50, checkpoint_every=100_000)
    order = Ordered(
        base=base, axes=axes, stem="s", folder=tmp_path, search=method, trials=3 if method == "tpe" else None,
        prune="halving", jobs=1, seed=4 if method == "tpe" else None,
    )  # fmt: skip
    said: list[str] = []
    done = order.train(said.append)
    assert done.failed == {}
    assert done.pruned
    states = {one["name"]: one["state"] for one in done.data["trials"]}
    assert {name for name, state in states.items() if state == "pruned"} == done.pruned
    assert {read_status(RunPaths(tmp_path / name)).state for name in done.pruned} == {"stopped"}
    assert json.loads(order.data_file.read_text()) == done.data
    again: list[str] = []
    same = order.train(again.append)
    assert again == ["3 runs are done already"]
    assert same.pruned == done.pruned
    assert same.data["trials"] == done.data["trials"]


# ── the data of a chart ──────────────────────────────────────────────────────────


def made_trial(number: int, loss: float | None, **values: Any) -> results.Trial:
    state = "failed" if loss is None else "done"
    return results.Trial(f"s-{number}", number, values, state, loss, "nats/char", "None", 1, 1, 1.0, False)


def test_the_best_so_far_and_what_matters() -> None:
    losses = {(lr, seed): 1.0 + lr + 0.001 * seed for lr in (1, 2, 3, 4) for seed in (0, 1, 2)}
    trials = [made_trial(k, loss, lr=lr, seed=seed) for k, ((lr, seed), loss) in enumerate(losses.items())]
    trials[1] = made_trial(1, None, lr=1, seed=1)
    data = results.as_data("s", "grid", reversed(trials))
    assert [one["number"] for one in data["trials"]] == list(range(12))
    assert data["best"] == "s-0"
    assert [loss for _, loss in data["best_so_far"]] == [2.0] * 11
    assert data["importance"]["lr"] > 0.99
    assert data["importance"]["seed"] < 0.01
    other = results.Trial("s-12", 12, {}, "done", 0.1, "bits", "None", 1, 1, 1.0, False)
    mixed = results.as_data("s", "grid", [*trials, other])
    assert (mixed["best"], mixed["best_so_far"], mixed["importance"]) == (None, [], {})


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 9)), max_size=30))
def test_importance_is_a_share(pairs: list[tuple[float, float]]) -> None:
    found = results.importance([{"lr": lr} for lr, _ in pairs], [loss for _, loss in pairs])
    assert all(0 <= share <= 1 for share in found.values())
