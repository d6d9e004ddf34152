"""Scenes of runs that live, have died, hang, were copied or are elsewhere; `test_liveness.py` plays them.

Each has real processes: a trainer, or a small process that holds a run and writes its status as a trainer does; and a
bystander, which says of every signal that it got one.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuirnn.runs import control, liveness, process
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status, read_status, written_status
from tuirnn.runs.writer import RunWriter

HOLDER = """
import os, signal, sys, time
from pathlib import Path
from tuirnn.runs import liveness
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status
from tuirnn.runs.writer import RunWriter

paths, changes = RunPaths(Path(sys.argv[1])), eval(sys.argv[2])
with RunWriter(paths) as writer:
    if changes is not None:
        given = {"state": "running", "heartbeat": time.time(), **liveness.introduction(paths), **changes}
        writer.status(Status(**given))
    if sys.argv[3:] == ["let go"]:
        writer.close()
    elif sys.argv[3:]:
        os.set_inheritable(writer._lock._context.lock_file_fd, True)
        os.write(1, b"r")
        os.execvp(sys.argv[3], sys.argv[3:])
    os.write(1, b"r")
    signal.pause()
"""

BYSTANDER = """
import os, signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, frame: os.write(1, b"%d " % number))
os.write(1, b"r")
while True:
    signal.pause()
"""

OTHER_BOOT = "00000000-1111-2222-3333-444444444444 pid:[4026531836]"
NOT_SAID = {"machine": "", "process": "", "folder": ""}
"""What versions before this one did not write."""


class Child:
    """A process of a scene, ready when this returns."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        assert os.read(self.output, 1) == b"r"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lives(self) -> bool:
        """Whether it has not ended; one that has is not waited for by asking."""
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.process.returncode is None and os.waitid(os.P_PID, self.pid, ended) is None

    @property
    def untouched(self) -> bool:
        """Whether it lives, has been sent no signal that can be caught, and is not stopped."""
        told = select.select([self.output], [], [], 0)[0]
        return self.lives and not told and not process.is_stopped(self.pid)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.output)


@dataclass
class Expected:
    """Of a scene: the state and a part of the message; whether the run's own trainer may be killed, and removed."""

    state: str
    message: str = ""
    kill: bool = False
    refusal: str = ""
    removable: bool = False


@dataclass
class Stage:
    """Where a scene is set."""

    paths: RunPaths
    bystander: Child
    real: subprocess.Popen[bytes]
    training: RunPaths
    children: list[Child] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)
    seen: Status | None = None

    def holder(self, changes: dict[str, Any] | None, *words: str) -> Child:
        """A process that holds the run and has written its status, with changes; None: not yet."""
        self.children.append(Child("-c", HOLDER, str(self.paths.root), repr(changes), *words))
        return self.children[-1]

    def write(self, **changes: Any) -> None:
        """A status that nobody stands behind: that of the bystander's process id, unless it says another."""
        here = {**liveness.introduction(self.paths), "pid": self.bystander.pid, "process": "1 0123456789abcdef"}
        with RunWriter(self.paths) as held:
            held.status(Status(**{"state": "running", "heartbeat": time.time(), **here, **changes}))


