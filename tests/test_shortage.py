"""Lack of memory is one line with sizes and what to lower, in every library and however it was refused."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import wait

from tuirnn import machine, piecework, sweeping
from tuirnn.config import RunConfig
from tuirnn.errors import LostError
from tuirnn.runs import checkpoint, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.shortage import A_CORE, TO_COMPUTE, ending, shortage

ONE_LINE = re.compile(r"tuirnn: out of memory: [^\n]* has [\d.]+ [kMG]B, [\d.]+ [kMG]?B of it free; [^\n]+\n")
ENOUGH = int(TO_COMPUTE + 2 * A_CORE)

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say")


def tighten(cores: list[int], limit: int) -> None:
    os.sched_setaffinity(0, cores)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@pytest.fixture
def limited(tmp_path: Path, environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`tuirnn` with so many bytes of address space, on two cores at most, and no export kept from before."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    environment = {**environment, "TUIRNN_KNOWN_CELLS": str(tmp_path / "cache" / "known-cells.txt")}

    def run(limit: int, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tuirnn", *words], env=environment, cwd=tmp_path, capture_output=True, text=True,
            timeout=60, preexec_fn=partial(tighten, cores, limit),
        )  # fmt: skip

    return run


# ── what is refused ──────────────────────────────────────────────────────────────


def errors_of_allocators() -> dict[str, Callable[[], Any]]:
    import torch

    return {
        "numpy": lambda: np.empty(2**45, np.float64),
        "python": lambda: bytearray(2**47),
        "torch": lambda: torch.empty(2**45),
    }


@pytest.mark.parametrize("name", ["numpy", "python", "torch"])
def test_every_allocator_is_understood(name: str) -> None:
    """Real allocations that no machine can serve."""
    with pytest.raises((MemoryError, RuntimeError)) as refused:
        errors_of_allocators()[name]()
    said = shortage(refused.value)
    assert said.startswith("out of memory: ")
    if name != "python":  # which does not say how much it wanted
        wanted = {"numpy": "281 TB", "torch": "141 TB"}[name]
        assert f"{wanted} more were asked for, and " in said
    if machine.room():
        assert re.search(r"has \d\S* [MG]B, \d\S* [MG]B of it free$", said)


def test_a_card_tells_its_own_numbers() -> None:
    error = RuntimeError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 3.50 MiB is "
        "free. Including non-PyTorch memory, this process has 79.09 GiB memory in use."
    )
    assert shortage(error) == "out of memory: 21 MB more were asked for, and this GPU has 85 GB, 3.7 MB of it free"


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), OSError(28, "No space left on device"), KeyError(1)])
def test_other_errors_are_other_errors(error: Exception) -> None:
    assert shortage(error) == ""


@needs_proc
def test_commands_under_a_limit_say_one_line(limited: Callable[..., Any], small_run: RunPaths, tmp_path: Path) -> None:
    """From too little for the libraries to too little for what is asked."""
    where = ("--runs", str(small_run.root.parent))
    (tmp_path / "large.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 700_000)
    for limit, words, advice in (
        (ENOUGH // 3, ("runs", "ls"), "raise the limit"),
        (ENOUGH * 2 // 3, ("runs", "ls"), "raise the limit"),
        (ENOUGH + 30_000_000, ("train", "large.txt"), "raise the limit"),
        (ENOUGH + 30_000_000, ("generate", "small", "--samples", "10000", "-n", "2000", *where), "--samples"),
    ):
        done = limited(limit, *words)
        assert (done.returncode, done.stdout) == (2, ""), (words, done)
        assert done.stderr.startswith("tuirnn: out of memory: ")
        assert done.stderr.count("\n") == 1
        assert advice in done.stderr, done.stderr
        assert "B" in done.stderr
    assert not (tmp_path / "checkpoints").exists()


@needs_proc
def test_a_long_evaluation_under_a_limit_ends(
    limited: Callable[..., "subprocess.CompletedProcess[str]"], small_run: RunPaths, tmp_path: Path
) -> None:
    """Threads that find no room are done without; where that is not enough either, one line says so."""
    (tmp_path / "large.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 20_000)
    words = ("eval", str(small_run.root), "--text", "large.txt", "--json")
    done = limited(ENOUGH + 30_000_000, *words)
    if done.returncode:
        assert done.returncode == 2
        assert ONE_LINE.fullmatch(done.stderr), done.stderr
    else:
        assert json.loads(done.stdout)["nats"] > 0


@needs_proc
def test_a_limit_leaves_no_memory_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot begin would be waited for without end: the work is done in this thread instead."""
    limit, of = 10**9, piecework.A_THREAD + 10**6
    monkeypatch.setattr(machine, "address_limit", lambda: limit)
    for free, threads in ((3 * of, 3), (2.9 * of, 2), (of / 2, 1)):
        monkeypatch.setattr(machine, "room", lambda free=free: machine.Room(limit, free, "it"))
        assert piecework.affordable(3, 10**6) == threads
    where = [*piecework.in_order(lambda _: threading.current_thread(), range(9), threads=3)]
    assert set(where) == {threading.main_thread()}
    monkeypatch.setattr(machine, "address_limit", lambda: None)
    assert piecework.affordable(3, 10**6) == 3


