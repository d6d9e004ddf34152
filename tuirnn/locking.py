"""Locks of files between processes, and file systems that have none, as some network and user-space ones."""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

NONE = frozenset((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP))
"""What a system says where its file system has no locks."""

Taken = filelock.Timeout
"""Raised where another process holds a lock."""


@dataclass(frozen=True)
class Lock:
    """A lock that is held.

    Attributes:
        lacking: why the file system has no locks, so that nothing is held; empty: it is held.
    """

    _held: filelock.BaseFileLock | None = None
    lacking: str = ""

    def release(self) -> None:
        """Let others have it."""
        if self._held is not None:
            self._held.release()


def take(path: Path, patience: float = 0.0, poll: float = 0.05) -> Lock:
    """Take the lock of a file, which is made where there is none.

    Args:
        path: the file.
        patience: seconds for which a taken lock is tried again.
        poll: seconds between two tries.
    Raises:
        Taken: another process holds it.
        OSError: the file cannot be written.
    """
    lock = filelock.FileLock(path, timeout=patience)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # where flock is missing, it makes a file serve as the lock
            lock.acquire(poll_interval=poll)
    except NotImplementedError:
        return Lock(lacking=os.strerror(errno.ENOSYS))
    except OSError as error:
        if error.errno not in NONE:
            raise
        return Lock(lacking=str(error.strerror))
    return Lock(lock)


@contextlib.contextmanager
def held(path: Path) -> Iterator[Lock]:
    """The lock of a file for some statements; see `take`."""
    lock = take(path)
    try:
        yield lock
    finally:
        lock.release()
