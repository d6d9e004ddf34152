"""Several processes that share each batch: the same results as one, one writer, and an end that says why.

`TUIRNN_LONG=1` adds three processes, each task, a rollback, and more places to be killed at.
"""

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
from hypothesis import given
from hypothesis import strategies as st
from started import SETTINGS, WITHIN, Started, begin, gone, long, losses, same, tensors, train, wait_for_state

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, LostError, VerificationError
from tuirnn.models import dropout_mask
from tuirnn.runs import checkpoint, control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.tasks.batches import IGNORE, Lanes
from tuirnn.training import launch
from tuirnn.training.events import Event
from tuirnn.training.losses import CrossEntropy, SquaredError
from tuirnn.training.member import VARIABLES, Member, find_member
from tuirnn.training.team import Alone

# ── the parts ────────────────────────────────────────────────────────────────────


@given(st.integers(1, 40), st.integers(1, 40))
def test_lanes_are_shared_out_evenly_and_all_of_them(B: int, size: int) -> None:
    size = min(B, size)
    parts = []
    for rank in range(size):
        team = Alone()
        team.member = Member(rank, size, rank, size)
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


def stand_at(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be one that torchrun has started."""
    values = map(str, (member.rank, member.size, member.local_rank, member.local_size))
    for name, value in {**dict(zip(VARIABLES, values, strict=True)), "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)


def test_places_that_go_together_are_read_and_others_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert find_member() == Member()
    for member in (Member(0, 2, 0, 2), Member(5, 8, 1, 4)):
        stand_at(member, monkeypatch)
        assert find_member() == member
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(ConfigError, match="RANK=8"):
        find_member()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": 3, "batch_size": 2}, "3 processes cannot share a batch of 2"),
        ({"processes": 4_000, "batch_size": 4_000}, "--processes 4000 is more than twice the"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_there(
    changes: dict[str, Any], said: str, tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = changes["processes"]
    stand_at(Member(0, count, 0, count), monkeypatch)
    config = RunConfig().replace(**{**SETTINGS, **changes}, sources=(str(small_text),))
    with pytest.raises(ConfigError, match=said):
        launch.start(config, tmp_path, "one", lambda event: None)
    assert not list(tmp_path.iterdir())


def test_another_number_than_torchrun_has_started_is_refused(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig().replace(**SETTINGS, sources=(str(small_text),), processes=2)
    with pytest.raises(ConfigError, match="needs as many processes; use 'tuirnn train' or torchrun"):
        launch.start(config, tmp_path, "one", lambda event: None)
    stand_at(Member(0, 4, 0, 4), monkeypatch)
    with pytest.raises(ConfigError, match="torchrun has started 4"):
        launch.start(config, tmp_path, "one", lambda event: None)


def test_what_the_command_refuses_is_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    """Too many processes before any is started, missing data by the first of them."""
    for words, said in (
        (["--processes", "4000"], "tuirnn: --processes 4000 is more than twice the"),
        (["--processes", "2", "no-such-file"], "tuirnn: no file, folder or data set 'no-such-file'"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tuirnn", "train", *words, "--runs", str(tmp_path), "--device", "cpu"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith(said)
    assert not list(tmp_path.iterdir())


# ── the same as one process ──────────────────────────────────────────────────────


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
    single: RunPaths, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """200 steps with dropout and a carried state, five lanes as two and three."""
    run = begin(tmp_path, small_text, environment, steps=200, eval_every=90, processes=2)
    run.until_step(1)
    pids = run.workers()
    opened = [os.readlink(entry) for entry in (Path("/proc") / str(pids[1]) / "fd").iterdir()]
    code, said, _ = run.ended()
    assert (code, said) == (0, "")
    same(single, run.paths)
    assert opened
    assert not [path for path in opened if str(tmp_path) in path]
    assert run.events[0]["processes"] == 2
    assert run.events[-1]["event"] == "end"
    assert read_status(run.paths).device == "cpu, 2 processes"
    assert sorted(p.name for p in run.paths.root.iterdir()) == sorted(p.name for p in single.root.iterdir())
    assert all(gone(pid) for pid in pids)


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


def test_a_killed_process_ends_the_training_which_goes_on_with_one_and_with_two_again(
    single: RunPaths, tmp_path: Path, small_text: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuirnn.training.channel.CONTROL_POLL", 0.0)
    run = begin(tmp_path, small_text, environment, steps=200, eval_every=90, processes=2)
    run.until_step(1)
    _, other = run.workers()
    run.until_step(60)
    os.kill(other, signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert (code, said.count("\n")) == (LostError.exit_code, 1)
    assert said.startswith(f"tuirnn: process 2 of 2 (pid {other}) was killed by SIGKILL; the last good checkpoint is")
    assert "tuirnn train --resume one" in said
    status = read_status(run.paths)
    assert (status.state, status.message) == ("failed", f"process 2 of 2 (pid {other}) was killed by SIGKILL")
    assert LogTail(run.paths.events).read()[-1]["message"] == status.message
    assert checkpoint.load(run.paths, "last").step % 50 == 0

    def stop(event: Event) -> None:
        if event.kind == "step" and event.step == 113:
            control.send(run.paths, control.Request("stop"))

    assert launch.resume(run.paths, {"processes": 1}, stop) == "request"
    assert 113 <= checkpoint.load(run.paths, "last").step < 200
    assert Started(["--resume", "one", "--processes", "2"], tmp_path, environment).ended()[:2] == (0, "")
    same(single, run.paths)


def test_requests_reach_all_processes(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    """Each checkpoint compares the weights of all, so it is written only if all have heard of the new rate."""
    run = begin(tmp_path, small_text, environment, processes=2, checkpoint_every=100_000, schedule="constant", warmup=0)
    run.until_step(10)
    control.send(run.paths, control.Request("lr", 0.5))
    control.send(run.paths, control.Request("evaluate"))
    control.send(run.paths, control.Request("pause"))
    wait_for_state(run.paths, "paused")
    step = read_status(run.paths).step
    time.sleep(1.5)
    assert read_status(run.paths).step == step
    control.send(run.paths, control.Request("resume"))
    wait_for_state(run.paths, "running")
    control.send(run.paths, control.Request("checkpoint"))
    control.send(run.paths, control.Request("stop"))
    code, said, _ = run.ended()
    assert (code, said) == (0, "")
    assert (run.events[-1]["event"], run.events[-1]["outcome"]) == ("end", "request")
    assert {"eval", "sample", "checkpoint"} <= {event["event"] for event in run.events}
    rates = [record["lr"] for record in LogTail(run.paths.metrics).read() if record["split"] == "train"]
    assert rates[-1] == rates[0] / 2
    assert checkpoint.load(run.paths, "last").step == len(rates) > step


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 75, marks=long)])
def test_asked_to_leave_all_leave(
    number: int, expected: int, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    run = begin(tmp_path, small_text, environment, processes=2)
    run.until_step(20)
    pids = run.workers()
    run.process.send_signal(number)
    code, said, _ = run.ended()
    assert (code, said) == (expected, "")
    assert all(gone(pid) for pid in pids)
    assert read_status(run.paths).state == "stopped"
    assert checkpoint.load(run.paths, "last").step == read_status(run.paths).step


@long
def test_processes_whose_torchrun_was_killed_write_a_checkpoint_and_end(
    tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    run = begin(tmp_path, small_text, environment, processes=2)
    run.until_step(20)
    pids = run.workers()
    run.process.kill()
    run.ended()
    assert all(gone(pid) for pid in pids)
    assert (read_status(run.paths).state, read_status(run.paths).message) == ("stopped", "ended by SIGTERM")
    assert checkpoint.load(run.paths, "last").step == read_status(run.paths).step


@long
@pytest.mark.parametrize("which", ["leader", "follower"])
@pytest.mark.parametrize("state", ["training", "evaluating", "paused"])
def test_whoever_is_killed_whenever(
    which: str, state: str, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    changes = {"sample_length": 100_000, "eval_every": 70} if state == "evaluating" else {}
    run = begin(tmp_path, small_text, environment, processes=3, **changes)
    run.until_step(70)
    if state == "paused":
        control.send(run.paths, control.Request("pause"))
        wait_for_state(run.paths, "paused")
    time.sleep(0.5)
    pids = run.workers()
    os.kill(pids[0] if which == "leader" else pids[2], signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert (code, said.count("\n")) == (LostError.exit_code, 1)
    assert all(gone(pid) for pid in pids)
    assert read_status(run.paths).state == "failed"
    assert f"process {1 if which == 'leader' else 3} of 3" in read_status(run.paths).message
    assert read_status(run.paths).message in said
    assert checkpoint.load(run.paths, "last").step >= 50
    assert launch.resume(run.paths, {"processes": 1, "steps": 80, "sample_length": 5}, lambda event: None) == "done"


# ── what the processes must not do ───────────────────────────────────────────────


@long
def test_a_rollback_takes_all_of_them_back(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    """The rate is asked up until the loss is no number; a fraction of it, tried again, soon holds."""
    run = begin(tmp_path, small_text, environment, lr=3.0, clip=0.0, warmup=0, optimizer="sgd", checkpoint_every=5,
                cell="rnn", nonlinearity="relu", on_nan="rollback", schedule="constant", processes=2)  # fmt: skip
    run.until_step(20)
    control.send(run.paths, control.Request("lr", 1000.0))
    run.until(lambda event: "back at step" in event.get("message", ""))
    control.send(run.paths, control.Request("stop"))
    assert run.ended()[0] in (0, 2)  # it may diverge more often than is tried
    steps = [r["step"] for r in LogTail(run.paths.metrics).read() if r["split"] == "train"]
    assert steps == list(range(1, len(steps) + 1))


DRIFTING = """
import os

if os.environ.get("RANK") == "1":
    import torch
    from tuirnn.training.learner import Learner

    show = Learner.show

    def nudged(self):
        bias = self.model.head.bias.data
        bias[0] = torch.nextafter(bias[0], torch.tensor(torch.inf))
        return show(self)

    Learner.show = nudged
"""


@long
def test_weights_that_drift_apart_are_noticed(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    """By the smallest step that one weight of one process can be off."""
    (tmp_path / "sitecustomize.py").write_text(DRIFTING)
    path = os.pathsep.join([str(tmp_path), *filter(None, [environment.get("PYTHONPATH")])])
    run = begin(tmp_path, small_text, {**environment, "PYTHONPATH": path}, processes=2)
    code, said, _ = run.ended(60)
    assert (code, said.count("\n")) == (VerificationError.exit_code, 1)
    assert "drifted apart" in said
    assert read_status(run.paths).state == "failed"
    assert not checkpoint.steps(run.paths)