def wait(ready: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


SCENES: dict[str, Callable[[Stage], Expected]] = {}


def scene(play: Callable[[Stage], Expected]) -> Callable[[Stage], Expected]:
    SCENES[play.__name__] = play
    return play


# ── a trainer ────────────────────────────────────────────────────────────────────


@scene
def trainer_at_work(stage: Stage) -> Expected:
    stage.paths = stage.training
    return Expected("running", kill=True)


@scene
def trainer_paused(stage: Stage) -> Expected:
    stage.paths = stage.training
    control.send(stage.paths, control.Request("pause"))
    stage.after.append(lambda: control.send(stage.training, control.Request("resume")))
    wait(lambda: read_status(stage.paths).state == "paused")
    return Expected("paused", kill=True)


@scene
def trainer_stopped_by_a_signal(stage: Stage) -> Expected:
    stage.paths = stage.training
    stage.real.send_signal(signal.SIGSTOP)
    stage.after.append(lambda: stage.real.send_signal(signal.SIGCONT))
    wait(lambda: process.is_stopped(stage.real.pid))
    return Expected("silent", f"kill -CONT {stage.real.pid}", kill=True)


@scene
def folder_copied_while_it_trains(stage: Stage) -> Expected:
    shutil.rmtree(stage.paths.root)
    shutil.copytree(stage.training.root, stage.paths.root, ignore_dangling_symlinks=True)
    return Expected("stale", f"a copy: process {stage.real.pid} trains {stage.training.root}", removable=True)


@scene
def folder_copied_as_hard_links(stage: Stage) -> Expected:
    shutil.rmtree(stage.paths.root)
    shutil.copytree(stage.training.root, stage.paths.root, copy_function=os.link)
    return Expected("stale", f"a copy: process {stage.real.pid} trains", refusal="not running")


# ── whoever holds the lock ───────────────────────────────────────────────────────


@scene
def begins_and_has_no_status_yet(stage: Stage) -> Expected:
    stage.holder(None)
    return Expected("starting", refusal="not said yet")


@scene
def hangs(stage: Stage) -> Expected:
    stage.holder({"heartbeat": time.time() - 100})
    return Expected("silent", "no sign for 1 m: it hangs", kill=True)


@scene
def stopped_and_then_killed(stage: Stage) -> Expected:
    stage.holder({}).process.send_signal(signal.SIGSTOP)
    wait(lambda: process.is_stopped(stage.children[0].pid))
    return Expected("silent", "stopped, no sign for", kill=True)


@scene
def clock_set_back(stage: Stage) -> Expected:
    stage.holder({"heartbeat": time.time() + 3600})
    return Expected("running", "in the future: the clocks disagree", kill=True)


@scene
def folder_moved_while_it_trains(stage: Stage) -> Expected:
    stage.holder({})
    os.rename(stage.paths.root, moved := stage.paths.root.with_name("moved"))
    stage.paths = RunPaths(moved)
    return Expected("running", kill=True)


@scene
def lock_file_deleted_while_it_trains(stage: Stage) -> Expected:
    stage.holder({})
    stage.paths.lock.unlink()
    return Expected("running", kill=True)


@scene
def trainer_of_an_older_version(stage: Stage) -> Expected:
    stage.holder(NOT_SAID)
    return Expected("running", kill=True)


@scene
def lock_held_by_a_repair(stage: Stage) -> Expected:
    stage.holder({"pid": stage.bystander.pid, "process": "1 0123456789abcdef"})
    return Expected("stale", "(number reused); another process holds the lock")


@scene
def lock_held_by_a_repair_of_an_older_versions_run(stage: Stage) -> Expected:
    stage.holder({"pid": stage.bystander.pid, **NOT_SAID})
    return Expected("stale", "another process holds the lock")


@scene
def forged_to_name_the_bystander(stage: Stage) -> Expected:
    stage.holder({"pid": stage.bystander.pid, "process": process.fingerprint(stage.bystander.pid)})
    return Expected("stale", "another process holds the lock")


@scene
def another_program_in_the_same_process(stage: Stage) -> Expected:
    stage.holder({}, "sleep", "60")
    wait(lambda: Path(f"/proc/{stage.children[0].pid}/cmdline").read_bytes().startswith(b"sleep"))
    return Expected("stale", "(number reused); another process holds the lock")


@scene
def done_and_still_held(stage: Stage) -> Expected:
    stage.holder({"state": "done"})
    return Expected("done", refusal=r"not running \(done\)")


@scene
def resumed_between_the_look_and_the_kill(stage: Stage) -> Expected:
    stage.holder({}).end()
    stage.seen = written_status(stage.paths)
    stage.holder({})
    return Expected("running", refusal="not running")


# ── nobody ───────────────────────────────────────────────────────────────────────


@scene
def killed_a_moment_ago(stage: Stage) -> Expected:
    stage.holder({}).end()
    return Expected("stale", "has ended without a word", removable=True)


@scene
def interrupted_in_a_process_that_lives_on(stage: Stage) -> Expected:
    stage.holder({}, "let go")
    return Expected("stale", "does not train it any more", removable=True)


@scene
def killed_and_not_waited_for(stage: Stage) -> Expected:
    os.kill(stage.holder({}).pid, signal.SIGKILL)
    os.waitid(os.P_PID, stage.children[0].pid, os.WEXITED | os.WNOWAIT)
    return Expected("stale", "has ended without a word", removable=True)


@scene
def no_status_and_nobody(stage: Stage) -> Expected:
    return Expected("stale", "no readable status", removable=True)


@scene
def recycled_pid_long_ago(stage: Stage) -> Expected:
    stage.write(heartbeat=time.time() - 1e6)
    return Expected("stale", "number reused", removable=True)


@scene
def recycled_pid_with_a_fresh_heartbeat(stage: Stage) -> Expected:
    stage.write()
    return Expected("stale", "number reused", removable=True)


@scene
def recycled_pid_of_an_older_version(stage: Stage) -> Expected:
    stage.write(**NOT_SAID)
    return Expected("stale", "has ended without a word", removable=True)


@scene
def pid_of_before_the_last_boot(stage: Stage) -> Expected:
    stage.write(machine=OTHER_BOOT, heartbeat=time.time() - 7200)
    return Expected("stale", "last sign 2 h ago", removable=True)


def nobodys(pid: int, held: bool) -> Callable[[Stage], Expected]:
    """A status that names a process id which means no process, or one that is nobody's trainer."""

    def play(stage: Stage) -> Expected:
        changes = {"pid": pid, **NOT_SAID}
        if held:
            stage.holder(changes)
        else:
            stage.write(**changes)
        return Expected("stale", removable=not held)

    return play


for pid in (0, -1, 1, os.getpid(), 2**22 + 1, 2**70):
    SCENES[f"pid_{'of_the_reader' if pid == os.getpid() else pid}"] = nobodys(pid, held=False)
SCENES["pid_1_and_a_held_lock"] = nobodys(1, held=True)


# ── elsewhere ────────────────────────────────────────────────────────────────────


def elsewhere(stage: Stage, ago: float, **changes: Any) -> None:
    stage.write(**{"host": "gpu3", "machine": OTHER_BOOT, "heartbeat": time.time() - ago, **changes})


@scene
def on_another_machine(stage: Stage) -> Expected:
    elsewhere(stage, 4)
    return Expected("running", "on gpu3, last sign 4 s ago", refusal="runs on gpu3")


@scene
def on_another_machine_of_an_older_version(stage: Stage) -> Expected:
    elsewhere(stage, 4, **NOT_SAID)
    return Expected("running", "on gpu3, last sign", refusal="runs on gpu3")


@scene
def died_on_another_machine(stage: Stage) -> Expected:
    elsewhere(stage, 3700)
    return Expected("stale", "on gpu3, last sign 1 h ago", removable=True)


@scene
def another_machine_whose_clock_is_ahead(stage: Stage) -> Expected:
    elsewhere(stage, -20)
    return Expected("running", "on gpu3, last sign 1", refusal="runs on gpu3")


@scene
def heartbeat_of_tomorrow(stage: Stage) -> Expected:
    elsewhere(stage, -90_000)
    return Expected("stale", "on gpu3, last sign 1 d in the future: the clocks disagree", removable=True)


@scene
def no_heartbeat_from_elsewhere(stage: Stage) -> Expected:
    elsewhere(stage, float("nan"))
    return Expected("stale", "on gpu3", removable=True)


@scene
def silent_elsewhere_with_the_lock_held(stage: Stage) -> Expected:
    stage.holder({"host": "gpu3", "machine": OTHER_BOOT, "heartbeat": time.time() - 300})
    return Expected("silent", "on gpu3, no sign for 5 m", refusal="runs on gpu3")


@scene
def another_machine_of_the_same_name(stage: Stage) -> Expected:
    elsewhere(stage, 1, host=socket.gethostname())
    return Expected("running", "last sign 1 s ago", refusal="runs on")


@scene
def another_container_of_this_machine(stage: Stage) -> Expected:
    machine = process.machine().split()[0] + " pid:[1]"
    stage.holder({"machine": machine, "pid": stage.bystander.pid})
    return Expected("running", f"on {socket.gethostname()}, last sign", refusal="runs on")
