"""Scenarios for `test_liveness.py`: runs whose trainer works, has ended, hangs, is on another machine; copied runs.

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

from scenario import NOT_SAID, OTHER_BOOT, Expected, Scenario
from waiting import wait

from tuirnn.runs import control, process
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status, written_status

SCENARIOS: dict[str, Callable[[Scenario], Expected]] = {}


def register(make: Callable[[Scenario], Expected]) -> Callable[[Scenario], Expected]:
    SCENARIOS[make.__name__] = make
    return make


# ── a trainer ────────────────────────────────────────────────────────────────────


@register
def trainer_at_work(scenario: Scenario) -> Expected:
    scenario.paths = scenario.training
    return Expected("running", kill=True)


@register
def trainer_paused(scenario: Scenario) -> Expected:
    scenario.paths = scenario.training
    control.send(scenario.paths, control.Request("pause"))
    scenario.after.append(lambda: control.send(scenario.training, control.Request("resume")))
    wait(lambda: read_status(scenario.paths).state == "paused")
    return Expected("paused", kill=True)


@register
def trainer_stopped_by_a_signal(scenario: Scenario) -> Expected:
    scenario.paths = scenario.training
    scenario.real.send_signal(signal.SIGSTOP)
    scenario.after.append(lambda: scenario.real.send_signal(signal.SIGCONT))
    wait(lambda: process.is_stopped(scenario.real.pid))
    return Expected("silent", f"kill -CONT {scenario.real.pid}", kill=True)


@register
def folder_copied_while_it_trains(scenario: Scenario) -> Expected:
    shutil.rmtree(scenario.paths.root)
    shutil.copytree(scenario.training.root, scenario.paths.root, ignore_dangling_symlinks=True)
    return Expected("stale", f"a copy: process {scenario.real.pid} trains {scenario.training.root}", removable=True)


@register
def folder_copied_as_hard_links(scenario: Scenario) -> Expected:
    shutil.rmtree(scenario.paths.root)
    shutil.copytree(scenario.training.root, scenario.paths.root, copy_function=os.link)
    return Expected("stale", f"a copy: process {scenario.real.pid} trains", refusal="not running")


# ── a process that holds the lock ────────────────────────────────────────────────


@register
def begins_and_has_no_status_yet(scenario: Scenario) -> Expected:
    scenario.holder(None)
    return Expected("starting", refusal="not said yet")


@register
def hangs(scenario: Scenario) -> Expected:
    scenario.holder({"heartbeat": time.time() - 100})
    return Expected("silent", "no heartbeat for 1 m: it hangs", kill=True)


@register
def stopped_and_then_killed(scenario: Scenario) -> Expected:
    scenario.holder({}).process.send_signal(signal.SIGSTOP)
    wait(lambda: process.is_stopped(scenario.children[0].pid))
    return Expected("silent", "stopped, silent for", kill=True)


@register
def clock_set_back(scenario: Scenario) -> Expected:
    scenario.holder({"heartbeat": time.time() + 3600})
    return Expected("running", "in the future: the clocks disagree", kill=True)


@register
def folder_moved_while_it_trains(scenario: Scenario) -> Expected:
    scenario.holder({})
    os.rename(scenario.paths.root, moved := scenario.paths.root.with_name("moved"))
    scenario.paths = RunPaths(moved)
    return Expected("running", kill=True)


@register
def lock_file_deleted_while_it_trains(scenario: Scenario) -> Expected:
    scenario.holder({})
    scenario.paths.lock.unlink()
    return Expected("running", kill=True)


@register
def trainer_of_an_older_version(scenario: Scenario) -> Expected:
    scenario.holder(NOT_SAID)
    return Expected("running", kill=True)


@register
def lock_held_by_a_repair(scenario: Scenario) -> Expected:
    scenario.holder({"pid": scenario.bystander.pid, "process": "1 0123456789abcdef"})
    return Expected("stale", "(number reused); another process holds the lock")


@register
def lock_held_by_a_repair_of_an_older_versions_run(scenario: Scenario) -> Expected:
    scenario.holder({"pid": scenario.bystander.pid, **NOT_SAID})
    return Expected("stale", "another process holds the lock")


@register
def forged_to_name_the_bystander(scenario: Scenario) -> Expected:
    scenario.holder({"pid": scenario.bystander.pid, "process": process.fingerprint(scenario.bystander.pid)})
    return Expected("stale", "another process holds the lock")


@register
def another_program_in_the_same_process(scenario: Scenario) -> Expected:
    scenario.holder({}, "sleep", "60")
    wait(lambda: Path(f"/proc/{scenario.children[0].pid}/cmdline").read_bytes().startswith(b"sleep"))
    return Expected("stale", "(number reused); another process holds the lock")


@register
def done_and_still_held(scenario: Scenario) -> Expected:
    scenario.holder({"state": "done"})
    return Expected("done", refusal=r"not running \(done\)")


@register
def resumed_between_the_look_and_the_kill(scenario: Scenario) -> Expected:
    scenario.holder({}).end()
    scenario.seen = written_status(scenario.paths)
    scenario.holder({})
    return Expected("running", refusal="not running")


# ── no trainer ───────────────────────────────────────────────────────────────────


@register
def killed_a_moment_ago(scenario: Scenario) -> Expected:
    scenario.holder({}).end()
    return Expected("stale", "has ended without a word", removable=True)


@register
def interrupted_in_a_process_that_lives_on(scenario: Scenario) -> Expected:
    scenario.holder({}, "let go")
    return Expected("stale", "does not train it any more", removable=True)


@register
def killed_and_not_waited_for(scenario: Scenario) -> Expected:
    os.kill(scenario.holder({}).pid, signal.SIGKILL)
    os.waitid(os.P_PID, scenario.children[0].pid, os.WEXITED | os.WNOWAIT)
    return Expected("stale", "has ended without a word", removable=True)


@register
def no_status_and_nobody(scenario: Scenario) -> Expected:
    return Expected("stale", "no readable status", removable=True)


@register
def recycled_pid_long_ago(scenario: Scenario) -> Expected:
    scenario.write(heartbeat=time.time() - 1e6)
    return Expected("stale", "number reused", removable=True)


@register
def recycled_pid_with_a_fresh_heartbeat(scenario: Scenario) -> Expected:
    scenario.write()
    return Expected("stale", "number reused", removable=True)


@register
def recycled_pid_of_an_older_version(scenario: Scenario) -> Expected:
    scenario.write(**NOT_SAID)
    return Expected("stale", "has ended without a word", removable=True)


@register
def pid_of_before_the_last_boot(scenario: Scenario) -> Expected:
    scenario.write(machine=OTHER_BOOT, heartbeat=time.time() - 7200)
    return Expected("stale", "last heartbeat 2 h ago", removable=True)


def nobodys(pid: int, held: bool) -> Callable[[Scenario], Expected]:
    """A status whose process id belongs to no process, or to one that trains nothing."""

    def make(scenario: Scenario) -> Expected:
        changes = {"pid": pid, **NOT_SAID}
        if held:
            scenario.holder(changes)
        else:
            scenario.write(**changes)
        return Expected("stale", removable=not held)

    return make


for pid in (0, -1, 1, os.getpid(), 2**22 + 1, 2**70):
    SCENARIOS[f"pid_{'of_the_reader' if pid == os.getpid() else pid}"] = nobodys(pid, held=False)
SCENARIOS["pid_1_and_a_held_lock"] = nobodys(1, held=True)


# ── another machine ──────────────────────────────────────────────────────────────


def elsewhere(scenario: Scenario, ago: float, **changes: Any) -> None:
    scenario.write(**{"host": "gpu3", "machine": OTHER_BOOT, "heartbeat": time.time() - ago, **changes})


@register
def on_another_machine(scenario: Scenario) -> Expected:
    elsewhere(scenario, 4)
    return Expected("running", "on gpu3, last heartbeat 4 s ago", refusal="runs on gpu3")


@register
def on_another_machine_of_an_older_version(scenario: Scenario) -> Expected:
    elsewhere(scenario, 4, **NOT_SAID)
    return Expected("running", "on gpu3, last heartbeat", refusal="runs on gpu3")


@register
def died_on_another_machine(scenario: Scenario) -> Expected:
    elsewhere(scenario, 3700)
    return Expected("stale", "on gpu3, last heartbeat 1 h ago", removable=True)


@register
def another_machine_whose_clock_is_ahead(scenario: Scenario) -> Expected:
    elsewhere(scenario, -20)
    return Expected("running", "on gpu3, last heartbeat 1", refusal="runs on gpu3")


@register
def heartbeat_of_tomorrow(scenario: Scenario) -> Expected:
    elsewhere(scenario, -90_000)
    return Expected("stale", "on gpu3, last heartbeat 1 d in the future: the clocks disagree", removable=True)


@register
def no_heartbeat_from_elsewhere(scenario: Scenario) -> Expected:
    elsewhere(scenario, float("nan"))
    return Expected("stale", "on gpu3", removable=True)


@register
def silent_elsewhere_with_the_lock_held(scenario: Scenario) -> Expected:
    scenario.holder({"host": "gpu3", "machine": OTHER_BOOT, "heartbeat": time.time() - 300})
    return Expected("silent", "on gpu3, no heartbeat for 5 m", refusal="runs on gpu3")


@register
def another_machine_of_the_same_name(scenario: Scenario) -> Expected:
    elsewhere(scenario, 1, host=socket.gethostname())
    return Expected("running", "last heartbeat 1 s ago", refusal="runs on")


@register
def another_container_of_this_machine(scenario: Scenario) -> Expected:
    machine = process.machine().split()[0] + " pid:[1]"
    scenario.holder({"machine": machine, "pid": scenario.bystander.pid})
    return Expected("running", f"on {socket.gethostname()}, last heartbeat", refusal="runs on")
