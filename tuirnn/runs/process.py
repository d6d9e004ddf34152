"""What the system says of a process that is named by its number: whether it is still the one that was meant.

A process id is used again once its process is gone, and means something else in another container or on another
machine. Linux tells in /proc; on other POSIX systems `ps` does; elsewhere nothing is known, and nothing is signalled.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")


@functools.cache
def machine() -> str:
    """Where process ids mean the same: this boot of this machine and this namespace; '' where it is not told."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def fingerprint(pid: int) -> str | None:
    """A process's start time and a hash of its command line, which a later process with its number does not share.

    Returns:
        None: there is no such process. '': there may be one, of which the system says nothing.
    """
    if pid <= 0:
        return None
    if not (PROC / "self/stat").exists():
        return _listed(pid)
    try:
        started = _stat(pid)[19]
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return "" if _hidden(pid) else None
    return f"{started} {_hashed(command)}" if command else None  # none: it has ended, and is not waited for yet


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by SIGSTOP or a debugger, as far as the system says."""
    try:
        return _stat(pid)[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def has_open(pid: int, path: Path) -> bool | None:
    """Whether a process has a file open; None where the system does not say, as of another user's."""
    try:
        wanted, descriptors = os.stat(path), os.scandir(PROC / str(pid) / "fd")
    except OSError:
        return None
    with descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.samestat(os.stat(descriptor.path), wanted):
                    return True
    return False


def kill(pid: int, check: Callable[[], None]) -> None:
    """Send SIGKILL to a process.

    Args:
        pid: of the process.
        check: raises if it is not the one that is meant. Where the system has process descriptors it is called while
            one is held: if the process ends after the check, the signal reaches nobody, whoever has its number then.
    Raises:
        OSError: there is no such process, or it is another user's.
    """
    descriptor = _descriptor(pid)
    if descriptor is None:
        check()
        os.kill(pid, signal.SIGKILL)
        return
    try:
        check()
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)


def _descriptor(pid: int) -> int | None:
    """A descriptor of the process; None where the system has none (other than Linux, or a kernel before 5.3)."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: the name before them may hold anything."""
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _hidden(pid: int) -> bool:
    """Whether a process is there that /proc does not show (`hidepid`): only another user's."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _listed(pid: int) -> str | None:
    """As `fingerprint`, from `ps`."""
    command = shutil.which("ps") if os.name == "posix" else None
    if command is None:
        return ""
    words = [command, "-ww", "-o", "lstart=", "-o", "command=", "-p", str(pid)]
    try:
        done = subprocess.run(  # noqa: S603 (the system's own, by its path)
            words, capture_output=True, timeout=10, check=False, env={"LC_ALL": "C", "TZ": "UTC"}
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return _hashed(done.stdout) if done.stdout.strip() else None


def _hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
