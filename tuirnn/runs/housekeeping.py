"""Removing, renaming and mending runs: what a crash, a full disk or a stray hand did to one."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tuirnn import locking
from tuirnn.errors import RunError
from tuirnn.files import atomic_write, open_own, parse_json
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, check_free
from tuirnn.runs.reader import (
    MAX_LINE,
    LogTail,
    Status,
    parse_line,
    parse_record,
    read_record,
    read_status,
    written_status,
)
from tuirnn.runs.writer import LOGS, RunWriter, acquired


def remove(paths: RunPaths) -> None:
    """Delete a run directory and all it holds, unless a trainer is at work on it.

    It is renamed first, so that a half-deleted directory is no run.

    Raises:
        RunError: it is being trained, or the disk refuses.
    """
    doomed = paths.root.with_name(f".{paths.name}.{os.getpid()}.removed")
    _move(paths, doomed, "remove")
    shutil.rmtree(doomed, ignore_errors=True)


def rename(paths: RunPaths, name: str) -> RunPaths:
    """Give a run another name; returns its new place.

    Raises:
        RunError: it is being trained, or the name is taken or not a name.
    """
    target = paths.root.with_name(check_free(paths.root.parent, name, itself=paths.name))
    _move(paths, target, "rename")
    return RunPaths(target)


def _move(paths: RunPaths, target: Path, what: str) -> None:
    """Move a run directory that no trainer is at work on."""
    lock = _unattended(paths)
    try:
        os.rename(paths.root, target)
    except OSError as error:
        raise RunError(f"cannot {what} run '{paths.name}': {error.strerror}") from None
    finally:
        lock.release()


def _unattended(paths: RunPaths) -> locking.Lock:
    """The lock of a run that no trainer is at work on, held.

    Raises:
        RunError: one is, here or as far as can be seen on another machine, or the lock cannot be taken.
    """
    if (status := read_status(paths)).live:
        how = "is training" if status.state != "silent" else "is silent, not ended"
        raise RunError(f"run '{paths.name}' {how}{f' ({status.message})' if status.message else ''}; stop it first")
    return acquired(paths)


def repair(paths: RunPaths) -> Iterator[str]:
    """Rebuild what can be rebuilt of a run that nobody trains; yields a line for each thing found.

    The record comes back from a checkpoint's copy, the pointers from the checkpoints, the status from both. Damaged
    lines of a log and damaged checkpoints are put aside under names with a leading dot, never deleted.

    Raises:
        RunError: it is being trained, the disk refuses, or nothing is left to rebuild from.
    """
    lock = _unattended(paths)
    try:
        yield from _repair_record(paths)
        for log in LOGS:
            yield from _repair_log(getattr(paths, log))
    except BaseException:
        lock.release()
        raise
    with RunWriter(paths, lock) as writer:  # clears what a killed writer left, cuts torn lines
        yield from _repair_checkpoints(paths)
        claimed = written_status(paths)
        if claimed is None or claimed.live:  # and yet the lock was free
            writer.status(_status(paths))
            yield "status.json: rebuilt from the last checkpoint and the metrics"


def _repair_record(paths: RunPaths) -> Iterator[str]:
    try:
        read_record(paths)
        return
    except RunError as damage:
        for step in reversed(checkpoint.steps(paths)):
            try:
                copy = checkpoint.verify(paths.step(step)).files[checkpoint.RECORD]
                parse_record(parse_json(copy, "its copy"), f"the copy in step {step}")
            except RunError:
                continue
            if paths.record.exists():
                os.rename(paths.record, _aside(paths.record))
            atomic_write(paths.record, copy)
            yield f"run.json: rebuilt from checkpoint {step}"
            return
        raise RunError(f"{damage}; no checkpoint holds a copy: the run cannot be rebuilt") from None


def _repair_log(path: Path) -> Iterator[str]:
    """Keep the lines that are records; put the whole log aside first if any is not."""
    if path.is_symlink():
        path.unlink()
        yield f"{path.name}: was a link, removed"
    if not path.exists():
        yield f"{path.name}: missing; what it held cannot be rebuilt"
        return
    tail = LogTail(path)
    kept = sum(1 for _ in tail.records())
    damaged = tail.damaged
    if not damaged:
        return
    aside = _aside(path)
    os.rename(path, aside)
    with open(path, "wb") as file:
        file.writelines(line + b"\n" for line in _lines(aside) if parse_line(line) is not None)
    yield f"{path.name}: {damaged} damaged lines left out, {kept} kept; the old log is {aside.name}"


def _lines(path: Path) -> Iterator[bytes]:
    with open(open_own(path), "rb") as file:
        while line := file.readline(MAX_LINE):
            if line.endswith(b"\n"):
                yield line[:-1]


def _repair_checkpoints(paths: RunPaths) -> Iterator[str]:
    good: list[checkpoint.Checkpoint] = []
    for step in checkpoint.steps(paths):
        try:
            good.append(checkpoint.verify(paths.step(step)))
        except RunError as damage:
            aside = _aside(paths.step(step))
            os.rename(paths.step(step), aside)
            yield f"{damage}; put aside as {aside.name}"
    if not good:
        yield "no checkpoint is left: a resume begins from the start, an export is not possible"
        return
    progress = good[-1].trainer.get("progress")
    best = progress.get("best_step") if isinstance(progress, dict) else None
    last, known = good[-1].step, [saved.step for saved in good]
    for name, step in (("last", last), ("best", best if best in known else last)):
        now = checkpoint.pointed(paths, name)
        if now != paths.step(step) and (now is None or name == "last"):
            checkpoint.point(paths, name, step)
            yield f"{name}: points to step {step} now"


def _status(paths: RunPaths) -> Status:
    """What can be known of a run that ended without saying so."""
    status = Status(state="stopped", message="ended without saying so; repaired", heartbeat=time.time())
    for record in LogTail(paths.metrics).records():
        if isinstance(record.get("step"), int):
            status.step = record["step"]
        if record.get("split") == "val" and isinstance(record.get("loss"), float):
            status.val_loss = record["loss"]
            if not status.val_loss >= status.best_val_loss:
                status.best_val_loss, status.best_step = status.val_loss, status.step
    return status


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.damaged-{time.time_ns()}")
