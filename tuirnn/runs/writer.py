"""The trainer's side of the run directory: one writer, appending whole lines, replacing whole files."""

import contextlib
import dataclasses
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from tuirnn.errors import RunError
from tuirnn.files import atomic_write, open_own, sync_folder, to_json
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, check_name
from tuirnn.runs.reader import CHUNK, RunRecord, Status

LOGS = ("metrics", "samples", "probes", "events")
REWOUND = ("metrics", "samples", "probes")
"""Logs that go back to the checkpoint's length on resume; the history keeps everything."""


class RunWriter:
    """Owns a run directory while it trains; a context manager that frees the lock.

    Every `append` is one unbuffered `write` of whole lines: what a killed process had acknowledged is in
    the file, and a reader never sees two half records joined.
    """

    def __init__(self, paths: RunPaths) -> None:
        """Take over an existing run directory.

        Raises:
            RunError: another living process trains this run.
        """
        self.paths = paths
        self._lock = filelock.FileLock(paths.lock, timeout=0)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"run '{paths.name}' is being trained by another process; watch it with 'tuirnn', or stop it first"
            ) from None
        self._logs: dict[str, int] = {}
        try:
            paths.control.mkdir(exist_ok=True)
            checkpoint.recover(paths)
        except OSError as error:
            self.close()
            raise RunError(f"cannot write into run '{paths.name}': {error.strerror}") from None
        for log in LOGS:
            try:
                self._logs[log] = self._open(log)
            except OSError as error:
                self.close()
                raise RunError(f"cannot write {log} of run '{paths.name}': {error.strerror}") from None
        for log in LOGS:
            self._end_torn_line(log)

    @classmethod
    def create(cls, folder: Path, name: str, record: RunRecord, stdin: bytes | None = None) -> "RunWriter":
        """Make the directory of a new run, with its record, and own it.

        Args:
            folder: of runs.
            name: of the run.
            record: what it is.
            stdin: the text, where it came from standard input and could not be read again.

        Raises:
            RunError: the name is taken or not a name, or the folder cannot be written.
        """
        root = folder / check_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cannot make the folder of runs {folder}: {error.strerror}; name another one with --runs"
            ) from None
        try:
            root.mkdir()
        except FileExistsError:
            raise RunError(
                f"run '{name}' is already in {folder}; continue it with --resume {name}, or choose another --name"
            ) from None
        except OSError as error:
            raise RunError(
                f"cannot make a run in {folder}: {error.strerror}; name a folder that can be written with --runs"
            ) from None
        paths = RunPaths(root)
        try:
            if stdin is not None:
                atomic_write(paths.stdin, stdin)
            atomic_write(paths.record, to_json(record.to_json(), indent=1))  # last: with it, the run is there
            sync_folder(folder)
            return cls(paths)
        except OSError as error:
            shutil.rmtree(root, ignore_errors=True)
            raise RunError(f"cannot write the run '{name}' in {folder}: {error.strerror}") from None

    def append(self, log: str, *records: dict[str, Any]) -> None:
        """Add records to one of `LOGS`, in one write.

        Raises:
            RunError: the disk refused; the log ends with its last whole line.
        """
        data = b"".join(to_json(record) + b"\n" for record in records)
        try:
            written = os.write(self._logs[log], data)
        except OSError as error:
            raise self._refused(log, str(error.strerror)) from None
        if written != len(data):
            self._end_torn_line(log)
            raise self._refused(log, "the disk is full")

    def event(self, kind: str, **values: Any) -> None:
        """Add to the run's history, with the wall-clock time."""
        self.append("events", {"event": kind, "at": time.time(), **values})

    def status(self, status: Status) -> None:
        """Replace `status.json`; not synced, as the next heartbeat comes within seconds."""
        with contextlib.suppress(OSError):  # a full disk must not end the training; the checkpoint will tell
            atomic_write(self.paths.status, to_json(dataclasses.asdict(status)), durable=False)

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
            with open(path, "rb") as file:
                kept = file.read(length)
            os.close(self._logs[log])
            atomic_write(path, kept)
            self._logs[log] = self._open(log)

    def sync(self) -> None:
        """Wait until the logs are on the disk; done before each checkpoint that counts on them."""
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

    def _refused(self, log: str, why: str) -> RunError:
        return RunError(
            f"cannot write {log} of run '{self.paths.name}': {why}; free some space and resume with "
            f"'tuirnn train --resume {self.paths.name}'"
        )
