"""Several processes that share each batch: the same results as one, one writer, and an end that says why.

`TUIRNN_LONG=1` adds three processes, each task, requests, a rollback, and more places to be killed at.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import train_small
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, DivergedError, LostError, VerificationError
from tuirnn.models import SequenceModel, dropout_mask
from tuirnn.runs import checkpoint, control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.tasks.batches import IGNORE, Lanes
from tuirnn.training import launch
from tuirnn.training.followers import Followers
from tuirnn.training.losses import CrossEntropy, SquaredError
from tuirnn.training.place import VARIABLES, Place, find_place
from tuirnn.training.team import Alone, Team

long = pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="TUIRNN_LONG=1 runs it")

SETTINGS: dict[str, Any] = {
    "hidden": 12, "layers": 2, "embed": 6, "dropout": 0.3, "batch_size": 5, "seq_len": 12, "steps": 200,
    "eval_every": 90, "checkpoint_every": 50, "sample_length": 5, "device": "cpu",
}  # fmt: skip


def train(folder: Path, name: str, source: Path, **changes: Any) -> RunPaths:
    return train_small(folder, name, source, **{**SETTINGS, **changes})


def losses(paths: RunPaths, split: str = "train") -> list[float]:
    return [record["loss"] for record in LogTail(paths.metrics).read() if record["split"] == split]


def tensors(paths: RunPaths, file: str = checkpoint.MODEL) -> dict[str, torch.Tensor]:
    return load_tensors(checkpoint.load(paths, "last").files[file])


WITHIN = 1e-6


def same(one: RunPaths, other: RunPaths) -> None:
    """Hold every loss, the weights, the optimizer's and the carried state of one run against another's."""
    assert [r["step"] for r in LogTail(other.metrics).read()] == [r["step"] for r in LogTail(one.metrics).read()]
    for split in ("train", "val"):
        assert losses(other, split) == pytest.approx(losses(one, split), rel=WITHIN)
    for name, value in tensors(one).items():
        difference = (tensors(other)[name] - value).double().norm() / value.double().norm()
        assert float(difference) <= WITHIN, name
    kept, others = (tensors(run, checkpoint.OPTIMIZER) for run in (one, other))
    assert kept.keys() == others.keys()
    assert torch.equal(kept["rng.cpu"], others["rng.cpu"])
    for name in kept:
        if name.startswith("carried"):
            assert torch.allclose(others[name], kept[name], atol=1e-5), name


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> RunPaths:
    """200 steps in one process."""
    return train(tmp_path_factory.mktemp("single"), "single", small_text)


# ── the parts ────────────────────────────────────────────────────────────────────


@given(st.integers(1, 40), st.integers(1, 40))
def test_lanes_are_shared_out_evenly_and_all_of_them(B: int, size: int) -> None:
    size = min(B, size)
    parts = []
    for rank in range(size):
        team = Alone()
        team.place = Place(rank, size, rank, size)
        parts.append(team.lanes(B))
    assert [lane for part in parts for lane in range(B)[part.own]] == list(range(B))
    assert {len(part) for part in parts} <= {B // size, B // size + 1}
    assert all(len(part) for part in parts)


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
def test_a_mean_is_that_of_its_parts_by_their_weight(weights: list[float] | None) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(7, 5, 3, generator=generator)
    targets = torch.randint(0, 3, (7, 5), generator=generator)
    targets[:3, 1] = targets[1:, 4] = IGNORE
    series = torch.randn(7, 5, 3, generator=generator)
    cases: list[tuple[Any, torch.Tensor]] = [
        (CrossEntropy(None if weights is None else torch.tensor(weights)), targets),
        (SquaredError(True), series),
        (SquaredError(False), series),
    ]
    for loss, wanted in cases:
        parts = [
            float(loss(logits[:, own], wanted[:, own])) * loss.weight(wanted[:, own].numpy())
            for own in (slice(0, 2), slice(2, 5))
        ]
        assert sum(parts) / loss.weight(wanted.numpy()) == pytest.approx(float(loss(logits, wanted)), rel=WITHIN)


def test_a_part_of_a_batch_gets_its_part_of_the_dropout_mask(device: str) -> None:
    whole = torch.empty(9, 7, 5, device=device)
    torch.manual_seed(3)
    mask = dropout_mask(whole, 0.4)
    for lanes in (Lanes(0, 2, 7), Lanes(2, 7, 7)):
        torch.manual_seed(3)
        assert torch.equal(dropout_mask(whole[:, lanes.own], 0.4, lanes), mask[:, lanes.own])


def test_places_that_go_together_are_read_and_others_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert find_place() == Place()
    for place in (Place(0, 2, 0, 2), Place(5, 8, 1, 4)):
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        assert find_place() == place
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(ConfigError, match="RANK=8"):
        find_place()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": 3, "batch_size": 2}, "3 processes cannot share a batch of 2"),
        ({"processes": 4_000, "batch_size": 4_000}, "--processes 4000 are more than twice the"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_there(
    changes: dict[str, Any], said: str, tmp_path: Path, small_text: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        train(tmp_path, "one", small_text, **changes)
    assert not list(tmp_path.iterdir())


def test_another_number_than_torchrun_has_started_is_refused(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in Place(0, 4, 0, 4).environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun has started 4"):
        train(tmp_path, "one", small_text, processes=2)


def test_a_training_that_hangs_for_a_lost_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a sum with one that has gone may never return; here nobody ever asks for one."""
    ended: list[str] = []
    monkeypatch.setattr(Followers, "stuck", lambda self, lost: ended.append(lost))
    with pytest.raises(ZeroDivisionError), Followers(2, patience=0.1) as followers:
        followers._processes[0].kill()
        until = time.monotonic() + 10
        while not ended and time.monotonic() < until:
            time.sleep(0.02)
        assert ended
        assert ended[0].startswith("process 2 of 2")
        assert ended[0].endswith("was killed by SIGKILL")
        assert ended[0] == followers.lost()
        raise ZeroDivisionError
    assert not Path(followers.meeting).parent.exists()


