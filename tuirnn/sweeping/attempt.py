"""One run of a sweep at work, whoever has started it.

A sweep may be killed while its trainers live on. The next one finds such a run alive and waits for it instead of
training it a second time; where both start a trainer at once, the run's lock lets one of them in, and the other waits.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuirnn import machine
from tuirnn.errors import one_line
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import read_status
from tuirnn.shortage import ending

POLL = 0.1
"""Seconds between two looks at a trainer."""

REFUSED = 2
"""Exit code of a trainer that a setting or the data stop; before the run is there, another try ends alike."""


@dataclass(frozen=True)
class Job:
    """What is needed to train one run: plain values, which another machine understands as well.

    Attributes:
        name: of the run.
        folder: of runs, absolute; every machine that trains must see it.
        words: arguments of `tuirnn train` for a new run.
    """

    name: str
    folder: str
    words: tuple[str, ...]

    @property
    def paths(self) -> RunPaths:
        """The run's files."""
        return RunPaths(Path(self.folder) / self.name)

    @property
    def log(self) -> Path:
        """What its trainers write; it stays here where the run fails, and goes into a complete run."""
        return own_folder(Path(self.folder)) / "logs" / f"{self.name}.log"


def own_folder(folder: Path) -> Path:
    """Where sweeps keep what is no run, in a folder of runs."""
    return folder / ".sweeps"


@dataclass(frozen=True)
class Ending:
    """How a run has ended.

    Attributes:
        name: of the run.
        why: what went wrong; '' for a run that is complete or was stopped at a checkpoint.
        again: whether another try may end better.
    """

    name: str
    why: str = ""
    again: bool = True


class Attempt:
    """A run being trained, by a process of ours or by one that is at work already.

    Args:
        job: the run.
        environment: of the process.
    """

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        self.job, self.paths = job, job.paths
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._kills = machine.kills()
        if not self._is_live():
            self._begin()

    def _is_live(self) -> bool:
        return is_run(self.paths.root) and read_status(self.paths).live

    def _begin(self) -> None:
        job = self.job
        words = ["--resume", job.name] if is_run(self.paths.root) else ["--name", job.name, *job.words]
        self._kills = machine.kills()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with open(job.log, "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-m", "tuirnn", "train", "--runs", job.folder, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                start_new_session=True,  # so that Ctrl-C reaches it once, through us: a second signal ends at once
            )  # fmt: skip

    def poll(self) -> Ending | None:
        """How the run has ended; None while it is at work."""
        if self._process is None:
            if self._is_live():
                return None
            if read_status(self.paths).state in ("done", "stopped", "failed"):
                return self._ended(0)
            self._begin()  # its trainer was killed
            return None
        code = self._process.poll()
        if code is None:
            return None
        if code and self._is_live():  # another process was first; ours has been refused
            self._process = None
            return None
        return self._ended(code)

    def _ended(self, code: int) -> Ending:
        name, log = self.job.name, self.job.log
        status = read_status(self.paths) if is_run(self.paths.root) else None
        if status and (status.state == "done" or (status.state == "stopped" and not code)):
            if log.exists():
                os.replace(log, self.paths.log)
            return Ending(name)
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
        own = lines[-1].removeprefix("tuirnn: ") if lines and lines[-1].startswith("tuirnn: ") else ""
        said = status.message if status and not code else ""
        return Ending(name, one_line(own or said or f"it {ending(code, self._kills)}"), bool(status) or code != REFUSED)

    def terminate(self) -> None:
        """Ask our own process to end at a checkpoint."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until our own process has ended."""
        if self._process is not None:
            self._process.wait()
