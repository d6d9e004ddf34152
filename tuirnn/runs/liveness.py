"""Whether a run is alive, decided in this one place, and how its trainer is ended.

A trainer holds its run's lock and writes into the run's status who it is: machine, process id, start time, command
line, folder. A run is alive if all of that agrees. The lock alone may be held by a repair, a process id may have been
given to a stranger, a heartbeat may come from a copy of the folder. A run of another machine, whose lock may not reach
this far, is judged by its heartbeat, and never signalled.

A reader tests the lock by taking it for an instant, shared with other readers; a writer that meets such an instant
tries again (`writer.acquired`). Windows has no shared locks of this kind: two readers there may meet, and either sees
a dead run as alive for that reading.
"""

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuirnn.errors import RunError, one_line
from tuirnn.files import open_own
from tuirnn.runs import process
from tuirnn.runs.layout import RunPaths

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from tuirnn.runs.reader import Status

SILENT_AFTER = 30.0
"""Seconds without a heartbeat after which a trainer that holds its run is silent, and one out of reach is gone."""

SKEW = 5.0
"""Seconds by which the clocks of two machines may differ without a word about it."""


@dataclass(frozen=True)
class Life:
    """What is known of a run that claims to live.

    Attributes:
        state: as claimed, or 'silent' (its trainer is there and sends no heartbeat), or 'stale' (it has none).
        message: what is to be said about it; '' where all is as it should be.
        here: whether the process that the status names is the run's trainer, on this machine.
    """

    state: str
    message: str = ""
    here: bool = False


def introduction(paths: RunPaths) -> dict[str, Any]:
    """What this process says of itself in the status of a run that it trains."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "machine": process.machine(),
        "process": process.fingerprint(os.getpid()) or "",
        "folder": str(paths.root.resolve()),
    }


def is_locked(paths: RunPaths) -> bool | None:
    """Whether some process holds the run's lock; None where that cannot be told."""
    if fcntl is None:
        return _taken(paths)
    try:
        descriptor = open_own(paths.lock)
    except OSError:  # gone as well: whoever holds it holds it still
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False


def _taken(paths: RunPaths) -> bool | None:
    """As `is_locked`, on a system whose locks are not shared."""
    import filelock  # where it is not needed, commands start sooner

    if not paths.lock.exists():
        return None
    try:
        with filelock.FileLock(paths.lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return None


def judge(paths: RunPaths, status: "Status") -> Life:
    """Whether a run has the trainer that its status claims.

    Args:
        paths: the run.
        status: as it was written.
    """
    if not status.live:
        return Life(status.state, status.message)
    locked = is_locked(paths)
    if not _of_this_machine(status):
        return _elsewhere(status, locked)
    if locked is not False and _is_trainer(paths, status, locked) and not _is_copy(paths, status):
        return _here(status)
    return Life("stale", _why_none(paths, status) + ("; another process holds the lock" if locked else ""))


def kill(paths: RunPaths, status: "Status") -> None:
    """End the run's trainer at once, without a checkpoint; its other processes end with it.

    Args:
        paths: the run.
        status: as it was read when somebody decided this; a trainer that has come since is left alone.
    Raises:
        RunError: the process is not provably this run's trainer, or the system refuses; no signal was sent.
    """
    try:
        check_own(paths, status)
        process.kill(status.pid, lambda: check_own(paths, status))
    except OSError as error:
        raise RunError(f"cannot kill process {status.pid}: {error.strerror}") from None


def check_own(paths: RunPaths, status: "Status") -> None:
    """Make sure that the process in a run's status is the run's own trainer on this machine.

    Raises:
        RunError: it is not, or that cannot be told; the message says what is.
    """
    life = judge(paths, status)
    if life.state == "stale" or not status.live:
        raise RunError(f"{paths.name} is not running ({life.message or life.state}); there is nothing to kill")
    if status.live and status.pid <= 0:
        raise RunError(f"{paths.name} has not said yet which process trains it; try again in a moment")
    if not _of_this_machine(status):
        raise RunError(f"{paths.name} runs on {one_line(status.host, 60)}; it can be stopped (S) from here, not killed")
    known = bool(status.process and process.fingerprint(status.pid))
    if not (life.here and (known or process.has_open(status.pid, paths.lock))):
        raise RunError(f"it cannot be told which process trains {paths.name}; stop it (S) instead")


def _of_this_machine(status: "Status") -> bool:
    """Whether the status names a process among those of this machine, and of this container."""
    if status.machine and process.machine():
        return status.machine == process.machine()
    return status.host == socket.gethostname()


def _is_trainer(paths: RunPaths, status: "Status", locked: bool | None) -> bool:
    """Whether the process in the status is the one that wrote it; if nothing is known of it, the lock speaks for it."""
    found = process.fingerprint(status.pid)
    if found is None or (status.process and found and status.process != found):
        return False
    holds = process.has_open(status.pid, paths.lock)
    if locked and holds is not None:
        return holds
    return bool(status.process and found) or bool(locked)  # not so of older versions, or of a process that is hidden


def _is_copy(paths: RunPaths, status: "Status") -> bool:
    """Whether the trainer works in another folder than this one; a copy made of hard links even shares the lock."""
    if not status.folder or status.folder == str(paths.root.resolve()):
        return False
    with contextlib.suppress(OSError, ValueError):  # gone: the folder was moved under the trainer
        return not os.path.samefile(status.folder, paths.root)
    return False


def _why_none(paths: RunPaths, status: "Status") -> str:
    """Why the process in the status is not the run's trainer."""
    found = process.fingerprint(status.pid)
    if not (found and status.process):
        return f"process {status.pid} has ended without a word"
    if found != status.process:
        return f"process {status.pid} has ended (number reused)"
    if _is_copy(paths, status):
        return f"a copy: process {status.pid} trains {one_line(status.folder, 100)}"
    return f"process {status.pid} does not train it any more"


def _here(status: "Status") -> Life:
    silence = time.time() - status.heartbeat
    if process.is_stopped(status.pid):
        on = f"'kill -CONT {status.pid}' resumes it"
        return Life("silent", f"stopped, silent for {span(silence)}; {on}", here=True)
    if silence < -SKEW:
        return Life(status.state, _ahead(-silence), here=True)
    if not silence < SILENT_AFTER:
        return Life("silent", f"no heartbeat for {span(silence)}: it hangs, or takes a long step", here=True)
    return Life(status.state, here=True)


def _elsewhere(status: "Status", locked: bool | None) -> Life:
    silence = time.time() - status.heartbeat
    where = f"on {one_line(status.host, 60) or 'an unknown machine'}"
    recent = -SILENT_AFTER < silence < SILENT_AFTER
    if not recent and not locked:
        return Life(
            "stale", f"{where}, " + (_ahead(-silence) if silence < 0 else f"last heartbeat {span(silence)} ago")
        )
    if silence < -SKEW:
        return Life(status.state, f"{where}, {_ahead(-silence)}")
    if not recent:
        return Life("silent", f"{where}, no heartbeat for {span(silence)}")
    return Life(status.state, f"{where}, last heartbeat {span(silence)} ago")


def _ahead(seconds: float) -> str:
    return f"last heartbeat {span(seconds)} in the future: the clocks disagree"


def span(seconds: float) -> str:
    """A length of time in its largest unit: '12 s', '5 m', '3 h', '2 d'."""
    if not 0 <= seconds < 1e9:
        return "0 s" if seconds < 0 else "years"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
