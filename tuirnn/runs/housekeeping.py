"""Removing and renaming runs."""

import os
import shutil
from pathlib import Path

import filelock

from tuirnn.errors import RunError
from tuirnn.runs.layout import RunPaths, check_name
from tuirnn.runs.reader import read_status


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
    target = paths.root.with_name(check_name(name))
    if os.path.lexists(target):
        raise RunError(f"run '{name}' is already there; choose another name")
    _move(paths, target, "rename")
    return RunPaths(target)


def _move(paths: RunPaths, target: Path, what: str) -> None:
    """Move a run directory that no trainer is at work on."""
    try:
        with filelock.FileLock(paths.lock, timeout=0):
            if read_status(paths).live:
                raise RunError(f"run '{paths.name}' is training; stop it first")
            os.rename(paths.root, target)
    except filelock.Timeout:
        raise RunError(f"run '{paths.name}' is training; stop it first") from None
    except OSError as error:
        raise RunError(f"cannot {what} run '{paths.name}': {error.strerror}") from None