LARGE = ("--hidden", "256", "--batch-size", "64", "--seq-len", "256", "--batches", "random", "--sample-length", "0",
         "--device", "cpu")  # fmt: skip
MIDWAY = """
import re, resource, sys
from pathlib import Path
from tuirnn.cli import _run
from tuirnn.cli.progress import JsonReport

blocks = []

def limit(self, event):
    if event.kind == "checkpoint" and event.step == 2:
        used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
        resource.setrlimit(resource.RLIMIT_AS, (used, used))
        try:  # what earlier steps have freed is taken as well, but for 4 MB: the next step needs more
            while True:
                blocks.append(bytearray(2**16))
        except MemoryError:
            del blocks[-64:]

JsonReport.show = limit
sys.argv[0] = "tuirnn"
sys.exit(_run())
"""


@needs_proc
def test_a_training_that_runs_out_of_memory_reports_it_everywhere(
    tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """The limit falls to what is in use after step 2; the last checkpoint stays, and a resume ends with less."""
    words = ["train", str(small_text), "--name", "x", "--runs", str(tmp_path), "--json", *LARGE, "--steps", "40",
             "--checkpoint-every", "1", "--eval-every", "1000"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", MIDWAY, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert ONE_LINE.fullmatch(done.stderr), done.stderr
    paths = RunPaths(tmp_path / "x")
    status, last = read_status(paths), checkpoint.steps(paths)[-1]
    assert status.state == "failed"
    assert f"tuirnn: {status.message}\n" == done.stderr
    assert f"the last good checkpoint is step_{last:08d}" in status.message
    assert "--resume x --accumulate 2 --memory recompute" in status.message
    assert LogTail(paths.events).read()[-1]["message"] == status.message


# ── what is killed ───────────────────────────────────────────────────────────────


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A control group of 2 GB: `kernel(pid)` kills a process as the system does for want of memory, and counts it."""
    group = tmp_path / "group/job"
    for folder in (group, tmp_path / "proc/self"):
        folder.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 0 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    (group / "memory.max").write_text("2000000000\n")
    (group / "memory.current").write_text("1000000000\n")
    (group / "memory.events").write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "group")

    def kill(pid: int) -> None:
        (group / "memory.events").write_text(f"low 0\noom 5\noom_kill {machine.kills() + 1}\noom_group_kill 0\n")
        os.kill(pid, signal.SIGKILL)

    return kill


SAID = r"was killed by SIGKILL, by the system, which was out of memory: the limit of this control group has 2\.0 GB"


def test_a_kill_for_lack_of_memory_is_recognised(kernel: Callable[[int], None]) -> None:
    before = machine.kills()
    assert before == 3
    for by, expected in ((kernel, SAID), (lambda pid: os.kill(pid, signal.SIGKILL), r"was killed by SIGKILL")):
        with subprocess.Popen(["sleep", "60"]) as child:
            by(child.pid)
        assert re.fullmatch(expected, ending(child.returncode, before))
        before = machine.kills()
    assert ending(3, 0) == "ended with exit code 3"


def test_older_control_groups_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "group")
    assert machine.kills() == 0
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("pgfault 12\noom_kill 7\n")
    assert machine.kills() == 7
    (tmp_path / "proc/self/cgroup").write_text("5:cpu:/else\n4:memory:/job/inner\n0::/\n")
    (tmp_path / "group/memory").mkdir(parents=True)
    (tmp_path / "group/memory/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert machine.kills() == 2  # of the group around, where a container sees no more


def when_running(paths: RunPaths, do: Callable[[int], None]) -> threading.Thread:
    """A thread that calls `do` with the trainer's process id, once it has taken a step."""

    def wait_and_do() -> None:
        wait(lambda: read_status(paths).step and read_status(paths).pid)
        do(read_status(paths).pid)

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


LONG = {"hidden": 8, "embed": 8, "minutes": 5.0, "batch_size": 4, "seq_len": 16, "sample_length": 0, "device": "cpu"}


def test_a_sweep_reports_which_run_was_killed_for_memory(
    kernel: Callable[[int], None], tmp_path: Path, small_text: Path
) -> None:
    config = RunConfig().replace(sources=(str(small_text),), **LONG)
    (point,) = sweeping.grid(config, {"seed": [1]}, "sweep")
    thread = when_running(RunPaths(tmp_path / "runs" / point.name), kernel)
    said: list[str] = []
    failed = sweeping.train([point], tmp_path / "runs", 1, said.append)
    thread.join()
    assert re.fullmatch(f"it {SAID}", failed[point.name])
    assert said[-1] == f"{point.name} failed: {failed[point.name]}"


def test_a_detached_training_that_was_killed_for_memory_is_reported(
    kernel: Callable[[int], None], tmp_path: Path, small_text: Path
) -> None:
    paths = detached.start(RunConfig().replace(sources=(str(small_text),), **LONG), tmp_path / "runs", "x")
    when_running(paths, kernel).join()
    wait(lambda: json.loads(paths.status.read_text())["state"] == "failed")
    status = read_status(paths)
    assert re.search(SAID, status.message)
    assert "--resume x" in status.message
    assert status.message in paths.log.read_text().splitlines()[-1]


def test_a_team_says_who_was_killed_for_memory(kernel: Callable[[int], None], tmp_path: Path) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    from tuirnn.training.torchrun import Launched

    launched = Launched(tmp_path, RunPaths(tmp_path / "x"), 2)
    with subprocess.Popen(["sleep", "60"]) as child:
        kernel(child.pid)
    ended = {0: (os.getpid(), -signal.SIGTERM), 1: (child.pid, child.returncode)}
    with pytest.raises(LostError, match=rf"^process 2 of 2 \(pid {child.pid}\) {SAID}$"):
        launched.code_of_failures({rank: ProcessFailure(rank, pid, code, "") for rank, (pid, code) in ended.items()})


GREEDY = """
import os

if os.environ.get("RANK") == "1":
    import torch
    from tuirnn.training.learner import Learner

    Learner.training_step = lambda *_: torch.empty(2**45)
"""


def test_one_of_a_team_that_runs_out_is_named(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    """The second process asks for more than any machine has, in its first step."""
    (tmp_path / "sitecustomize.py").write_text(GREEDY)
    path = os.pathsep.join([str(tmp_path), *filter(None, [environment.get("PYTHONPATH")])])
    words = [sys.executable, "-m", "tuirnn", "train", str(small_text), "--name", "x", "--runs", str(tmp_path), *LARGE,
             "--processes", "2", "--steps", "9"]  # fmt: skip
    done = subprocess.run(words, env={**environment, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("tuirnn: process 2 of 2: out of memory: 141 TB more were asked for")
    assert done.stderr.count("\n") == 1
    assert read_status(RunPaths(tmp_path / "x")).message in done.stderr
