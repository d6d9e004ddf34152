"""The trainer's side of the run directory: one writer, appending whole lines, replacing whole files."""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tuirnn import locking
from tuirnn.errors import RunError
from tuirnn.files import atomic_write, open_own, sync_folder, to_json
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, check_free
from tuirnn.runs.reader import CHUNK, RunRecord, Status, read_status

LOGS = ("metrics", "samples", "probes", "events")
REWOUND = ("metrics", "samples", "probes")
"""Logs that go back to the checkpoint's length on resume; the history keeps everything."""

LOCK_PATIENCE, LOCK_POLL = 0.5, 0.005
"""Seconds for which a taken lock is tried again, and between tries: a reader that tests it takes it for an instant."""


@contextlib.contextmanager
def disk_of(paths: RunPaths, doing: str) -> Iterator[None]:
    """Turns what the disk refuses inside into one line, `doing` being what was tried with the run."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot {doing} of run '{paths.name}': {error.strerror}; what was saved before is untouched: fix the "
            f"disk, then 'tuirnn train --resume {paths.name}'"
        ) from None


def acquired(paths: RunPaths) -> locking.Lock:
    """The run's lock, held: nobody else writes until it is released.

    On a file system without locks, the run's status alone says whether another process trains it.

    Raises:
        RunError: another process holds it, or it cannot be written.
    """
    taken = RunError(
        f"run '{paths.name}' is being trained by another process; watch it with 'tuirnn', or stop it first"
    )
    try:
        lock = locking.take(paths.lock, LOCK_PATIENCE, LOCK_POLL)
    except locking.Taken:
        raise taken from None
    except OSError as error:
        raise RunError(f"cannot take the lock of run '{paths.name}': {error.strerror}") from None
    if lock.lacking and (status := read_status(paths)).live and status.pid != os.getpid():
        raise taken
    return lock


class RunWriter:
    """Owns a run directory while it trains; a context manager that frees the lock.

    Every `append` is one unbuffered `write` of whole lines: what a killed process had acknowledged is in
    the file, and a reader never sees two half records joined.

    Attributes:
        lost: records that the disk has refused.
        refused: the reason for the last of them.
        unlocked: what is to be said where nothing locks the folder; empty where something does.
    """

    def __init__(self, paths: RunPaths, lock: locking.Lock | None = None) -> None:
        """Take over an existing run directory.

        Args:
            paths: the run.
            lock: the run's, where it is held already.
        Raises:
            RunError: another living process trains this run, or the disk refuses.
        """
        self.paths = paths
        self._lock = lock or acquired(paths)
        self._logs: dict[str, int] = {}
        self.lost, self.refused = 0, ""
        self.unlocked = ""
        if self._lock.lacking:
            self.unlocked = (
                f"the file system of this run has no locks ({self._lock.lacking}): only its status keeps others from "
                "training it at the same time"
            )
        try:
            self._open_all()
        except RunError:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path, name: str, record: RunRecord, stdin: bytes | memoryview | None = None) -> "RunWriter":
        """Make the directory of a new run, with its record, and own it.

        Args:
            folder: of runs.
            name: of the run; what a kill left of one that never began may bear it.
            record: what it is.
            stdin: the text, where it came from standard input and could not be read again.

        Raises:
            RunError: the name is taken or not a name, or the folder cannot be written; nothing is left behind.
        """
        otherwise = f"continue it with --resume {name}, or choose another --name"
        paths = RunPaths(folder / check_free(folder, name, otherwise))
        try:
            paths.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cannot make a run in {folder}: {error.strerror}; name a folder that can be written with --runs"
            ) from None
        lock = acquired(paths)
        if paths.record.exists():  # two saw the name free, and the other was first
            lock.release()
            raise RunError(f"run '{name}' is already in {folder}; {otherwise}")
        try:
            if stdin is not None:
                atomic_write(paths.stdin, stdin)
            atomic_write(paths.record, to_json(record.to_json(), indent=1))  # last: with it, the run is there
            sync_folder(folder)
            return cls(paths, lock)
        except (OSError, RunError) as error:
            shutil.rmtree(paths.root, ignore_errors=True)
            lock.release()
            why = error.strerror if isinstance(error, OSError) else error
            raise RunError(f"cannot write the run '{name}' in {folder}: {why}") from None

    def _open_all(self) -> None:
        with disk_of(self.paths, "take over the folder"):
            self.paths.control.mkdir(exist_ok=True)
            checkpoint.recover(self.paths)
        for log in LOGS:
            with disk_of(self.paths, f"write {log}"):
                self._logs[log] = self._open(log)
                self._end_torn_line(log)

    def append(self, log: str, *records: dict[str, Any], needed: bool = False) -> None:
        """Add records to one of `LOGS`, in one write.

        Where the disk refuses, the log ends with its last whole line and the records are lost: a training is worth more
        than its log. `lost` counts them, and `refused` says why.

        Args:
            log: one of `LOGS`.
            records: one line each.
            needed: the run cannot be read without them.
        Raises:
            RunError: the disk refused records that are needed.
        """
        data = b"".join(to_json(record) + b"\n" for record in records)
        try:
            if os.write(self._logs[log], data) != len(data):
                self._end_torn_line(log)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if needed:
                with disk_of(self.paths, f"write {log}"):
                    raise
            self.lost += len(records)
            self.refused = f"cannot write {log} of run '{self.paths.name}': {error.strerror}"

    def event(self, kind: str, *, needed: bool = False, **values: Any) -> None:
        """Add to the run's history, with the wall-clock time; see `append`."""
        self.append("events", {"event": kind, "at": time.time(), **values}, needed=needed)

    def status(self, status: Status) -> None:
        """Replace `status.json`; not synced, as the next heartbeat comes within seconds."""
        with contextlib.suppress(OSError):  # a full disk must not end the training; the checkpoint will tell
            atomic_write(self.paths.status, to_json(status.to_json()), durable=False)

    def lengths(self) -> dict[str, int]:
        """Bytes in each log that a resume rewinds."""
        return {log: os.fstat(self._logs[log]).st_size for log in REWOUND}

    def rewind(self, lengths: dict[str, int]) -> None:
        """Cut the logs back to a checkpoint's `lengths`, so that every step stands in them once.

        A cut log is a new file under the old name: readers see the change even where it has grown again.
        """
        for log in REWOUND:
            path: Path = getattr(self.paths, log)
            length = lengths.get(log, 0)
            if os.fstat(self._logs[log]).st_size <= length:
                continue
            with disk_of(self.paths, f"cut {log} back"):
                atomic_write(path, os.pread(self._logs[log], length, 0))
                os.close(self._logs.pop(log))
                self._logs[log] = self._open(log)

    def sync(self) -> None:
        """Wait until the logs are on the disk; done before each checkpoint that counts on them."""
        with disk_of(self.paths, "write the logs"):
            for descriptor in self._logs.values():
                os.fsync(descriptor)

    def close(self) -> None:
        """Close the logs and free the lock."""
        for descriptor in self._logs.values():
            os.close(descriptor)
        self._logs = {}
        self._lock.release()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, log: str) -> int:
        return open_own(getattr(self.paths, log), os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def _end_torn_line(self, log: str) -> None:
        """Cut what stands after the last newline: a record that was never acknowledged."""
        descriptor = self._logs[log]
        end = os.fstat(descriptor).st_size
        while end:
            begin = max(0, end - CHUNK)
            newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        if end != os.fstat(descriptor).st_size:
            os.ftruncate(descriptor, end)