# ── the same as one process ──────────────────────────────────────────────────────


def children() -> list[Path]:
    """Of this process, in /proc; but for the one that Python keeps once a test has spawned processes."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False)
    folders = [Path("/proc") / pid for pid in found.stdout.split()]
    return [folder for folder in folders if b"resource_tracker" not in (folder / "cmdline").read_bytes()]


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=long)])
def test_one_process_that_goes_through_a_batch_in_as_many_parts_gives_the_same_bits(
    tmp_path: Path, small_text: Path, processes: int
) -> None:
    """Sums over a batch are then taken in the same order; 200 steps, five lanes in parts of two sizes."""
    shared = train(tmp_path, "shared", small_text, processes=processes)
    alone = train(tmp_path, "alone", small_text, accumulate=processes)
    for split in ("train", "val"):
        assert losses(alone, split) == losses(shared, split)
    for file in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        ours, theirs = tensors(alone, file), tensors(shared, file)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_two_processes_give_what_one_gives_and_one_of_them_writes(
    single: RunPaths, tmp_path: Path, small_text: Path
) -> None:
    """200 steps with dropout and a carried state, five lanes as two and three."""
    opened: list[str] = []
    events: list[dict[str, Any]] = []

    def report(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "step" and event["step"] in (40, 140):
            (other,) = (child for child in children() if b"tuirnn" in (child / "cmdline").read_bytes())
            opened.extend(os.readlink(entry) for entry in (other / "fd").iterdir())

    config = RunConfig().replace(**SETTINGS, sources=(str(small_text),), processes=2)
    launch.start(config, tmp_path, "two", report)
    paths = RunPaths(tmp_path / "two")
    same(single, paths)
    assert opened
    assert not [path for path in opened if str(tmp_path) in path]
    assert events[0]["processes"] == 2
    assert read_status(paths).device == "cpu, 2 processes"
    assert sorted(p.name for p in paths.root.iterdir()) == sorted(p.name for p in single.root.iterdir())
    assert not children()


@long
@pytest.mark.parametrize(
    "changes",
    [
        {"processes": 3},
        {"processes": 3, "optimizer": "sgd", "lr": 0.5, "summed": True, "clip": 0.1, "batches": "random"},
        {"processes": 2, "token_dropout": 0.2, "batches": "windows", "cell": "gru"},
        {"processes": 2, "dtype": "float64", "cell": "rnn"},
    ],
    ids=str,
)
def test_any_number_of_processes_gives_what_one_gives(
    changes: dict[str, Any], tmp_path: Path, small_text: Path
) -> None:
    same(
        train(tmp_path, "one", small_text, **{**changes, "processes": 1}),
        train(tmp_path, "more", small_text, **changes),
    )


@long
def test_labelled_sequences_and_series_too(tmp_path: Path) -> None:
    rows = [f"{'abc'[i % 3] * (1 + i % 5)}{i},{'xyz'[min(i % 7, 2)]}" for i in range(200)]
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "\n".join(rows) + "\n")
    waves = tmp_path / "waves.csv"
    waves.write_text("a\n" + "\n".join(f"{np.sin(i / 7):.6f}" for i in range(600)) + "\n")
    for source, changes in (
        (table, {"task": "classify", "class_weights": True, "every_step": True}),
        (waves, {"task": "forecast", "batches": "random", "horizon": 5}),
    ):
        one, two = (
            train(tmp_path, f"{source.stem}-{n}", source, processes=n, **{**changes, "steps": 60}) for n in (1, 2)
        )
        same(one, two)


# ── a process is killed ──────────────────────────────────────────────────────────


class Started:
    """A training in a process of its own, followed by its events."""

    def __init__(
        self, words: list[str], folder: Path, source: Path, environment: dict[str, str], **changes: Any
    ) -> None:
        from tuirnn.runs import detached

        settings = {**SETTINGS, "steps": 100_000, "eval_every": 100_000, **changes}
        self.paths = RunPaths(folder / "one")
        self.process = subprocess.Popen(
            [sys.executable, *words, "-m", "tuirnn", "train", str(source), "--runs", str(folder), "--name", "one",
             "--json", *detached.words(settings)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def until(self, step: int) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] >= step:
                return
        raise AssertionError(self.process.communicate()[1])

    def others(self) -> list[int]:
        """Process ids of all but the leader."""
        leader = read_status(self.paths).pid
        found = {leader}
        for parent in (self.process.pid, leader):
            listed = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
            found.update(int(word) for word in listed.stdout.split())
        return sorted(found - {leader})

    def ended(self) -> tuple[int, str, float]:
        """Exit code, what stands on stderr, and the seconds it took."""
        began = time.monotonic()
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said, time.monotonic() - began


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_killed_process_ends_the_training_which_goes_on_with_one_and_with_two_again(
    single: RunPaths, tmp_path: Path, small_text: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuirnn.training.trainer.CONTROL_POLL", 0.0)
    run = Started([], tmp_path, small_text, environment, steps=200, eval_every=90, processes=2)
    run.until(60)
    (other,) = run.others()
    os.kill(other, signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert (code, said.count("\n")) == (LostError.exit_code, 1)
    assert said.startswith(f"tuirnn: process 2 of 2 (pid {other}) was killed by SIGKILL; the last good checkpoint is")
    assert "tuirnn train --resume one" in said
    status = read_status(run.paths)
    assert (status.state, status.message) == ("failed", f"process 2 of 2 (pid {other}) was killed by SIGKILL")
    assert checkpoint.load(run.paths, "last").step % 50 == 0

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 113:
            control.send(run.paths, control.Request("stop"))

    def ask(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 130:
            for kind in ("pause", "checkpoint", "resume"):
                control.send(run.paths, control.Request(kind))

    assert launch.resume(run.paths, {"processes": 1}, stop) == "request"
    assert 113 <= checkpoint.load(run.paths, "last").step < 200
    assert launch.resume(run.paths, {"processes": 2}, ask) == "done"
    same(single, run.paths)


def test_torchrun_gives_the_same_and_a_killed_leader_is_spoken_for(
    single: RunPaths, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = Started(words, tmp_path, small_text, {**environment, "OMP_NUM_THREADS": "1"}, steps=200, eval_every=90)
    run.until(55)
    leader = read_status(run.paths).pid
    assert read_status(run.paths).device == "cpu, 2 processes"
    os.kill(leader, signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert code
    assert f"tuirnn: the first of 2 processes (pid {leader}) was killed; go on with 'tuirnn train --resume one'" in said
    assert gone(leader)
    status = read_status(run.paths)
    assert (status.state, "was killed" in status.message) == ("failed", True)
    assert LogTail(run.paths.events).read()[-1]["state"] == "failed"
    assert checkpoint.load(run.paths, "last").step >= 50
    seen = losses(run.paths)
    assert seen == pytest.approx(losses(single)[: len(seen)], rel=WITHIN)


@long
@pytest.mark.parametrize("which", ["leader", "follower"])
@pytest.mark.parametrize("state", ["training", "evaluating", "paused"])
def test_whoever_is_killed_whenever(
    which: str, state: str, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    changes = {"sample_length": 100_000, "eval_every": 70} if state == "evaluating" else {}
    run = Started([], tmp_path, small_text, environment, processes=3, **changes)
    run.until(70)
    if state == "paused":
        control.send(run.paths, control.Request("pause"))
        while read_status(run.paths).state != "paused":
            time.sleep(0.02)
    time.sleep(0.5)
    pids = [read_status(run.paths).pid, *run.others()]
    os.kill(pids[0] if which == "leader" else pids[2], signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert code == (-signal.SIGKILL if which == "leader" else LostError.exit_code)
    assert said.count("\n") == 1
    assert all(gone(pid) for pid in pids)
    assert read_status(run.paths).state == "failed"
    assert read_status(run.paths).message in said
    assert checkpoint.load(run.paths, "last").step >= 50
    assert launch.resume(run.paths, {"processes": 1, "steps": 80, "sample_length": 5}, lambda event: None) == "done"


@long
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_asked_to_leave_all_leave(
    number: int, expected: int, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    run = Started([], tmp_path, small_text, environment, processes=2)
    run.until(20)
    pids = [read_status(run.paths).pid, *run.others()]
    run.process.send_signal(number)
    code, said, _ = run.ended()
    assert (code, said) == (expected, "")
    assert all(gone(pid) for pid in pids)
    assert read_status(run.paths).state == "stopped"
    assert checkpoint.load(run.paths, "last").step == read_status(run.paths).step


@long
def test_a_rollback_takes_all_of_them_back(tmp_path: Path, small_text: Path) -> None:
    """The rate is asked up until the loss is no number; half of it, tried again, soon holds."""
    paths = RunPaths(tmp_path / "one")
    notes: list[str] = []

    def report(event: dict[str, Any]) -> None:
        notes.append(event.get("message", ""))
        if event["event"] == "step" and event["step"] == 20:
            control.send(paths, control.Request("lr", 1000.0))

    changes = {"steps": 300, "lr": 3.0, "clip": 0.0, "warmup": 0, "optimizer": "sgd", "checkpoint_every": 1,
               "cell": "rnn", "nonlinearity": "relu", "on_nan": "rollback", "schedule": "constant"}  # fmt: skip
    config = RunConfig().replace(**{**SETTINGS, **changes}, sources=(str(small_text),), processes=2)
    with contextlib.suppress(DivergedError):
        launch.start(config, tmp_path, "one", report)
    assert any("back at step" in note for note in notes)
    steps = [r["step"] for r in LogTail(paths.metrics).read() if r["split"] == "train"]
    assert steps == list(range(1, len(steps) + 1))


@long
def test_weights_that_drift_apart_are_noticed(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the smallest step that one weight of one process can be off."""
    models: list[SequenceModel] = []
    wrap = Team.wrap
    monkeypatch.setattr(Team, "wrap", lambda team, model: (models.append(model), wrap(team, model))[1])

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 49:
            bias = models[0].head.bias.data
            bias[0] = torch.nextafter(bias[0], torch.tensor(torch.inf))

    config = RunConfig().replace(**SETTINGS, sources=(str(small_text),), processes=2)
    with pytest.raises(VerificationError, match="drifted apart"):
        launch.start(config, tmp_path, "one", report)
    assert not checkpoint.steps(RunPaths(tmp_path / "one"))
