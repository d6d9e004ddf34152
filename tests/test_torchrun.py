"""Trainings that torchrun starts, as one machine or as two on the loopback interface: killed, lost, started anew.

`TUIRNN_LONG=1` adds a machine that falls silent, and one that does not come back.
tests/test_namespaces.py does the same with two hosts and a link between them.
"""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from started import WITHIN, Started, begin, gone, long, losses, rank_of, same

from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.training import launch

TORCHRUN = ("-m", "torch.distributed.run")


@pytest.fixture
def by_hand(environment: dict[str, str]) -> dict[str, str]:
    """An environment in which torchrun's machines are on the loopback interface."""
    return {**environment, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def test_torchrun_gives_the_same_and_a_killed_leader_is_spoken_for(
    single: RunPaths, tmp_path: Path, small_text: Path, by_hand: dict[str, str]
) -> None:
    launcher = (*TORCHRUN, "--standalone", "--nproc-per-node", "2")
    run = begin(tmp_path, small_text, by_hand, launcher, steps=200, eval_every=90)
    run.until_step(1)
    leader, _ = pids = run.workers()
    run.until_step(55)
    assert leader == read_status(run.paths).pid
    assert read_status(run.paths).device == "cpu, 2 processes"
    os.kill(leader, signal.SIGKILL)
    code, said, seconds = run.ended()
    assert seconds < 15
    assert code
    assert "tuirnn: the first of 2 processes has ended; the last good checkpoint is" in said
    assert "continue with 'tuirnn train --resume one'" in said
    assert all(gone(pid) for pid in pids)
    status = read_status(run.paths)
    assert (status.state, status.message) == ("failed", "the first of 2 processes has ended")
    assert LogTail(run.paths.events).read()[-1]["state"] == "failed"
    assert checkpoint.load(run.paths, "last").step >= 50
    seen = losses(run.paths)
    assert seen == pytest.approx(losses(single)[: len(seen)], rel=WITHIN)


def test_torchrun_starts_a_killed_training_anew_and_it_goes_on(
    single: RunPaths, tmp_path: Path, small_text: Path, by_hand: dict[str, str]
) -> None:
    """Once each process is killed; the run is the same as one that was never interrupted."""
    launcher = (*TORCHRUN, "--standalone", "--nproc-per-node", "2", "--max-restarts", "2")
    run = begin(tmp_path, small_text, by_hand, launcher, steps=200, eval_every=90)
    run.until_step(60)
    os.kill(run.workers()[1], signal.SIGKILL)
    run.until(lambda event: event["event"] == "start" and event["step"] > 0)
    os.kill(run.workers()[0], signal.SIGKILL)
    code, said, _ = run.ended(60)
    assert code == 0, said
    same(single, run.paths)
    assert [event["event"] for event in LogTail(run.paths.events).read()].count("resume") == 2


def machines(
    count: int, folder: Path, source: Path, environment: dict[str, str], *words: str, **changes: Any
) -> list[Started]:
    """As many torchruns that rendezvous on this machine, the leader's first."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launcher = (*TORCHRUN, "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}",
                "--rdzv-id",
                "seven", "--local-addr", "localhost", *words)  # fmt: skip
    until = time.monotonic() + 60
    started = []
    for _ in range(count):
        started.append(begin(folder, source, environment, launcher, **changes))
        while time.monotonic() < until:  # the first one has the store, and is there before the next one looks for it
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                break
            time.sleep(0.1)
    while not all(machine.workers() for machine in started) and time.monotonic() < until:
        time.sleep(0.2)
    return sorted(started, key=lambda machine: rank_of(machine.workers()[0]))


def test_two_machines_give_what_one_gives(
    single: RunPaths, tmp_path: Path, small_text: Path, by_hand: dict[str, str]
) -> None:
    first, second = machines(2, tmp_path, small_text, by_hand, "--nnodes", "2", steps=200, eval_every=90)
    code, said, _ = first.ended(60)
    assert code == 0, said
    assert second.ended(60)[0] == 0
    assert first.events[0]["processes"] == 2
    assert second.events == []
    same(single, first.paths)


@pytest.mark.parametrize("lost", ["second", pytest.param("first", marks=long)])
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=long)])
def test_a_lost_machine_ends_the_training(
    lost: str, how: int, tmp_path: Path, small_text: Path, by_hand: dict[str, str]
) -> None:
    """One that is stopped leaves its connections open, as one that has lost its power or its network does."""
    first, second = machines(2, tmp_path, small_text, by_hand, "--nnodes", "2")
    left, silent = (first, second) if lost == "second" else (second, first)
    (worker,), (other,) = left.workers(), silent.workers()
    try:
        first.until_step(60)
        for pid in (silent.process.pid, other):
            os.kill(pid, how)
        assert gone(worker, within=30)
        if not (lost == "first" and how == signal.SIGSTOP):  # torchrun itself waits there for the other's store
            code, said, _ = left.ended(60)
            assert code
            assert "the last good checkpoint is step_000000" in said
            assert "continue with 'tuirnn train --resume one'" in said
    finally:
        left.process.kill()
        silent.process.kill()
        for pid in (worker, other):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert checkpoint.load(first.paths, "last").step >= 50
    assert launch.resume(first.paths, {"processes": 1, "steps": 80}, lambda event: None) == "done"


@long
def test_a_machine_that_comes_back_goes_on_with_the_training(
    tmp_path: Path, small_text: Path, by_hand: dict[str, str]
) -> None:
    words = ("--nnodes", "1:2", "--max-restarts", "3", "--rdzv-conf", "last_call_timeout=20")
    first, second = machines(2, tmp_path, small_text, by_hand, *words, steps=3000)
    (other,) = second.workers()
    first.until_step(60)
    for pid in (second.process.pid, other):
        os.kill(pid, signal.SIGKILL)
    code, said, _ = first.ended(200)
    assert code == 0, said
    assert first.events[-1]["step"] == 3000
    assert [event["processes"] for event in first.events if event["event"] == "start"] == [2, 1]
