"""The processes that a training starts to share its batches with; they end when it does, however it ends."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tuirnn import machine
from tuirnn.errors import LostError, RunError
from tuirnn.shortage import ending
from tuirnn.training.place import MEETING, Place

PATIENCE = 12.0
"""Seconds after one of them is lost in which the training ends of its own accord, as a rule at once; a GPU may hang."""

TO_LEAVE = 10.0
"""Seconds that they have to end when they are told to."""


class Followers:
    """`size` - 1 processes beside this one, as a context manager; a thread watches over them.

    Each holds the end of a pipe that closes with this process, even where it is killed, and then ends.

    Args:
        size: of the whole team.
        patience: see `PATIENCE`.

    Attributes:
        meeting: the file through which the team finds together, in a folder that only this user can read.
        last_words: called with what was lost where this process hangs for it, right before it is ended by force.

    Raises:
        RunError: the system starts no more processes.
    """

    def __init__(self, size: int, *, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.last_words: Callable[[str], None] = lambda message: None
        self._folder = tempfile.mkdtemp(prefix="tuirnn-")
        self.meeting = os.path.join(self._folder, "meeting")
        self._kills = machine.kills()
        self._over = threading.Event()
        self._processes: list[subprocess.Popen[Any]] = []
        try:
            for rank in range(1, size):
                self._processes.append(self._begin(Place(rank, size, rank, size)))
        except OSError as error:
            self._end()
            raise RunError(f"cannot start {size} processes: {error.strerror}; lower --processes") from None
        threading.Thread(target=self._watch, daemon=True).start()

    def _begin(self, place: Place) -> "subprocess.Popen[Any]":
        return subprocess.Popen(
            [sys.executable, "-m", "tuirnn", "train"],
            env={**os.environ, **place.environment(), MEETING: self.meeting},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's signals are the leader's affair
        )

    def lost(self) -> str:
        """Which of them has ended, and how; empty while all are there."""
        for rank, process in enumerate(self._processes, 1):
            code = process.poll()
            if code is not None:
                how = ending(code, self._kills)
                return f"process {rank + 1} of {len(self._processes) + 1} (pid {process.pid}) {how}"
        return ""

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            if (lost := self.lost()) and not self._over.wait(self.patience):
                self.stuck(lost)

    def stuck(self, lost: str) -> None:
        """End this process, which waits in vain for the one that is lost."""
        with contextlib.suppress(Exception):
            self.last_words(lost)
        self._end()
        print(f"tuirnn: {lost}", file=sys.stderr, flush=True)
        os._exit(LostError.exit_code)

    def __enter__(self) -> "Followers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if kind is None:
            for process in self._processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(TO_LEAVE)
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)
