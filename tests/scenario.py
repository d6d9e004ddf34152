"""What the scenarios of `scenarios.py` consist of: real processes, the folder of a run, what is expected of it."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tuirnn.runs import liveness, process
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status
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
        os.set_inheritable(writer._lock._held._context.lock_file_fd, True)
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
    """A process of a scenario, ready when this returns."""

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
        assert self.process.stdout is not None
        self.process.stdout.close()  # not its number alone: by then that may be another file's


@dataclass
class Expected:
    """The state and a part of the message; whether the run's own trainer may be killed, and the run be removed."""

    state: str
    message: str = ""
    kill: bool = False
    refusal: str = ""
    removable: bool = False


@dataclass
class Scenario:
    """The processes and the folder of a scenario."""

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
        """A status without a trainer, with the bystander's process id unless `changes` has another."""
        here = {**liveness.introduction(self.paths), "pid": self.bystander.pid, "process": "1 0123456789abcdef"}
        with RunWriter(self.paths) as held:
            held.status(Status(**{"state": "running", "heartbeat": time.time(), **here, **changes}))
