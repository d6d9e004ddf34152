"""Scenes of runs that live, have died, hang, were copied or are elsewhere; `test_liveness.py` plays them.

Each has real processes: a trainer, or a small process that holds a run and writes its status as a trainer does; and a
bystander, which says of every signal that it got one.
"""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stage import NOT_SAID, OTHER_BOOT, Expected, Stage
from waiting import wait

from tuirnn.runs import control, process
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status, written_status

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
