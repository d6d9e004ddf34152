"""Removing runs."""

import os
import shutil

import filelock

from tuirnn.errors import RunError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status


def remove(paths: RunPaths) -> None:
    """Delete a run directory and all it holds, unless a trainer is at work on it.

    It is renamed first, so that a half-deleted directory is no run.

    Raises:
        RunError: it is being trained, or the disk refuses.
    """
    doomed = paths.root.with_name(f".{paths.name}.{os.getpid()}.removed")
    try:
        with filelock.FileLock(paths.lock, timeout=0):
            if read_status(paths).live:
                raise RunError(f"run '{paths.name}' is training; stop it first")
            os.rename(paths.root, doomed)
    except filelock.Timeout:
        raise RunError(f"run '{paths.name}' is training; stop it first") from None
    except OSError as error:
        raise RunError(f"cannot remove run '{paths.name}': {error.strerror}") from None
    shutil.rmtree(doomed, ignore_errors=True)
